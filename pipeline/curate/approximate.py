"""Approximate nearest neighbours by cosine, for sets too large to compare all pairs: candidates by FAISS, then exact cosines.

Candidates come from the principal components of the vectors, sorted into cells by k-means (an inverted file: Jégou et al.,
"Product quantization for nearest neighbor search", 2011; Johnson et al., "Billion-scale similarity search with GPUs", 2019).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime import quiet
from store.matrices import FloatMatrix

COMPONENTS = 256
SAMPLE = 20_000  # vectors from which the components are found
CELLS = 4  # times the square root of the number of vectors
PROBES = 32  # cells that are searched for each vector
PER_CELL, ROUNDS = 64, 10  # of k-means
CANDIDATES, LEAST_CANDIDATES = 4, 100  # for each neighbour that is wanted, and at least
CHUNK_ROWS, CHUNK_BYTES = 8192, 64 * 2**20

Positions = npt.NDArray[np.int64]


def nearest(unit: FloatMatrix, rows: Positions, references: Positions, k: int) -> tuple[Positions, FloatMatrix]:
    """As :func:`pipeline.curate.nearest.nearest`, but some of the nearest may be missing: others stand in for them.

    Of at most :data:`COMPONENTS` references whose vectors are finite, which have too few components, none is missing.
    """
    found, cosines = np.full((len(rows), k), -1, np.int64), np.full((len(rows), k), -np.inf, np.float32)
    references = references[_are_finite(unit, references)]
    wanted = np.flatnonzero(_are_finite(unit, rows))
    if not len(references) or not len(wanted):
        return found, cosines
    index = _Index(unit, references) if len(references) > COMPONENTS else None
    count = min(max(CANDIDATES * k, LEAST_CANDIDATES) + 1, len(references))  # one may be the row itself
    for start in range(0, len(wanted), CHUNK_ROWS):
        part = wanted[start : start + CHUNK_ROWS]
        candidates = index.search(unit[rows[part]], count) if index else np.tile(references, (len(part), 1))
        places, values = _best(unit, rows[part], candidates, k)
        found[part, : places.shape[1]], cosines[part, : places.shape[1]] = places, values
    return found, cosines


class _Index:
    """References, to be searched by their principal components."""

    def __init__(self, unit: FloatMatrix, references: Positions) -> None:
        faiss: Any = quiet.load("faiss")
        sample = np.random.default_rng(0).choice(references, min(len(references), SAMPLE), replace=False)
        self._references, self._components = references, None
        size = unit.shape[1]
        if size > COMPONENTS:
            self._components, size = faiss.PCAMatrix(size, COMPONENTS), COMPONENTS
            self._components.train(unit[np.sort(sample)])
        cells = int(CELLS * len(references) ** 0.5)
        self._index = faiss.IndexIVFFlat(faiss.IndexFlatIP(size), size, cells, faiss.METRIC_INNER_PRODUCT)
        self._index.cp.max_points_per_centroid, self._index.cp.niter = PER_CELL, ROUNDS
        self._index.cp.min_points_per_centroid = 1  # no warning where there are few references for many rows
        self._index.nprobe = PROBES
        low = np.empty((len(references), size), np.float32)
        for start in range(0, len(references), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            low[part] = self._low(unit[references[part]])
        self._index.train(low)
        self._index.add(low)

    def _low(self, vectors: FloatMatrix) -> FloatMatrix:
        return self._components.apply(vectors) if self._components is not None else vectors

    def search(self, vectors: FloatMatrix, count: int) -> Positions:
        """Positions in the matrix of ``count`` references for each vector, shape (n, count); -1 where there are fewer."""
        _, found = self._index.search(self._low(vectors), count)
        return np.where(found >= 0, self._references[found], -1)


def _best(unit: FloatMatrix, rows: Positions, candidates: Positions, k: int) -> tuple[Positions, FloatMatrix]:
    """The k best candidates of each row by their cosines, which are exact."""
    cosines = np.empty(candidates.shape, np.float32)
    chunk = max(1, CHUNK_BYTES // (4 * candidates.shape[1] * unit.shape[1]))
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        cosines[part] = np.matmul(unit[candidates[part]], unit[rows[part], :, None])[..., 0]
    cosines[(candidates < 0) | (candidates == rows[:, None])] = -np.inf
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(cosines, order, axis=1)
    return np.where(np.isfinite(best), np.take_along_axis(candidates, order, axis=1), -1), best


def _are_finite(unit: FloatMatrix, rows: Positions) -> npt.NDArray[np.bool_]:
    sums = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        sums[part] = unit[rows[part]].sum(axis=1)
    return np.isfinite(sums)
