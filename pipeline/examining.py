"""Examining files in a pool of processes: what each one is, or why it gives no picture."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import decoding

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
    count = workers or os.cpu_count() or 1
    look = partial(file_facts, root, max_pixels=max_pixels)
    while paths:
        done = 0
        try:
            with _pool(min(count, len(paths))) as pool:
                for path, result in zip(paths, pool.map(look, paths, chunksize=CHUNK), strict=True):
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
        with _pool(1) as pool:
            return pool.submit(look, path).result()
    except BrokenProcessPool:
        return "cannot be decoded: the decoder crashed or ran out of memory on this file"


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: the parent has threads of DuckDB and Arrow.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start_worker)


def _start_worker() -> None:
    """End with the parent, even one killed; keep the C libraries' complaints about bad files off the terminal."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def follow_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()
