"""The rows of a plan with their vectors: what a head is trained and evaluated on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline import feature_sets
from store.matrices import FloatMatrix
from store.store import Snapshot

Strings = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Rows:
    """Labelled images with vectors, by image id; row ``i`` of each array is the same image."""

    image_ids: Strings
    content_ids: Strings
    labels: Strings
    splits: Strings
    matrix: FloatMatrix

    def of(self, split: str) -> Rows:
        """The rows of one split."""
        return self.where(self.splits == split)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Rows:
        """The rows chosen, in their order."""
        return Rows(
            self.image_ids[chosen],
            self.content_ids[chosen],
            self.labels[chosen],
            self.splits[chosen],
            self.matrix[chosen],
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    def digest(self) -> str:
        """Digest of ids, labels, splits and the vectors themselves."""
        digest = hashlib.sha256()
        for column in (self.image_ids, self.labels, self.splits):
            digest.update("\x1f".join(column.tolist()).encode())
        digest.update(np.ascontiguousarray(self.matrix).tobytes())
        return digest.hexdigest()[:32]


def load(snapshot: Snapshot, plan: str, embedder: str, splits: list[str]) -> tuple[Rows, int]:
    """The labelled rows that ``plan`` keeps in ``splits`` and that ``embedder`` has a vector for.

    Returns:
        The rows, and how many more there are without a vector.
    """
    table = snapshot.query("steps/train/labelled_rows", plan=plan, splits=splits)
    known = feature_sets.vectors(snapshot, embedder)
    positions = known.positions(table["content_id"])
    has_vector = positions >= 0

    def column(name: str) -> Strings:
        values: Strings = table[name].to_numpy(zero_copy_only=False)[has_vector].astype(str)
        return values

    rows = Rows(
        column("image_id"), column("content_id"), column("label"), column("split"), known.matrix[positions[has_vector]]
    )
    return rows, int((~has_vector).sum())
