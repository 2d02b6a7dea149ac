"""Nearest neighbours by cosine: pure functions on arrays. Up to some size all pairs are compared, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pipeline.curate import approximate
from store.matrices import FloatMatrix

MOST_PAIRS = 50_000**2  # that are all compared: two minutes on two cores. Beyond, a library finds candidates.
CHUNK_BYTES = 64 * 2**20  # of similarities at a time


def centred(matrix: FloatMatrix) -> FloatMatrix:
    """Rows less their mean, scaled to Euclidean length 1, shape (n, d), float32; a row equal to the mean stays zero."""
    unit: FloatMatrix = matrix - matrix.mean(axis=0, dtype=np.float64).astype(np.float32)
    unit /= np.maximum(np.sqrt(np.einsum("ij,ij->i", unit, unit)), 1e-12)[:, None]  # in place: a copy may be gigabytes
    return unit


def nearest(
    unit: FloatMatrix, rows: npt.NDArray[np.int64], references: npt.NDArray[np.int64], k: int
) -> tuple[npt.NDArray[np.int64], FloatMatrix]:
    """The k references most like each row, never the row itself, the most similar first.

    Exact up to :data:`MOST_PAIRS` pairs, and for few references. Else some of the k nearest may be missing: others stand in for
    them.

    Args:
        unit: vectors of length 1, shape (n, d).
        rows: which of them to look at, shape (m,).
        references: which of them may be found, shape (r,).

    Returns:
        Positions in ``unit`` and cosines, both of shape (m, min(k, r)); -1 and -inf where there are fewer.
    """
    k = min(k, len(references))
    if len(references) > approximate.COMPONENTS and len(rows) * len(references) > MOST_PAIRS:
        return approximate.nearest(unit, rows, references, k)
    found = np.full((len(rows), k), -1, np.int64)
    cosines = np.full((len(rows), k), -np.inf, np.float32)
    if not k:
        return found, cosines
    wanted = np.ascontiguousarray(unit[references].T) if len(references) < len(unit) else unit.T
    for part, similarity in _similarities(unit, rows, wanted):
        similarity[rows[part, None] == references[None, :]] = -np.inf
        at = np.argpartition(similarity, len(references) - k, axis=1)[:, -k:]
        value = np.take_along_axis(similarity, at, axis=1)
        order = np.argsort(-value, axis=1, kind="stable")
        cosines[part] = np.take_along_axis(value, order, axis=1)
        found[part] = np.where(np.isfinite(cosines[part]), references[np.take_along_axis(at, order, axis=1)], -1)
    return found, cosines


def _similarities(
    unit: FloatMatrix, rows: npt.NDArray[np.int64], wanted: FloatMatrix
) -> Iterator[tuple[slice, FloatMatrix]]:
    chunk = max(1, CHUNK_BYTES // (4 * wanted.shape[1]))
    for start in range(0, len(rows), chunk):
        part = slice(start, min(start + chunk, len(rows)))
        yield part, unit[rows[part]] @ wanted
