"""Keras' own file, ``model.keras``: it gives only probabilities, as users expect of a classifier."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.deploy.formats import FloatArray, Run
from pipeline.runtime import keras_files
from pipeline.runtime.frameworks import load_keras
from pipeline.train.outputs import VECTORS

LIBRARIES = ("keras",)
EXTRA = ""
BACKEND = None
USE = """\
FOLDER = "/full/path/to/this/folder"
import keras, pathlib, runpy, numpy as np
decode, resize = map(runpy.run_path(f"{{FOLDER}}/decoding.py").get, ("decode", "resize"))  # needs pillow and numpy
picture = np.asarray(resize(decode(pathlib.Path("photo.jpg").read_bytes()).image, {height}, {width}))
probabilities = keras.saving.load_model(f"{{FOLDER}}/model.keras", compile=False).predict(picture[None])[0]"""
FILE = "model.keras"
FILES = (FILE,)


def write(model: Any, folder: Path) -> None:
    """Write only weights and layers of Keras: the file loads without coldframe."""
    load_keras().Model(model.input, model.outputs[0]).save(folder / FILE)


def load(held: Mapping[str, bytes]) -> Run:
    """Load it, with the vectors as a second output."""
    model = keras_files.load_network(io.BytesIO(held[FILE]))
    both = load_keras().Model(model.input, [model.output, model.get_layer(VECTORS).output])

    def run(pictures: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        probabilities, found = both.predict_on_batch(pictures)
        return np.asarray(probabilities, np.float32), np.asarray(found, np.float32)

    return run
