"""Examining files in processes of their own, each within limits: what a file is, or why it gives no picture."""

from __future__ import annotations

import multiprocessing
import resource
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import TimeoutError as TookTooLong
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessFuture, ProcessPool
from PIL import Image

from pipeline import decoding
from pipeline.processes import cores, start_worker

MAX_SECONDS = 60.0  # for one file; the slowest of a camera's takes one or two
# Pillow takes 4 for each copy: as decoded, as RGBA, the white below, both together, as RGB, turned; and some to spare.
MEMORY_BYTES_A_PIXEL = 32
MEMORY_BYTES_BESIDE = 3 << 30  # address space of the process itself and of the file's bytes
FILES_A_PROCESS = 32  # at least: starting one takes as long as some hundred small files
TASKS_AHEAD = 16  # for each process; they keep it busy and bound what waits in memory

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


def examine(
    root: Path,
    paths: Iterable[str],
    files: int,
    *,
    max_pixels: int,
    workers: int | None,
    max_seconds: float = MAX_SECONDS,
) -> Generator[tuple[str, Facts | str], None, None]:
    """``(path, facts or reason)`` of each of so many ``files``, in order.

    A file that takes its process down with it, wants more memory than a picture of ``max_pixels`` can need, or takes longer
    than ``max_seconds`` fails alone. Closed before its end, or on any exception, it waits for no file: close it.
    """
    count = workers or max(1, min(cores(), files // FILES_A_PROCESS))
    memory = MEMORY_BYTES_BESIDE + MEMORY_BYTES_A_PIXEL * max_pixels
    look = partial(file_facts, root, max_pixels=max_pixels)
    # spawned, not forked: this process has threads of DuckDB and Arrow
    spawn = multiprocessing.get_context("spawn")
    with ProcessPool(count, context=spawn, initializer=_start_limited, initargs=(memory,)) as processes:
        waiting: deque[tuple[str, ProcessFuture[Facts | str]]] = deque()
        todo = iter(paths)
        try:
            while True:
                room = count * TASKS_AHEAD - len(waiting)
                for path in islice(todo, room):
                    waiting.append((path, processes.schedule(look, args=(path,), timeout=max_seconds)))
                if not waiting:
                    return
                path, future = waiting.popleft()
                yield path, _facts_or_reason(future, max_seconds)
        except BaseException:  # Ctrl-C and being closed too: leaving the pool would else wait for every file that waits
            processes.stop()  # type: ignore[no-untyped-call]
            raise


def _facts_or_reason(future: ProcessFuture[Facts | str], max_seconds: float) -> Facts | str:
    try:
        result: Facts | str = future.result()
        return result
    except TookTooLong:
        return f"cannot be decoded: it took longer than {max_seconds:g} seconds"
    except (ProcessExpired, MemoryError):
        return "cannot be decoded: the decoder crashed or ran out of memory on this file"


def _start_limited(memory: int) -> None:
    start_worker()
    decoding.perceptual_hash(Image.new("RGB", (8, 8)))  # imports SciPy, which is not the first file's time
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY or memory < most:
        resource.setrlimit(resource.RLIMIT_AS, (memory, most))
