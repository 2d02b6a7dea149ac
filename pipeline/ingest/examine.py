"""Examine files in separate processes, each within limits: the facts of a file, or why it gives no picture."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from pipeline.ingest import decoding, measures
from pipeline.ingest.limits import MAX_SECONDS
from pipeline.runtime.processes import cores, in_workers
from store.memory import memory_bytes
from store.schemas import SCHEMAS
from store.worker import Died, TookTooLong

# Pillow takes 4 for each copy: decoded, RGBA, the white below, both composed, RGB, turned; and some to spare.
MEMORY_BYTES_A_PIXEL = 32
SAYS_NOTHING = 3  # bits set in a perceptual hash, at most: any two such hashes are within a few bits of each other
MEMORY_BYTES_BESIDE = 3 << 30  # address space for the process itself and the file's bytes
DECODING_SHARE = 0.25  # of the memory: what the pixels of one picture from a stranger may take
FILES_A_PROCESS = 32  # at least: starting a process takes as long as some hundred small files

Facts = dict[str, Any]


def file_facts(root: Path, path: str, *, max_pixels: int) -> Facts | str:
    """A row of the datasets ``files`` and ``facts`` for a path below ``root``, or the reason why the file gives none."""
    try:
        data, mtime_ns = decoding.read_inside(root, path, most=decoding.most_bytes(max_pixels))
        picture = decoding.decode(data, max_pixels=max_pixels, with_exif=True)
    except decoding.UnreadableImage as error:
        return str(error)
    chroma = decoding.chroma(picture.image)
    facts = {
        "path": path,
        "mtime_ns": kept_time(mtime_ns),
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
        "phash": _hash(picture.image, picture.content_id),
        **measures.facts_of(picture),
    }
    try:
        for dataset in ("files", "facts"):  # a file can claim anything: it fails alone
            pa.RecordBatch.from_pylist([facts], SCHEMAS[dataset])
    except (pa.ArrowException, OverflowError, ValueError) as error:
        return f"cannot be kept: what it says of itself is out of range ({error})"
    return facts


def _hash(image: Image.Image, content_id: str) -> str:
    """The perceptual hash, in hex. That of a flat picture or an even gradient says nothing, whatever its colour: a piece of the
    content's id stands in its place, which only equal bytes have."""
    found = decoding.perceptual_hash(image)
    return content_id[: len(found)] if int(found, 16).bit_count() <= SAYS_NOTHING else found


def kept_time(nanoseconds: int) -> int:
    """A time of change as the store keeps it, in 64 bits: the nearest to a date before 1678 or after 2262."""
    return max(-(2**63), min(nanoseconds, 2**63 - 1))


def examine(
    root: Path,
    paths: Iterable[str],
    files: int,
    *,
    max_pixels: int,
    workers: int | None,
    max_seconds: float = MAX_SECONDS,
) -> Generator[tuple[str, Facts | str], None, None]:
    """Yield ``(path, facts or reason)`` for each of ``files``, in order.

    A file fails alone if it crashes its process, wants more memory than a picture of ``max_pixels`` can need, or takes longer
    than ``max_seconds``. Close the generator: closed early, or on any exception, it waits for no file.
    """
    count = workers or max(1, min(cores(), files // FILES_A_PROCESS))
    look = partial(file_facts, root, max_pixels=max_pixels)
    results = in_workers(look, paths, count, seconds=max_seconds, memory=memory_for(max_pixels), prepare=get_ready)
    with closing(results):
        for path, result in results:
            if isinstance(result, TookTooLong):
                yield path, too_long(max_seconds)
            elif isinstance(result, Died | MemoryError):
                yield path, crashed()
            else:
                yield path, result


def too_long(max_seconds: float) -> str:
    """The reason for a file that exceeded the time limit."""
    return f"cannot be decoded: it took longer than {max_seconds:g} seconds"


def crashed() -> str:
    """The reason for a file that crashed its process."""
    return "cannot be decoded: the decoder crashed or ran out of memory on this file"


def memory_for(max_pixels: int) -> int:
    """Bytes of address space needed to decode a picture of ``max_pixels``, limited to what the machine has."""
    return MEMORY_BYTES_BESIDE + min(MEMORY_BYTES_A_PIXEL * max_pixels, memory_bytes())


def most_pixels() -> int:
    """The most pixels that an artefact or a store may allow, since a stranger may have made it."""
    return max(decoding.MAX_PIXELS, int(DECODING_SHARE * memory_bytes()) // MEMORY_BYTES_A_PIXEL)


def get_ready() -> None:
    """Import what decoding needs, so that this does not count as the first file's time."""
    decoding.perceptual_hash(Image.new("RGB", (8, 8)))  # imports SciPy
