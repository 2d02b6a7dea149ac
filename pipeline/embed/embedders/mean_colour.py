"""The mean colour of a grid of cells: no weights and no framework, for tests and a first try."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.embed.embedders import Embedder, FloatArray, Options
from pipeline.ingest.decoding import resize
from store.errors import ColdframeError

GRID = (4, 4)


class MeanColour(Embedder):
    """Mean red, green and blue (0 to 1) of each cell of a grid, cells by row."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.dimensions = 3 * height * width
        self.settings = {"size": [height, width], "weights": "", "backend": "numpy", "precision": "float32"}

    def prepare(self, image: Image.Image) -> npt.NDArray[Any]:
        """The picture shrunk to one pixel a cell, uint8."""
        return np.asarray(resize(image, self.height, self.width))

    def forward(self, batch: npt.NDArray[Any]) -> FloatArray:
        """Scale to 0-1 and flatten."""
        return batch.reshape(len(batch), -1).astype(np.float32) / 255.0


def load(name: str, options: Options) -> Embedder:
    """``options.size`` is the size of the grid."""
    if options.weights:
        raise ColdframeError(f"{name} has no weights: leave out --weights {options.weights}")
    return MeanColour(*(options.size or GRID))
