"""Matrices out of vector columns, through Arrow."""

from __future__ import annotations

import functools
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from store.errors import ColdframeError, StoreDamaged
from store.memory import memory_bytes

Number = TypeVar("Number", np.float32, np.uint8)

FloatMatrix = npt.NDArray[np.float32]


def to_matrix(column: pa.ChunkedArray) -> FloatMatrix:
    """A list column as a float32 array of shape (rows, dimensions).

    Raises:
        StoreDamaged: there are NULLs, or lists of different lengths.
    """
    if not len(column):
        return np.zeros((0, 0), np.float32)
    array = column.combine_chunks()
    is_one_length = pa.types.is_fixed_size_list(array.type) or len(np.unique(np.diff(array.offsets.to_numpy()))) == 1
    if array.null_count or not is_one_length:
        raise StoreDamaged("vectors are missing or of different lengths: 'coldframe verify' says which")
    flat: FloatMatrix = array.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(len(array), -1)


def from_matrix(matrix: npt.NDArray[np.floating]) -> pa.FixedSizeListArray:
    """An array of shape (rows, dimensions) as fixed-size lists of its own float type."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(matrix).ravel()), matrix.shape[1])


def allocate(shape: tuple[int, ...], kind: type[Number], folder: Path, share: float) -> npt.NDArray[Number]:
    """An array of zeros to be filled; on disk where it is larger than ``share`` of the memory this process may use.

    There it is a memory map of a file in ``folder`` without a name, which goes when the array goes or the process ends,
    however it ends.

    Raises:
        ColdframeError: no room in ``folder``.
    """
    wanted = math.prod(shape) * np.dtype(kind).itemsize
    if not wanted or wanted <= share * memory_bytes():
        return np.zeros(shape, kind)
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, wanted)  # a full disk says so here, and not by a signal later
        except OSError as error:
            raise ColdframeError(
                f"{folder}: no room for {wanted / 1e9:.1f} GB that do not fit into memory ({error.strerror}): make room there, "
                "or allow more memory"
            ) from error
        return np.memmap(file, kind, "r+", shape=shape)


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
        place_of = self._places
        return np.array([place_of.get(one, -1) for one in content_ids.to_pylist()], np.int64)

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        # a search in the sorted ids would jump about in memory, and take three times as long a row for ten times the rows
        return {content: place for place, content in enumerate(self.content_ids.tolist())}
