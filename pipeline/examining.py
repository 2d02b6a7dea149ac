"""Examining files in a pool of processes: what each one is, or why it gives no picture."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import decoding
from pipeline.processes import cores, pool

CHUNK = 8

Facts = dict[str, Any]


def file_facts(root: Path, path: str, *, max_pixels: int) -> Facts | str:
    """One row of the dataset ``files`` for a path below ``root``, or the reason why it gives none."""
    file = root / path
    try:
        data = decoding.read_bytes(file)
        mtime_ns = file.stat().st_mtime_ns
        picture = decoding.decode(data, max_pixels=max_pixels)
    except decoding.UnreadableImage as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    chroma = decoding.chroma(picture.image)
    return {
        "path": path,
        "mtime_ns": mtime_ns,
        "decoding": decoding.RULES_VERSION,
        "examined_at": datetime.now(UTC),
        "content_id": picture.content_id,
        "bytes": picture.bytes,
        "format": picture.format,
        "mode": picture.mode,
        "width": picture.width,
        "height": picture.height,
        "frames": picture.frames,
        "is_grey": chroma <= decoding.GREY_CHROMA,
        "chroma": chroma,
        "phash": decoding.perceptual_hash(picture.image),
    }


def examine(root: Path, paths: list[str], *, max_pixels: int, workers: int | None) -> Iterator[tuple[str, Facts | str]]:
    """``(path, facts or reason)`` of each file, in order.

    A file that takes its process down with it (memory, a fault in a decoder) is looked at again alone, so that it is
    the only one to fail.
    """
    count = workers or cores()
    look = partial(file_facts, root, max_pixels=max_pixels)
    while paths:
        done = 0
        try:
            with pool(min(count, len(paths))) as processes:
                for path, result in zip(paths, processes.map(look, paths, chunksize=CHUNK), strict=True):
                    done += 1
                    yield path, result
            return
        except BrokenProcessPool:
            suspects = paths[done : done + CHUNK * (count + 1)]
            for path in suspects:
                yield path, _alone(look, path)
            paths = paths[done + len(suspects) :]


def _alone(look: partial[Facts | str], path: str) -> Facts | str:
    try:
        with pool(1) as alone:
            return alone.submit(look, path).result()
    except BrokenProcessPool:
        return "cannot be decoded: the decoder crashed or ran out of memory on this file"
