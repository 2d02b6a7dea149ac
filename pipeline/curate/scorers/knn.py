"""k nearest neighbours: how lonely a picture is among all others, whatever their classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.curate.nearest import nearest
from pipeline.curate.scorers import FeatureSet
from pipeline.embed import feature_sets
from pipeline.steps.settings import LARGEST_COUNT, setting
from store.matrices import Vectors, unit_length


@dataclass(frozen=True)
class Settings:
    """What to compare with."""

    embedder: str | None = setting(None, "Feature set to score.", metavar="SET", default_text=feature_sets.DEFAULT_TEXT)
    k: int = setting(10, "How many neighbours.", least=1, most=LARGEST_COUNT)


def tell(value: float) -> str:
    """A score in words."""
    return f"a mean cosine distance of {value:.3f} to its nearest neighbours"


def score(vectors: Vectors, settings: Settings, feature_set: FeatureSet) -> npt.NDArray[np.float64]:
    """Mean cosine distance (0 to 2) of each content to its k nearest other contents, shape (n,).

    Exact up to 50,000 contents, see :mod:`pipeline.curate.nearest`. Fewer neighbours where there are fewer contents; a content
    all alone scores 0.
    """
    matrix = vectors.matrix
    count = len(matrix)
    k = min(settings.k, count - 1)
    if k < 1:
        return np.zeros(count)
    everyone = np.arange(count)
    _, cosines = nearest(unit_length(matrix), everyone, everyone, k)
    mean: npt.NDArray[np.float64] = cosines.mean(axis=1, dtype=np.float64)
    return 1.0 - mean
