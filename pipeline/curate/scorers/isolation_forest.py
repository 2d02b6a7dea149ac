"""Isolation forest: how easily random cuts through the features separate a picture from all others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.curate.scorers import FeatureSet
from pipeline.embed import feature_sets
from pipeline.runtime.processes import cores
from pipeline.steps.settings import LARGEST_COUNT, LARGEST_SEED, setting
from store.matrices import FloatMatrix, Vectors

CHUNK_ROWS = 4096
ORDINARY = 0.5  # the score of a content that random cuts separate as late as any


@dataclass(frozen=True)
class Settings:
    """The forest, and what it looks at."""

    embedder: str | None = setting(None, "Feature set to score.", metavar="SET", default_text=feature_sets.DEFAULT_TEXT)
    trees: int = setting(200, "How many trees.", least=1, most=10_000)
    samples: int = setting(256, "Contents that each tree is grown on.", least=2, most=LARGEST_COUNT)
    variance: float = setting(
        0.9,
        "Share of the variance in the principal components to look at; 1 for the features themselves.",
        above=0,
        most=1,
    )
    seed: int = setting(0, "Seed of the cuts.", least=0, most=LARGEST_SEED)


def tell(value: float) -> str:
    """A score in words."""
    return f"{'cut off easily' if value > ORDINARY else 'ordinary'}: 1 is at once, {ORDINARY} or less is ordinary"


def score(vectors: Vectors, settings: Settings, feature_set: FeatureSet) -> npt.NDArray[np.float64]:
    """Anomaly score of each content, shape (n,), 0 to 1: 1 is isolated at once, about 0.5 or less is ordinary.

    2^(-E(h)/c): E(h) is the mean number of random cuts that separate the content, c the same for a random search tree (Liu, Ting
    and Zhou, 2008). Fewer ``samples`` are taken where there are fewer contents; a content all alone scores 0.
    """
    matrix = vectors.matrix
    if len(matrix) < 2:
        return np.zeros(len(matrix))
    from sklearn.ensemble import IsolationForest

    looked_at = matrix if settings.variance == 1 else principal(matrix, settings.variance)
    forest = IsolationForest(
        n_estimators=settings.trees,
        max_samples=min(settings.samples, len(looked_at)),
        random_state=settings.seed,
        n_jobs=cores(),
    )
    forest.fit(looked_at)
    values = np.empty(len(looked_at))
    for start in range(0, len(values), CHUNK_ROWS):
        values[start : start + CHUNK_ROWS] = -forest.score_samples(looked_at[start : start + CHUNK_ROWS])
    return values


def principal(matrix: FloatMatrix, variance: float) -> FloatMatrix:
    """The first principal components of the rows, shape (n, k): as few as have a share of the variance.

    By the covariance, added up over pieces of the matrix, so that no copy of it is made.
    """
    count, dimensions = matrix.shape
    mean = matrix.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((dimensions, dimensions))
    for start in range(0, count, CHUNK_ROWS):
        centred = matrix[start : start + CHUNK_ROWS] - mean
        covariance += centred.T @ centred
    strengths, axes = np.linalg.eigh(covariance)
    strengths, axes = strengths[::-1].clip(min=0), axes[:, ::-1]
    total = strengths.sum()
    kept = int(np.searchsorted(np.cumsum(strengths), variance * total)) + 1 if total > 0 else 1
    axes = axes[:, : min(kept, dimensions)]
    found = np.empty((count, axes.shape[1]), np.float32)
    for start in range(0, count, CHUNK_ROWS):
        found[start : start + CHUNK_ROWS] = (matrix[start : start + CHUNK_ROWS] - mean) @ axes
    return found
