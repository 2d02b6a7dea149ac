"""Distances to class centroids: pure functions on arrays and tables."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from store.matrices import Vectors
from store.schemas import TRAIN

CHUNK_ROWS = 512  # their differences fit into a core's own cache


def class_centroids(
    matrix: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], classes: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Mean vector and size of each class, summed in float64 in the order given.

    Args:
        matrix: vectors, shape (n, d).
        rows: the row of each member in ``matrix``.
        classes: the class of each member, 0 to ``count`` - 1.

    Returns:
        Centroids of shape (count, d), zero for a class without members; sizes of shape (count,).
    """
    sums = np.zeros((count, matrix.shape[1]))
    sizes = np.bincount(classes, minlength=count)
    order = np.argsort(classes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    for label in range(count):
        members = rows[order[starts[label] : starts[label + 1]]]
        sums[label] = matrix[members].sum(axis=0, dtype=np.float64)
    return sums / np.maximum(sizes, 1)[:, None], sizes


def distances(
    matrix: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
    centroids: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Euclidean distance of each member to the centroid of its class, shape (len(rows),)."""
    result = np.empty(len(rows))
    for start in range(0, len(rows), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        result[part] = np.linalg.norm(matrix[rows[part]] - centroids[classes[part]], axis=1)
    return result


def without_itself(distance: npt.NDArray[np.float64], size: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The distance to the centroid of the *other* n - 1 members, from the distance d to the centroid of all n.

    The centroid without x is (n c - x) / (n - 1), and x - (n c - x) / (n - 1) = (x - c) n / (n - 1), hence d n / (n - 1).
    A class with a single member gives NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > 1, distance * size / (size - 1), np.nan)


def of_candidates(known: Vectors, candidates: pa.Table, *, leave_one_out: bool) -> pa.Table:
    """One row per candidate with a vector, whose class has a centroid of training images.

    Args:
        candidates: ``image_id, content_id, label, split``.
        leave_one_out: whether to measure each training image from the centroid of the others.

    Returns:
        ``image_id, label, split, distance, class_size``.
    """
    rows = known.positions(candidates["content_id"])
    labels = candidates["label"].to_numpy(zero_copy_only=False)
    usable = (rows >= 0) & np.array([label is not None for label in labels], bool)
    ids, split = candidates["image_id"].to_numpy()[usable], candidates["split"].to_numpy()[usable]
    names, classes = np.unique(labels[usable].astype(str), return_inverse=True)
    rows = rows[usable]
    in_train = split == TRAIN
    means, sizes = class_centroids(known.matrix, rows[in_train], classes[in_train], len(names))
    distance = distances(known.matrix, rows, classes, means)
    if leave_one_out:
        distance = np.where(in_train, without_itself(distance, sizes[classes]), distance)
    defined = (sizes[classes] > 0) & np.isfinite(distance)
    return pa.table(
        {
            "image_id": pa.array(ids[defined], pa.string()),
            "label": pa.array(names[classes][defined], pa.string()),
            "split": pa.array(split[defined], pa.string()),
            "distance": distance[defined],
            "class_size": sizes[classes][defined],
        }
    )
