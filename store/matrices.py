"""Matrices out of vector columns, through Arrow."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FloatMatrix = npt.NDArray[np.float32]


def to_matrix(column: pa.ChunkedArray) -> FloatMatrix:
    """A list column without NULLs, all of one length, as a float32 array of shape (rows, dimensions)."""
    if not len(column):
        return np.zeros((0, 0), np.float32)
    array = column.combine_chunks()
    flat: FloatMatrix = array.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(len(array), -1)


def from_matrix(matrix: npt.NDArray[np.floating]) -> pa.FixedSizeListArray:
    """An array of shape (rows, dimensions) as fixed-size lists of its own float type."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(matrix).ravel()), matrix.shape[1])


def allocate(shape: tuple[int, ...], folder: Path, share: float) -> FloatMatrix:
    """An array of float32 to be filled; on disk where it is larger than ``share`` of the machine's memory.

    There it is a memory map of a file in ``folder`` without a name, which goes when the array goes or the process ends,
    however it ends.
    """
    wanted = int(np.prod(shape)) * np.dtype(np.float32).itemsize
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if wanted <= share * memory or not wanted:
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, wanted)  # a full disk says so here, and not by a signal later
        mapped: FloatMatrix = np.memmap(file, np.float32, "r+", shape=shape)
        return mapped


def unit_length(matrix: FloatMatrix) -> FloatMatrix:
    """Each row scaled to Euclidean length 1; a row of zeros stays."""
    unit: FloatMatrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    return unit


@dataclass(frozen=True)
class Vectors:
    """The vectors of one feature set: row ``i`` of ``matrix`` belongs to ``content_ids[i]``; ids ascend."""

    embedder: str
    content_ids: npt.NDArray[np.object_]
    matrix: FloatMatrix

    def positions(self, content_ids: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """The row of each content in ``matrix``; -1 where it has no vector."""
        wanted = content_ids.to_numpy().astype(object)
        if not len(self.content_ids):
            return np.full(len(wanted), -1, np.int64)
        found = np.searchsorted(self.content_ids, wanted).clip(max=len(self.content_ids) - 1)
        return np.where(self.content_ids[found] == wanted, found, -1)
