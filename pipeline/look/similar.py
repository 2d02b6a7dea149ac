"""Similar pictures: the nearest of one, and the typical ones of a class, from the vectors of a feature set held in memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.curate.nearest import centred
from pipeline.embed import feature_sets
from pipeline.look.board import Board
from store.matrices import Vectors
from store.store import Snapshot

NEAREST, TYPICAL = 12, 8
PREFERRED = ("efficientnet-b4",)


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
        """The kept images of a class that are nearest to its middle, the nearest first."""
        if label not in self._typical:
            board = self._board
            of_class = np.flatnonzero((board.labels == label) & (board.rules == None) & (self.rows >= 0))  # noqa: E711
            rows = self.rows[of_class]
            if len(of_class):
                middle = self.unit[rows].mean(axis=0)
                _, first = np.unique(rows, return_index=True)  # equal bytes once
                order = first[np.argsort(-(self.unit[rows[first]] @ middle), kind="stable")]
                self._typical[label] = [int(of_class[one]) for one in order[:TYPICAL]]
            else:
                self._typical[label] = []
        return self._typical[label]

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


def preferred(snapshot: Snapshot) -> str | None:
    """The feature set that is shown where none is asked for: the default one, else the first that is no CLIP, else the first."""
    names = feature_sets.names(snapshot)
    for name in (*PREFERRED, *(one for one in names if not one.startswith("clip")), *names):
        if name in names:
            return name
    return None
