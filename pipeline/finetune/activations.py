"""Activations: the outputs of a network's frozen layers for pictures, computed once and kept on disk.

They are in a folder of the store, ``activations/<digest>``, named by what they depend on: network, weights, size, the place of
the cut, decoding rules, precision, the version of Keras, and the backend. They are a cache: anything in it may be removed at
any time, and is computed again when needed.
"""

from __future__ import annotations

import io
import json
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.ingest import decoding
from pipeline.ingest.pictures import stream_pictures
from pipeline.runtime.progress import Progress
from store import digests, files, garbage, opening, whole
from store.errors import ColdframeError, Locked
from store.store import Snapshot, Store

TYPES = {"float16": np.float16, "float32": np.float32}
BATCH = 32  # pictures that go through the network at a time
# Results are written when there are this many, or after this many seconds: a killed job loses no more than that.
SHARD_BYTES, SHARD_SECONDS = 64 * 2**20, 15.0
MOST_LISTING = 64 * 2**20  # of the list of contents in a shard

Forward = Callable[
    [npt.NDArray[np.uint8]], npt.NDArray[Any]
]  # from a batch of pictures, uint8 (n, height, width, 3), to activations (n, *shape)


class Activations:
    """The activations of one network, by content.

    Attributes:
        folder: where they are kept.
        shape: the shape for one picture.
        kind: float16 or float32 on disk; they are returned as float32.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], kind: str) -> None:
        self.folder, self.shape, self.kind = folder, shape, kind
        self._shards: list[npt.NDArray[Any]] = []
        self._places: dict[str, tuple[int, int]] = {}

    @property
    def bytes(self) -> int:
        """Bytes on disk for one picture."""
        return math.prod(self.shape) * np.dtype(TYPES[self.kind]).itemsize

    def refresh(self) -> None:
        """Read what is there now; an incomplete file counts as missing."""
        self._shards, self._places = [], {}
        for listing in (one.path for one in opening.entries(self.folder) if one.path.suffix == ".json"):
            try:
                contents = json.loads(opening.read_regular(listing, most=MOST_LISTING))
                shard = _array(listing.with_suffix(".npy"))
            except Exception:  # parsers of headers raise kinds of their own
                continue
            if not isinstance(contents, list) or not all(isinstance(one, str) for one in contents):
                continue
            if shard.shape != (len(contents), *self.shape) or shard.dtype != TYPES[self.kind]:
                continue
            self._places |= {content: (len(self._shards), row) for row, content in enumerate(contents)}
            self._shards.append(shard)

    def missing(self, content_ids: Sequence[str]) -> list[str]:
        """The contents that are missing, each once."""
        return [content for content in dict.fromkeys(content_ids) if content not in self._places]

    def remove_leftovers(self) -> None:
        """Remove the leftovers of a killed writer; no other writer may be active."""
        for path in garbage.cached_files(self.folder, garbage.ACTIVATIONS):
            if path.suffix == ".tmp" or (path.suffix == ".npy" and not path.with_suffix(".json").exists()):
                files.remove(path)

    def take(self, content_ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Activations of contents that are there, shape (n, *shape), float32."""
        found = np.empty((len(content_ids), *self.shape), np.float32)
        for row, content in enumerate(content_ids):
            shard, place = self._places[content]
            found[row] = self._shards[shard][place]
        return found

    def write(self, content_ids: list[str], values: npt.NDArray[Any]) -> None:
        """Write the activations of some contents: all of them, or none."""
        name = uuid.uuid4().hex
        part = self.folder / f"{name}.npy"
        buffer = io.BytesIO()
        np.save(buffer, values)
        files.write(part, lambda file: file.write(buffer.getbuffer()))
        files.sync(part)
        whole.write(self.folder / f"{name}.json", lambda file: file.write(json.dumps(content_ids).encode()))


def _array(path: Path) -> npt.NDArray[Any]:
    """The array in an ``.npy`` file, memory-mapped from the file that was opened."""
    with opening.open_regular(path) as file:
        if np.lib.format.read_magic(file) != (1, 0):  # the version we write; an archive of arrays, for one, has none
            raise ValueError("not an array that coldframe writes")
        shape, is_fortran, kind = np.lib.format.read_array_header_1_0(file)
        if is_fortran or kind not in TYPES.values():
            raise ValueError("not an array that coldframe writes")
        return np.memmap(file, kind, "r", offset=file.tell(), shape=shape)


def opened(store: Store, key: Mapping[str, Any], shape: tuple[int, ...], kind: str) -> Activations:
    """The cache for all that ``key`` (JSON) names; created if it does not exist."""
    made_of = {**key, "decoding": decoding.RULES_VERSION, "kind": kind, "shape": list(shape)}
    folder = opening.make_own_folder(store.root, garbage.ACTIVATIONS, digests.of_json(made_of))
    os.utime(folder, follow_symlinks=False)  # in use now: the least recently used is removed first
    found = Activations(folder, shape, kind)
    found.refresh()
    return found


def fill(
    store: Store,
    snapshot: Snapshot,
    cache: Activations,
    content_ids: Sequence[str],
    size: tuple[int, int],
    forward: Forward,
    *,
    max_disk: int,
    quiet: bool,
) -> dict[str, str]:
    """Compute the missing activations of some contents.

    Args:
        forward: maps a batch of pictures, uint8 (n, height, width, 3), to activations.
        max_disk: bytes for all activations of the store; those of other networks are removed first, least recently used.

    Returns:
        The reason for each content that gives no picture.

    Raises:
        ColdframeError: they would take more than ``max_disk``, or exceed the range of float16.
        Locked: another process is computing the same activations.
    """
    with store.lock(_lock(cache.folder)):
        cache.refresh()
        cache.remove_leftovers()
        missing = cache.missing(content_ids)
        if missing:
            _make_room(store, cache, len(missing), max_disk)
        failed: dict[str, str] = {}
        shard: list[tuple[str, npt.NDArray[Any]]] = []
        last = time.monotonic()
        with Progress(len(missing), "cache", quiet=quiet) as progress:
            for contents, pictures in _batches(snapshot, missing, size, failed):
                shard += zip(contents, _as_kept(cache, forward(pictures)), strict=True)
                if len(shard) * cache.bytes >= SHARD_BYTES or time.monotonic() - last > SHARD_SECONDS:
                    _write(cache, shard)
                    last = time.monotonic()
                progress.advance(len(contents), failed=len(failed))
            _write(cache, shard)
        cache.refresh()
    return failed


def _batches(
    snapshot: Snapshot, content_ids: list[str], size: tuple[int, int], failed: dict[str, str]
) -> Iterator[tuple[list[str], npt.NDArray[np.uint8]]]:
    """Yield readable contents with their pictures, in batches; reasons for the others go into ``failed``."""
    some: list[tuple[str, npt.NDArray[np.uint8]]] = []
    for content, picture in stream_pictures(snapshot, content_ids, size):
        if isinstance(picture, str):
            failed[content] = picture
            continue
        some.append((content, picture))
        if len(some) == BATCH:
            yield [one for one, _ in some], np.stack([array for _, array in some])
            some = []
    if some:
        yield [one for one, _ in some], np.stack([array for _, array in some])


def _as_kept(cache: Activations, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    with np.errstate(over="ignore"):
        kept = values.astype(TYPES[cache.kind])
    if not np.isfinite(kept).all():
        raise ColdframeError(
            f"finetune: the frozen layers give values that {cache.kind} cannot hold: "
            + ("give --cache-as float32" if np.isfinite(values).all() else "are the backbone's weights whole?")
        )
    return kept


def _write(cache: Activations, shard: list[tuple[str, npt.NDArray[Any]]]) -> None:
    if shard:
        cache.write([content for content, _ in shard], np.stack([values for _, values in shard]))
        shard.clear()


def _make_room(store: Store, cache: Activations, missing: int, max_disk: int) -> None:
    """Remove caches of other networks, but not one being filled, until ``missing`` pictures fit into ``max_disk``."""
    there, more = garbage.size_of(cache.folder), missing * cache.bytes
    if there + more > max_disk:
        raise ColdframeError(
            f"finetune: the activations of {missing} more pictures would take {_shown(more)} beside {_shown(there)} that are "
            f"there, and {_shown(max_disk)} are allowed: allow more with --max-disk, or choose --mode whole"
        )
    others = [folder for folder in garbage.caches(store.root, garbage.ACTIVATIONS) if folder != cache.folder]
    taken = there + more + sum(map(garbage.size_of, others))
    for folder in sorted(others, key=lambda one: one.stat().st_mtime):
        if taken <= max_disk:
            return
        size = garbage.size_of(folder)
        with suppress(Locked), store.lock(_lock(folder)):
            garbage.remove_folder(folder)
        taken -= size - garbage.size_of(folder)


def _lock(folder: Path) -> str:
    """The name of the lock for filling a cache."""
    return f"activations-{folder.name}"


def _shown(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
