"""ONNX, ``model.onnx``, for ONNX Runtime and other software that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.deploy.formats import FloatArray, Run
from pipeline.runtime import quiet
from pipeline.runtime.frameworks import frozen_graph
from pipeline.runtime.processes import cores
from pipeline.train.outputs import PROBABILITIES, VECTORS

FILE = "model.onnx"
FILES = (FILE,)
LIBRARIES = ("onnxruntime", "onnx", "tf2onnx")
EXTRA = "onnx"
BACKEND = "tensorflow"
USE = """\
FOLDER = "/full/path/to/this/folder"
import onnxruntime as ort, pathlib, runpy, numpy as np
decode, resize = map(runpy.run_path(f"{{FOLDER}}/decoding.py").get, ("decode", "resize"))  # needs pillow and numpy
picture = np.asarray(resize(decode(pathlib.Path("photo.jpg").read_bytes()).image, {height}, {width}))
probabilities = ort.InferenceSession(f"{{FOLDER}}/model.onnx").run(["probabilities"], {{"pictures": picture[None]}})[0][0]"""
OPSET = 18  # from 2022: old enough for the runtimes in use
PICTURES = "pictures"  # the name of the input


def write(model: Any, folder: Path) -> None:
    """Write it in float32, with the usual names for input and outputs."""
    import logging

    import onnx

    tf2onnx = quiet.load("tf2onnx")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # about functions that tf2onnx should no longer call
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    frozen = frozen_graph(model, model.input_shape[1:])
    given, found = ([one.name for one in tensors] for tensors in (frozen.inputs, frozen.outputs))
    graph, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(), input_names=given, output_names=found, opset=OPSET
    )
    names = dict(zip([*given, *found], (PICTURES, PROBABILITIES, VECTORS), strict=True))
    for node in graph.graph.node:
        node.input[:] = [names.get(one, one) for one in node.input]
        node.output[:] = [names.get(one, one) for one in node.output]
    for one in (*graph.graph.input, *graph.graph.output):
        one.name = names[one.name]
    onnx.checker.check_model(graph)
    onnx.save(graph, folder / FILE)


def load(held: Mapping[str, bytes]) -> Run:
    """Load it, on the processor."""
    onnxruntime = quiet.load("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()  # of the container; the library does not see its limit
    # as bytes, and in a folder that does not exist: all tensors must be in this file, whose checksum is known
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", "/nonexistent")
    session = onnxruntime.InferenceSession(held[FILE], options, providers=["CPUExecutionProvider"])

    def run(pictures: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        probabilities, vectors = session.run([PROBABILITIES, VECTORS], {PICTURES: pictures})
        return probabilities, vectors

    return run
