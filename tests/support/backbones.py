"""A network of Keras Applications with weights that a test makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.embed.embedders.keras_applications import backbone
from pipeline.runtime.frameworks import load_keras

NAME = "mobilenet"  # the one that is made and converted the fastest
VARIANCE = 0.02  # of BatchNormalization: with 1, random weights give vectors of 1e-20, with this of about 1


def save_weights(folder: Path, size: tuple[int, int]) -> Path:
    """A file of random weights of :data:`NAME`: each backend of Keras draws its own, and all of a test's must have the same."""
    network = backbone(NAME, weights="random", size=size)
    for layer in network.layers:
        if isinstance(layer, load_keras().layers.BatchNormalization):
            layer.moving_variance.assign(np.full(layer.moving_variance.shape, VARIANCE, np.float32))
    file = folder / f"{NAME}.weights.h5"
    network.save_weights(file)
    return file
