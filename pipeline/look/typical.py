"""Typical pictures of a class: those nearest to the mean of its vectors, each of length 1.

They are chosen among the pictures that the plan keeps, or among all where there is no plan; copies of others are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from store.matrices import FloatMatrix, to_matrix, unit_length
from store.store import Snapshot

MOST = 8


def nearest_to_mean(unit: FloatMatrix, *, most: int = MOST) -> npt.NDArray[np.int64]:
    """Which of some vectors of length 1 are nearest to their mean, the nearest first."""
    if not len(unit):
        return np.zeros(0, np.int64)
    likeness = unit @ unit.mean(axis=0)
    order: npt.NDArray[np.int64] = np.argsort(-likeness, kind="stable")[:most]
    return np.asarray(order[np.isfinite(likeness[order])])


def typical(snapshot: Snapshot, embedder: str, plan: str | None, *, most: int = MOST) -> dict[str, list[str]]:
    """The contents that are typical of each class, the most typical first: of those that a plan keeps, or of all images.

    Vectors are read twice, piece by piece, so that they need not fit into memory.
    """
    labelled = snapshot.query("steps/look/report/labelled_contents", plan=plan)
    names, classes = np.unique(labelled["label"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    place_of = {content: place for place, content in enumerate(labelled["content_id"].to_pylist())}
    means: FloatMatrix | None = None
    for places, unit in _pieces(snapshot, embedder, place_of):
        if means is None:
            means = np.zeros((len(names), unit.shape[1]), np.float32)
        np.add.at(means, classes[places], unit)
    if means is None:
        return {}
    means = unit_length(means)
    likeness = np.full(len(place_of), -np.inf, np.float32)
    for places, unit in _pieces(snapshot, embedder, place_of):
        likeness[places] = np.einsum("ij,ij->i", unit, means[classes[places]])
    return _first(labelled["content_id"].to_pylist(), names, classes, likeness, most)


def _pieces(
    snapshot: Snapshot, embedder: str, place_of: dict[str, int]
) -> Iterator[tuple[npt.NDArray[np.int64], FloatMatrix]]:
    """Some vectors of length 1 at a time, with the place of the content of each."""
    for rows in snapshot.stream("steps/embed/vectors", embedder=embedder, view=0):
        places = np.array([place_of.get(one, -1) for one in rows["content_id"].to_pylist()], np.int64)
        known = places >= 0
        if known.any():
            yield places[known], unit_length(to_matrix(rows["vector"])[known])


def _first(
    contents: Sequence[str],
    names: npt.NDArray[np.str_],
    classes: npt.NDArray[np.int64],
    likeness: npt.NDArray[np.float32],
    most: int,
) -> dict[str, list[str]]:
    order = np.lexsort((-likeness, classes))
    ends = np.cumsum(np.bincount(classes, minlength=len(names)))
    found = {}
    for label, begin, end in zip(names.tolist(), [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        rows = [row for row in order[begin:end][:most].tolist() if np.isfinite(likeness[row])]
        found[label] = [contents[row] for row in rows]
    return found
