"""The rows of a plan with their vectors: what a head is trained and evaluated on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.embed import feature_sets
from store.errors import ColdframeError
from store.matrices import FloatMatrix, allocate, to_matrix
from store.store import Snapshot

Strings = npt.NDArray[np.str_]
CHUNK_ROWS = 4096


@dataclass(frozen=True)
class Rows:
    """Labelled images with vectors, by image id; row ``i`` of each array belongs to the same image.

    Attributes:
        views: vectors of shape (1 + views, n, dimensions), float32, first those of the unaugmented images. If an image lacks a
            view, its unaugmented vector takes the place.
        blocks: how many of the dimensions come from each feature set.
        without_vector: for each feature set, how many more rows were left out because they have no vector in it.
        without_view: how many rows lack one of the views asked for.
        folder: where a matrix that is too large for memory is stored.
    """

    image_ids: Strings
    content_ids: Strings
    labels: Strings
    splits: Strings
    views: FloatMatrix
    blocks: tuple[int, ...]
    without_vector: dict[str, int]
    without_view: int = 0
    folder: Path | None = None

    @property
    def matrix(self) -> FloatMatrix:
        """The vectors of the unaugmented images, shape (n, dimensions)."""
        matrix: FloatMatrix = self.views[0]
        return matrix

    def where(self, chosen: npt.NDArray[np.bool_]) -> Rows:
        """The chosen rows, in their order; if all are chosen, the same object and not a copy."""
        return self if chosen.all() else self._take(np.flatnonzero(chosen))

    def copy(self) -> Rows:
        """The same rows with their own copy of the vectors."""
        return self._take(np.arange(len(self)))

    def _take(self, places: npt.NDArray[np.int64]) -> Rows:
        if isinstance(self.views, np.memmap) and self.folder is not None:
            views = allocate((len(self.views), len(places), self.views.shape[2]), np.float32, self.folder, 0.0)
            for old, new in zip(self.views, views, strict=True):
                for start in range(0, len(places), CHUNK_ROWS):
                    new[start : start + CHUNK_ROWS] = old[places[start : start + CHUNK_ROWS]]
        else:
            views = self.views[:, places]
        return replace(
            self,
            image_ids=self.image_ids[places],
            content_ids=self.content_ids[places],
            labels=self.labels[places],
            splits=self.splits[places],
            views=views,
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    def digest(self) -> str:
        """Digest of ids, labels, splits and the vectors themselves."""
        digest = hashlib.sha256()
        for column in (self.image_ids, self.labels, self.splits):
            digest.update("\x1f".join(column.tolist()).encode())
        for view in self.views:
            for start in range(0, len(view), CHUNK_ROWS):
                digest.update(np.ascontiguousarray(view[start : start + CHUNK_ROWS]).tobytes())
        return digest.hexdigest()[:32]


def load_rows(
    snapshot: Snapshot,
    plan: str,
    embedders: Sequence[str],
    split: str,
    *,
    views: int = 0,
    memory_share: float = 0.25,
    may_be_empty: bool = False,
) -> Rows:
    """The labelled rows that ``plan`` keeps in ``split`` and that have a vector in each of ``embedders``, joined.

    Vectors go from the store's parts straight into one matrix. It is stored on disk if it is larger than ``memory_share`` of this
    machine's memory.

    Raises:
        ColdframeError: vectors are not finite, or the feature sets have no row in common although one is required.
    """
    table = snapshot.query("steps/runs/labelled_rows", plan=plan, splits=[split])
    rows = _with_vectors(snapshot, table, embedders, views=views, memory_share=memory_share)
    if len(table) and not len(rows) and len(embedders) > 1 and not may_be_empty:
        counts = ", ".join(f"{len(table) - count} in {name}" for name, count in rows.without_vector.items())
        raise ColdframeError(
            f"the feature sets {', '.join(embedders)} have no {split} row of plan {plan!r} in common ({counts}): "
            "'coldframe embed' each"
        )
    return rows


def rows_of_images(
    snapshot: Snapshot, embedders: Sequence[str], image_ids: Sequence[str], *, memory_share: float = 0.25
) -> Rows:
    """The images among ``image_ids`` that are still in the store and have a vector in each of ``embedders``."""
    snapshot.register("wanted_images", pa.table({"image_id": pa.array(image_ids, pa.string())}))
    table = snapshot.query("steps/runs/rows_of")
    return _with_vectors(snapshot, table, embedders, views=0, memory_share=memory_share)


def _with_vectors(
    snapshot: Snapshot, table: pa.Table, embedders: Sequence[str], *, views: int, memory_share: float
) -> Rows:
    """The rows of a table of images that have a vector in each feature set, with their vectors."""
    contents = table["content_id"].to_numpy(zero_copy_only=False).astype(str)
    has_all = np.ones(len(table), bool)
    without: dict[str, int] = {}
    for embedder in embedders:
        known = snapshot.query("steps/embed/vector_ids", embedder=embedder, view=0)["content_id"].to_pylist()
        has = np.isin(contents, np.array(known, dtype=str))
        without |= {embedder: int((~has).sum())} if not has.all() else {}
        has_all &= has

    def column(name: str) -> Strings:
        values: Strings = table[name].to_numpy(zero_copy_only=False)[has_all].astype(str)
        return values

    contents = contents[has_all]
    blocks = tuple(_dimensions(snapshot, embedder) for embedder in embedders)
    matrices = allocate((1 + views, len(contents), sum(blocks)), np.float32, snapshot.root, memory_share)
    lacking = np.zeros(len(contents), bool)
    for view in range(1 + views):
        at = 0
        for embedder, width in zip(embedders, blocks, strict=True):
            block = matrices[view, :, at : at + width]
            filled = _fill(snapshot, embedder, view, contents, block)
            block[~filled] = matrices[0, ~filled, at : at + width]
            lacking |= ~filled
            at += width
    return Rows(
        column("image_id"),
        contents,
        column("label"),
        column("split"),
        matrices,
        blocks,
        without,
        int(lacking.sum()),
        snapshot.root,
    )


def _dimensions(snapshot: Snapshot, embedder: str) -> int:
    return int(feature_sets.row_of(snapshot, embedder)["dimensions"])


def _fill(snapshot: Snapshot, embedder: str, view: int, contents: Strings, block: FloatMatrix) -> npt.NDArray[np.bool_]:
    """Write the vectors of one view of a feature set into the rows of ``block``; return which rows got one."""
    order = np.argsort(contents, kind="stable")
    ordered = contents[order]
    filled = np.zeros(len(contents), bool)
    for piece in snapshot.stream("steps/embed/vectors", embedder=embedder, view=view):
        ids = piece["content_id"].to_numpy(zero_copy_only=False).astype(str)
        first, last = np.searchsorted(ordered, ids, "left"), np.searchsorted(ordered, ids, "right")
        counts = last - first
        # several rows may have the same content: each gets the vector
        places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
        rows, vectors = order[places], to_matrix(piece["vector"])[np.repeat(np.arange(len(ids)), counts)]
        feature_sets.check_vectors(embedder, contents[rows], vectors, block.shape[1])
        block[rows] = vectors
        filled[rows] = True
    return filled
