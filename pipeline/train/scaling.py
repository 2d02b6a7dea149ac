"""Scale vectors before a head sees them: not at all, to unit length, or standardised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from store.errors import ColdframeError
from store.matrices import FloatMatrix, unit_length

KINDS = ("raw", "l2", "standard")
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Scaling:
    """How to scale vectors.

    ``l2`` scales the vector of each feature set (``blocks`` are their lengths) to length 1. ``standard`` subtracts ``mean`` and
    divides by ``deviation``, both of the training rows and of shape (dimensions,).
    """

    kind: str
    blocks: tuple[int, ...]
    mean: npt.NDArray[np.float32] | None = None
    deviation: npt.NDArray[np.float32] | None = None

    def apply(self, matrix: FloatMatrix) -> FloatMatrix:
        """Scale vectors, shape (n, dimensions), in place and return the same matrix: one on disk stays there."""
        for start in range(0, 0 if self.kind == "raw" else len(matrix), ROWS_AT_ONCE):
            rows = matrix[start : start + ROWS_AT_ONCE]
            if self.mean is not None and self.deviation is not None:
                rows -= self.mean
                rows /= self.deviation
                continue
            at = 0
            for width in self.blocks:
                rows[:, at : at + width] = unit_length(rows[:, at : at + width])
                at += width
        return matrix

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays for a head's file."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "scaling": np.array(json.dumps({"kind": self.kind, "blocks": self.blocks}))
        }
        if self.mean is not None and self.deviation is not None:
            arrays |= {"scaling_mean": self.mean, "scaling_deviation": self.deviation}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Scaling:
        """Read the arrays of :meth:`to_arrays`."""
        said = json.loads(str(arrays["scaling"]))
        return cls(said["kind"], tuple(said["blocks"]), arrays.get("scaling_mean"), arrays.get("scaling_deviation"))


def fit(kind: str, matrix: FloatMatrix, blocks: tuple[int, ...]) -> Scaling:
    """The scaling of a kind, fitted to ``matrix``, the training rows.

    Raises:
        ColdframeError: no such kind.
    """
    if kind not in KINDS:
        raise ColdframeError(f"no input {kind!r}; available: {', '.join(KINDS)}")
    if kind != "standard":
        return Scaling(kind, blocks)
    mean = matrix.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        squares += ((matrix[start : start + ROWS_AT_ONCE] - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / len(matrix))
    deviation[deviation < 1e-12] = 1.0  # a constant dimension carries no information, and stays 0
    return Scaling(kind, blocks, mean.astype(np.float32), deviation.astype(np.float32))
