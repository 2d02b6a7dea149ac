"""Autoencoder: how badly a small network, trained on all pictures, reconstructs the features of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.curate.scorers import FeatureSet
from pipeline.embed import feature_sets
from pipeline.runtime.frameworks import load_keras, set_seed
from pipeline.steps.settings import LARGEST_COUNT, LARGEST_SEED, setting
from store.errors import ColdframeError
from store.matrices import FloatMatrix, Vectors

SHARE = 20  # of a vector's length: the default size of the code
CHUNK_ROWS = 4096
TINY = 1e-6  # standard deviation below which a feature is taken to be constant


@dataclass(frozen=True)
class Settings:
    """The network, and how it is trained."""

    embedder: str | None = setting(None, "Feature set to score.", metavar="SET", default_text=feature_sets.DEFAULT_TEXT)
    code: int | None = setting(
        None,
        "Numbers that it has to describe a picture with.",
        least=1,
        most=LARGEST_COUNT,
        default_text=f"1/{SHARE} of the vector's length",
    )
    epochs: int = setting(30, "Rounds over all contents.", least=1, most=LARGEST_COUNT)
    batch: int = setting(64, "Contents per step.", least=1, most=LARGEST_COUNT)
    learning_rate: float = setting(0.001, "Learning rate of Adam.", above=0, spellings=("--lr",))
    seed: int = setting(0, "Seed of the first weights and of the order of the contents.", least=0, most=LARGEST_SEED)


def tell(value: float) -> str:
    """A score in words."""
    return f"{100 * value:.0f} % of its variance is not reconstructed"


def score(vectors: Vectors, settings: Settings, feature_set: FeatureSet) -> npt.NDArray[np.float64]:
    """Reconstruction error of each content, shape (n,), 0 or more: 1 is the error of guessing the mean of all.

    The mean squared difference between the standardised features of a content and what the network makes of them.

    Raises:
        ColdframeError: the code is as long as a vector, so that there is nothing to learn; or training diverged.
    """
    matrix = vectors.matrix
    dimensions = matrix.shape[1]
    code = settings.code or max(1, dimensions // SHARE)
    if code >= dimensions:
        raise ColdframeError(
            f"autoencoder: code = {code}, expected less than {dimensions}, the length of the vectors of {feature_set.name!r}"
        )
    mean, deviation = _moments(matrix)

    def standardised(rows: Any) -> FloatMatrix:
        return np.ascontiguousarray((matrix[rows] - mean) / deviation, np.float32)

    keras = load_keras()
    set_seed(keras, settings.seed)
    network = keras.Sequential(
        [keras.Input((dimensions,)), keras.layers.Dense(code, activation="relu"), keras.layers.Dense(dimensions)]
    )
    network.compile(optimizer=keras.optimizers.Adam(settings.learning_rate), loss="mse")
    random, batch = np.random.default_rng(settings.seed), min(settings.batch, len(matrix))
    for _ in range(settings.epochs):
        order = random.permutation(len(matrix))
        for start in range(0, len(matrix) - batch + 1, batch):  # all of one size: another one would be compiled anew
            taken = standardised(np.sort(order[start : start + batch]))
            network.train_on_batch(taken, taken)
    values = np.empty(len(matrix))
    for start in range(0, len(matrix), CHUNK_ROWS):
        taken = standardised(slice(start, start + CHUNK_ROWS))
        values[start : start + CHUNK_ROWS] = ((network.predict_on_batch(taken) - taken) ** 2).mean(
            axis=1, dtype=np.float64
        )
    if not np.isfinite(values).all():
        raise ColdframeError(
            f"autoencoder: its training on {feature_set.name!r} diverged: give a lower --learning-rate"
        )
    return values


def _moments(matrix: FloatMatrix) -> tuple[FloatMatrix, FloatMatrix]:
    """Mean and standard deviation of each feature; a constant feature has a deviation of 1."""
    mean = matrix.mean(axis=0, dtype=np.float64)
    squares = np.zeros(matrix.shape[1])
    for start in range(0, len(matrix), CHUNK_ROWS):
        squares += ((matrix[start : start + CHUNK_ROWS] - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / max(1, len(matrix)))
    return mean.astype(np.float32), np.where(deviation > TINY, deviation, 1).astype(np.float32)
