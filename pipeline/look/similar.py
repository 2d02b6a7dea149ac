"""Similar pictures: the nearest of one, and the typical ones of a class, from the vectors of a feature set held in memory."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.curate.nearest import centred
from pipeline.embed import feature_sets
from pipeline.look.board import Board
from pipeline.look.typical import nearest_to_mean
from store.matrices import Vectors, unit_length

NEAREST = 12


class Similar:
    """The vectors of one feature set for the images of a board, centred and of length 1."""

    def __init__(self, board: Board, name: str) -> None:
        known = feature_sets.vectors(board.snapshot, name)
        self.name = name
        self._board = board
        self.rows: npt.NDArray[np.int64] = known.positions(pa.chunked_array([pa.array(board.contents, pa.string())]))
        self.unit = centred(known.matrix) if len(known.matrix) else known.matrix
        self._known: Vectors = known
        self._typical: dict[str, list[int]] = {}

    def nearest(self, position: int) -> list[tuple[int, float]]:
        """The images most like one, the most alike first, without copies of its bytes, and their cosines."""
        row = self.rows[position]
        if row < 0:
            return []
        cosines = self.unit @ self.unit[row]
        cosines[row] = -np.inf
        count = min(NEAREST, len(cosines) - 1)
        if count < 1:
            return []
        best = np.argpartition(-cosines, count - 1)[:count]
        order = best[np.argsort(-cosines[best], kind="stable")]
        found = []
        for one in order:
            content = self._known.content_ids[one]
            first = self._board.first_of(content)
            if first is not None and np.isfinite(cosines[one]):
                found.append((first, float(cosines[one])))
        return found

    def typical(self, label: str) -> list[int]:
        """The images that are typical of a class, as the report has it: see :mod:`pipeline.look.typical`."""
        if label not in self._typical:
            of_class = np.flatnonzero((self._board.labels == label) & self._may_be_typical)
            rows, first = np.unique(self.rows[of_class], return_index=True)  # equal bytes once
            order = nearest_to_mean(unit_length(self._known.matrix[rows]))
            self._typical[label] = [int(of_class[one]) for one in first[order]]
        return self._typical[label]

    @functools.cached_property
    def _may_be_typical(self) -> npt.NDArray[np.bool_]:
        """Images with a vector that the plan keeps, or all where there is no plan, without copies of others."""
        board = self._board
        copied = board.snapshot.select("copies", "image_id")["image_id"].to_pylist()
        is_original = np.ones(len(board.ids), bool)
        is_original[[board.place[one] for one in copied if one in board.place]] = False
        is_in = board.splits != None  # noqa: E711 (one by one)
        return np.asarray((is_in if is_in.any() else ~is_in) & is_original & (self.rows >= 0))

    def like(self, vector: npt.NDArray[np.float32]) -> list[tuple[int, float]]:
        """Images by the cosine of their vectors, as they are, with another one, the most alike first; equal bytes once."""
        matrix = self._known.matrix
        cosines = matrix @ vector / np.maximum(np.linalg.norm(matrix, axis=1) * np.linalg.norm(vector), 1e-12)
        found = []
        for one in np.argsort(-cosines, kind="stable"):
            first = self._board.first_of(self._known.content_ids[one])
            if first is not None and np.isfinite(cosines[one]):
                found.append((first, float(cosines[one])))
        return found
