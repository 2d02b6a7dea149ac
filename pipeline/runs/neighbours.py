"""Neighbours: the training images nearest to a picture, by Euclidean distance between vectors."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runs.rows import rows_of_images
from pipeline.runs.runs import Run
from store import arrays as stored
from store.errors import ColdframeError
from store.matrices import FloatMatrix
from store.schemas import TRAIN
from store.store import Snapshot

MOST = 100_000  # training images that a model carries; out of more, this many are drawn at random
ROWS_AT_ONCE = 1024
PREFIX = "training/"  # starts the names of its arrays in a model's file
IMAGE_IDS, LABELS, VECTORS = f"{PREFIX}image_ids", f"{PREFIX}labels", f"{PREFIX}vectors"

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Neighbours:
    """Training images: their ids, labels and vectors (n, dimensions)."""

    image_ids: npt.NDArray[np.str_]
    labels: npt.NDArray[np.str_]
    matrix: FloatMatrix

    def nearest(self, vectors: FloatMatrix, k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The positions of the ``k`` training images nearest to each vector, the nearest first, and their distances.

        Raises:
            ColdframeError: the vectors have another length than those of the training images.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.matrix.shape[1]:
            raise ColdframeError(
                f"the vectors of the training images have {self.matrix.shape[1]} numbers, those that the model gives are of "
                f"shape {vectors.shape[1:]}: export or train again, or leave them out with --neighbours 0"
            )
        k = min(k, len(self.matrix))
        places, distances = np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k))
        for start in range(0, len(vectors), ROWS_AT_ONCE):
            rows = vectors[start : start + ROWS_AT_ONCE]
            with np.errstate(over="ignore", invalid="ignore"):  # a stranger's numbers may be of any size
                about = self._squares - 2.0 * (rows @ self.matrix.T)
            best = np.argpartition(about, k - 1, axis=1)[:, :k] if k < len(self.matrix) else np.argsort(about, axis=1)
            for row, found in enumerate(best, start):
                # recompute these without the cancellation that squares bring
                exact = np.linalg.norm(self.matrix[found].astype(np.float64) - vectors[row], axis=1)
                order = np.argsort(exact, kind="stable")
                places[row], distances[row] = found[order], exact[order]
        return places, distances

    @functools.cached_property
    def _squares(self) -> npt.NDArray[np.float32]:
        squares: npt.NDArray[np.float32] = np.einsum("ij,ij->i", self.matrix, self.matrix)
        return squares

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays for a model's file; vectors are float16 if that can hold them."""
        with np.errstate(over="ignore"):
            short = self.matrix.astype(np.float16)
        matrix = short if np.isfinite(short).all() else self.matrix
        return {IMAGE_IDS: self.image_ids, LABELS: self.labels, VECTORS: matrix}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Neighbours | None:
        """Read the arrays of :meth:`to_arrays`; None if there are none.

        Raises:
            Malformed: the arrays are of other kinds, or do not fit each other.
        """
        check(arrays)
        if VECTORS not in arrays:
            return None
        return cls(arrays[IMAGE_IDS], arrays[LABELS], arrays[VECTORS].astype(np.float32))


def check(arrays: Arrays) -> None:
    """Raises:
    Malformed: the arrays hold training images, but not as :meth:`Neighbours.to_arrays` writes them.
    """
    if not any(name.startswith(PREFIX) for name in arrays):
        return
    missing = [name for name in (IMAGE_IDS, LABELS, VECTORS) if name not in arrays]
    if missing:
        raise stored.Malformed(f"it has no {missing[0]}")
    ids, labels, vectors = arrays[IMAGE_IDS], arrays[LABELS], arrays[VECTORS]
    if not (stored.is_text(ids) and stored.is_text(labels) and stored.is_float(vectors, dimensions=2)):
        raise stored.Malformed("its training images are not ids, labels and vectors of finite numbers")
    if vectors.dtype.itemsize > 4:
        raise stored.Malformed("the vectors of its training images are of a kind that nothing writes")
    if not len(ids) == len(labels) == len(vectors) or not vectors.size:
        raise stored.Malformed(
            f"its training images do not fit each other: {len(ids)} ids, {len(labels)} labels, {len(vectors)} vectors of "
            f"{vectors.shape[1]} numbers"
        )


def of_run(snapshot: Snapshot, run: Run) -> Neighbours | None:
    """The training images of a run on cached features, with their vectors from the store; None if none has a vector."""
    trained = snapshot.query("steps/runs/run_labels", run_id=run.run_id, split=TRAIN)
    label_of = dict(zip(trained["image_id"].to_pylist(), trained["label"].to_pylist(), strict=True))
    ids = np.array(sorted(label_of))
    rows = rows_of_images(snapshot, run.embedders, ids[sample(len(ids), 0)].tolist())
    if not len(rows):
        return None
    return Neighbours(rows.image_ids, np.array([label_of[one] for one in rows.image_ids.tolist()]), rows.matrix)


def sample(count: int, seed: int) -> npt.NDArray[np.int64]:
    """The positions of the rows to carry, out of ``count``: all, or :data:`MOST` at random."""
    if count <= MOST:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, MOST, replace=False))
