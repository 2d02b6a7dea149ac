"""Pictures of contents at one size, decoded once and kept in memory, or in a file if they are too many."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from pipeline.ingest import decoding
from pipeline.ingest.examine import most_pixels
from pipeline.runtime.processes import cores
from pipeline.runtime.progress import Progress
from pipeline.steps.settings import LARGEST_COUNT
from store.errors import ColdframeError
from store.matrices import allocate
from store.rows import json_of, not_ours
from store.store import Snapshot

MEMORY_SHARE = 0.25  # of RAM: a larger array goes into a file, which the system caches in memory as it sees fit
AHEAD = 64  # pictures to decode ahead

Pixels = npt.NDArray[np.uint8]
Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Pictures:
    """Pictures of one size, in the order asked for.

    Attributes:
        array: uint8 RGB of shape (n, height, width, 3), in memory or in a memory map that ends with it.
        readable: bool of shape (rows asked for,), true for the ``n`` rows that ``array`` holds.
        failed: the reason of each content that gave no picture.
    """

    array: Pixels
    readable: npt.NDArray[np.bool_]
    failed: dict[str, str]


def load_pictures(
    snapshot: Snapshot,
    content_ids: Sequence[str] | npt.NDArray[np.str_],
    size: tuple[int, int],
    *,
    memory_share: float = MEMORY_SHARE,
    quiet: bool = False,
) -> Pictures:
    """The pictures of ``content_ids`` by the decoding rules, bilinear at ``size`` (height, width).

    A content asked for several times is decoded once. An array larger than ``memory_share`` of RAM is a memory map of an
    unnamed file in the store.

    Raises:
        ColdframeError: nothing was ingested yet, its folder is gone, a side is below one pixel, ``memory_share`` is not from 0
            to 1, or there is no room for the file.
    """
    if min(size) < 1:
        raise ColdframeError(f"pictures of {size[0]}x{size[1]}: expected a height and a width of at least 1 pixel")
    if not 0 <= memory_share <= 1:
        raise ColdframeError(f"memory_share = {memory_share}, expected from 0 to 1")
    rows: dict[str, list[int]] = {}
    for row, content_id in enumerate(content_ids):
        rows.setdefault(str(content_id), []).append(row)
    array = allocate((len(content_ids), *size, 3), np.uint8, snapshot.root, memory_share)
    failed: dict[str, str] = {}
    with Progress(len(rows), "decode", quiet=quiet) as progress:
        for content_id, picture in stream_pictures(snapshot, list(rows), size):
            if isinstance(picture, str):
                failed[content_id] = picture
            else:
                array[rows[content_id]] = picture
            progress.advance(1, failed=len(failed))
    readable = np.ones(len(content_ids), np.bool_)
    readable[[row for content_id in failed for row in rows[content_id]]] = False
    return Pictures(_closed_up(array, readable), readable, failed)


def stream_pictures(
    snapshot: Snapshot, content_ids: Sequence[str], size: tuple[int, int]
) -> Iterator[tuple[str, Pixels | str]]:
    """Yield each content, in order, with its picture at ``size``, uint8 (height, width, 3), or the reason why it has none.

    Threads decode some of them ahead.

    Raises:
        ColdframeError: nothing was ingested yet, or its folder is gone.
    """
    return stream_prepared(snapshot, content_ids, lambda image: np.asarray(decoding.resize(image, *size)))


def stream_prepared(
    snapshot: Snapshot, content_ids: Sequence[str], prepare: Callable[[Image.Image], Prepared]
) -> Iterator[tuple[str, Prepared | str]]:
    """Yield each content, in order, with what ``prepare`` makes of its RGB picture, or the reason why it has none.

    Threads decode and prepare some of them ahead.

    Raises:
        ColdframeError: nothing was ingested yet, or its folder is gone.
    """
    root, max_pixels = image_root(snapshot), ingested_max_pixels(snapshot)
    snapshot.register("wanted", pa.table({"content_id": pa.array(content_ids, pa.string())}))
    paths = {row["content_id"]: row["paths"] for row in snapshot.rows("steps/ingest/paths")}

    def decode(content_id: str) -> Prepared | str:
        try:
            found = decoding.decode_content(root, content_id, paths.get(content_id, []), max_pixels=max_pixels)
            return prepare(found.image)
        except decoding.UnreadableImage as error:
            return str(error)
        except MemoryError:
            return "needs more memory to decode than there is"

    with ThreadPoolExecutor(cores() + 1) as pool:
        ahead: deque[tuple[str, Future[Prepared | str]]] = deque()
        try:
            for content_id in content_ids:
                ahead.append((content_id, pool.submit(decode, content_id)))
                if len(ahead) > AHEAD:
                    first, future = ahead.popleft()
                    yield first, future.result()
            for first, future in ahead:
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _closed_up(array: Pixels, readable: npt.NDArray[np.bool_]) -> Pixels:
    """Move the readable rows together, in place: a copy might not fit in memory."""
    kept = np.flatnonzero(readable)
    for row in np.flatnonzero(kept != np.arange(len(kept))):
        array[row] = array[kept[row]]
    return array[: len(kept)]


def image_root(snapshot: Snapshot) -> Path:
    """The image folder of the last ingest.

    Raises:
        ColdframeError: nothing was ingested yet, or the folder is gone.
    """
    settings = _ingest_settings(snapshot)
    root = decoding.folder(settings["images"], follow_links=settings.get("follow_links") is True)
    if not root.is_dir():
        raise ColdframeError(
            f"{root}: the image folder is not there any more; run 'coldframe ingest' again with --images where it is now"
        )
    return root


def ingested_max_pixels(snapshot: Snapshot) -> int:
    """The largest picture that the last ingest took, in pixels; no more than a store may allow, which a stranger may have made.

    Raises:
        ColdframeError: nothing was ingested yet.
    """
    found: int = _ingest_settings(snapshot)["max_pixels"]
    return min(found, most_pixels())


def read_otherwise(moment: Snapshot) -> tuple[str, ...]:
    """A sentence if files were read by earlier decoding rules and may look different by those of now."""
    count = moment.value("steps/ingest/count_read_otherwise")
    if not count:
        return ()
    return (
        f"{count} pictures have more than 8 bits a sample and were read by earlier decoding rules, maybe too dark: 'coldframe "
        "sql \"from read_otherwise\"' lists them, 'coldframe ingest' with --rehash reads them again, and then 'coldframe embed' "
        "makes their vectors anew",
    )


def _ingest_settings(snapshot: Snapshot) -> dict[str, Any]:
    records = snapshot.rows("steps/steps/step", step="ingest", name="")
    if not records:
        raise ColdframeError(f"{snapshot.root}: no catalogue yet; start with 'coldframe ingest METADATA --images DIR'")
    where = "the settings of the last ingest"
    settings = {"max_pixels": decoding.MAX_PIXELS, **json_of(records[0]["settings"], where)}
    if not isinstance(settings.get("images"), str):
        raise not_ours(where, "they name no image folder")
    if type(settings["max_pixels"]) is not int or not 1 <= settings["max_pixels"] <= LARGEST_COUNT:
        expected = f"expected a number from 1 to {LARGEST_COUNT}"
        raise not_ours(where, f"max_pixels = {ascii(settings['max_pixels'])[:60]}, {expected}")
    return settings
