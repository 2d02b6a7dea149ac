"""Candidates: pairs of contents that may be copies of each other, by their vectors and by their perceptual hashes.

Vectors are compared as :mod:`pipeline.curate.nearest` says: all pairs up to 50,000. All pairs of hashes are compared, n²
exclusive ors. Neither holds more than a block of n columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.curate.nearest import centred, nearest
from store.matrices import FloatMatrix

BLOCK_BYTES = 64 << 20  # of one block of similarities
HASH_BITS = 64
# The bits of a hash that belong to odd horizontal frequencies, by rows of eight from the highest bit.
ODD_COLUMNS = np.uint64(sum(1 << (HASH_BITS - 1 - 8 * row - column) for row in range(8) for column in range(1, 8, 2)))

Pairs = npt.NDArray[np.int64]  # shape (n, 2), the smaller position first, ascending


def by_vectors(matrix: FloatMatrix, neighbours: int) -> Pairs:
    """Each content with its nearest others by centred cosine; ``matrix`` of shape (n, d).

    Centring takes away what all pictures of a catalogue have in common, which would make every cosine large.
    """
    everyone = np.arange(len(matrix))
    k = min(neighbours, len(matrix) - 1)
    if k < 1:
        return merged()
    found, _ = nearest(centred(matrix), everyone, everyone, k)
    pairs = np.stack([np.repeat(everyone, k), found.ravel()], axis=1)
    return merged(pairs[pairs[:, 1] >= 0])  # none where there are fewer


def by_hashes(hashes: npt.NDArray[np.uint64], most_bits: int, neighbours: int) -> Pairs:
    """Pairs whose hashes differ in at most ``most_bits`` of 64, plain or mirrored: of each, at most ``neighbours`` of either.

    A hash says which of the 8x8 lowest frequencies (DCT-II) of a picture are above their median, which is near 0. A mirrored
    picture has the same frequencies, the odd horizontal ones with the other sign, so that the hash of a mirrored picture is
    nearly that of the picture with those bits turned. (On 60 photographs: 2 bits apart in the median, never over 12.)
    """
    count = len(hashes)
    found = []
    for start, stop in _blocks(count, 16):
        for turned in (np.uint64(0), ODD_COLUMNS):
            distance = np.bitwise_count((hashes[start:stop, None] ^ turned) ^ hashes[None, :])
            own = np.arange(stop - start)
            distance[own, start + own] = HASH_BITS + 1
            rows, columns = np.nonzero(distance <= most_bits)
            crowded = np.flatnonzero(np.bincount(rows, minlength=stop - start) > neighbours)
            if len(crowded):
                stays = ~np.isin(rows, crowded)
                rows, columns = rows[stays], columns[stays]
                best = np.argpartition(distance[crowded], neighbours - 1, axis=1)[:, :neighbours]
                rows = np.concatenate([rows, np.repeat(crowded, neighbours)])
                columns = np.concatenate([columns, best.ravel()])
            found.append(np.stack([start + rows, columns], axis=1))
    return merged(*found)


def merged(*found: npt.NDArray[np.int64]) -> Pairs:
    """All pairs of positions, in any order, as pairs: each once."""
    every = np.concatenate([np.zeros((0, 2), np.int64), *found])
    return np.unique(np.sort(every, axis=1), axis=0)


def as_numbers(hashes: Sequence[str | None]) -> npt.NDArray[np.uint64]:
    """Perceptual hashes in hex as numbers; 0, the hash of a picture without a pattern, where there is none."""
    numbers = np.zeros(len(hashes), np.uint64)
    for place, one in enumerate(hashes):
        try:
            numbers[place] = int(one or "0", 16)
        except (ValueError, OverflowError):  # not written by coldframe
            continue
    return numbers


def _blocks(count: int, bytes_a_cell: int) -> Iterator[tuple[int, int]]:
    rows = max(1, BLOCK_BYTES // (bytes_a_cell * max(count, 1)))
    for start in range(0, count, rows):
        yield start, min(start + rows, count)
