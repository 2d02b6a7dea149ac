"""OpenVINO, ``model.xml`` and ``model.bin``: needs no framework to run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.deploy.formats import FloatArray, Run
from pipeline.runtime import quiet
from pipeline.runtime.frameworks import frozen_graph
from pipeline.train.outputs import PROBABILITIES, VECTORS

FILE = "model.xml"
FILES = (FILE, "model.bin")
LIBRARIES = ("openvino",)
EXTRA = "fast"
BACKEND = "tensorflow"
USE = """\
FOLDER = "/full/path/to/this/folder"
import openvino, pathlib, runpy, numpy as np
decode, resize = map(runpy.run_path(f"{{FOLDER}}/decoding.py").get, ("decode", "resize"))  # needs pillow and numpy
picture = np.asarray(resize(decode(pathlib.Path("photo.jpg").read_bytes()).image, {height}, {width}))
model = openvino.compile_model(f"{{FOLDER}}/model.xml", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
probabilities = model(picture[None])["probabilities"][0]"""


def write(model: Any, folder: Path) -> None:
    """Write it in float32, with named outputs."""
    openvino = quiet.load("openvino")
    converted = openvino.convert_model(frozen_graph(model, model.input_shape[1:]).graph)
    for output, name in zip(converted.outputs, (PROBABILITIES, VECTORS), strict=True):
        output.tensor.set_names({name})
    openvino.save_model(converted, folder / FILE, compress_to_fp16=False)


def load(held: Mapping[str, bytes]) -> Run:
    """Compile it for this processor, in float32, as it was evaluated."""
    description, weights = (held[name] for name in FILES)
    if not description[:100].lstrip().startswith((b"<?xml", b"<net")):  # OpenVINO would try it as another format
        raise ValueError(f"{FILE} is not an OpenVINO model")
    openvino = quiet.load("openvino")
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(description, weights), "CPU", hints)

    def run(pictures: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        found = compiled(pictures)
        return found[PROBABILITIES], found[VECTORS]

    return run
