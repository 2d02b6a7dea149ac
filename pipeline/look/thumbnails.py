"""Thumbnails: small pictures of contents, made when they are asked for and kept in the store.

They are in ``thumbnails/<first two digits>/<content id>.webp``. They are a cache: anything in it may be removed at any time, and
is made again when needed.
"""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from PIL import Image

from pipeline.ingest import decoding
from pipeline.ingest.pictures import image_root, ingested_max_pixels
from pipeline.runtime.processes import cores
from store import garbage, opening, whole
from store.errors import ColdframeError
from store.store import Snapshot

SIDE, QUALITY = 256, 80  # of a thumbnail: pixels of its longer side, and of WebP
LARGE, LARGE_QUALITY = 1600, 85  # of a picture to look at
EFFORT, LARGE_EFFORT = 2, 1  # of the encoder, 0 to 6: a large picture is made again each time it is asked for
# A JPEG of many pixels is decoded smaller, but to no less than this many times the side: then nobody sees a difference.
ENOUGH = 2
MOST_BYTES = 256 * 1024  # of a thumbnail: no picture of this size takes as much
_CONTENT_ID = re.compile(r"[0-9a-f]{32}")
_PLAIN_WEBP = b"WEBPVP8 "  # lossy, one frame, no transparency: what is written here


class NoSuchPicture(ColdframeError):
    """No image of the store has this content."""


class PictureUnreadable(ColdframeError):
    """The files of a content no longer give its picture; the message is the reason."""


class Thumbnails:
    """Pictures of the contents of one moment, as WebP. Several threads may ask at once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._store = snapshot.root
        self._paths = {row["content_id"]: row["paths"] for row in snapshot.rows("steps/look/paths")}
        self._images, self._max_pixels, self._reason = Path(), 0, ""
        try:
            self._max_pixels = ingested_max_pixels(snapshot)
            self._images = image_root(snapshot)
        except ColdframeError as error:  # what is kept can be shown all the same
            self._reason = str(error)
        self._in_use: set[Path] = set()
        self._decoding = threading.BoundedSemaphore(max(2, cores()))  # whole pictures in memory at once

    def thumbnail(self, content_id: str) -> bytes:
        """A picture of at most 256 pixels a side, made now if it is not there.

        Raises:
            NoSuchPicture: no image has this content.
            PictureUnreadable: its files no longer give a picture.
        """
        return self._thumbnail(content_id, _whole)

    def _thumbnail(self, content_id: str, find: Callable[[Path], bytes | None]) -> bytes:
        self._refuse_unknown(content_id)
        folder = self._store / garbage.THUMBNAILS / content_id[:2]
        file = folder / f"{content_id}.webp"
        kept = find(file)
        if kept is None:
            kept = self._make(content_id, SIDE, QUALITY, EFFORT)
            with suppress(OSError):  # a full or read-only disk, or a link in its place: it is made again next time
                opening.make_own_folder(self._store, garbage.THUMBNAILS, folder.name)
                whole.replace(file, lambda out: out.write(kept))
        elif folder not in self._in_use:
            with suppress(OSError):
                os.utime(folder, follow_symlinks=False)  # in use now: what was not used for long is removed
        self._in_use.add(folder)
        return kept

    def picture(self, content_id: str) -> bytes:
        """A large picture, which is not kept; a smaller one is not enlarged.

        Raises:
            NoSuchPicture: no image has this content.
            PictureUnreadable: its files no longer give a picture.
        """
        self._refuse_unknown(content_id)
        return self._make(content_id, LARGE, LARGE_QUALITY, LARGE_EFFORT)

    def warm(
        self, content_ids: Iterable[str], *, stop: threading.Event | None = None, threads: int | None = None
    ) -> dict[str, str]:
        """Make the thumbnails that are not there, in threads, until all are or ``stop`` is set.

        Returns:
            The reason for each content that gives no picture.
        """
        failed: dict[str, str] = {}

        def make(content_id: str) -> None:
            if stop is not None and stop.is_set():
                return
            try:
                self._thumbnail(content_id, _kept)
            except (NoSuchPicture, PictureUnreadable) as error:
                failed[content_id] = str(error)

        with ThreadPoolExecutor(threads or cores()) as pool:
            for _ in pool.map(make, dict.fromkeys(content_ids)):
                pass
        return failed

    def _refuse_unknown(self, content_id: str) -> None:
        # a store may come from a stranger, and what it calls a content id would name a file
        if content_id not in self._paths or not _CONTENT_ID.fullmatch(content_id):
            raise NoSuchPicture(f"{ascii(content_id)[:60]}: no image of this store has this content")

    def _make(self, content_id: str, side: int, quality: int, effort: int) -> bytes:
        if self._reason:
            raise PictureUnreadable(self._reason)
        paths = self._paths[content_id]
        made = io.BytesIO()
        try:
            with self._decoding:
                found = decoding.decode_content(
                    self._images, content_id, paths, max_pixels=self._max_pixels, at_least=ENOUGH * side
                )
                image = found.image
                image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
            image.save(made, "WEBP", quality=quality, method=effort)
        except decoding.UnreadableImage as error:
            raise PictureUnreadable(f"{paths[0]}: {error}") from error
        except MemoryError:
            raise PictureUnreadable(f"{paths[0]}: needs more memory to decode than there is") from None
        return made.getvalue()


def _whole(file: Path) -> bytes | None:
    """A thumbnail that is there, can be decoded and is of our making; None otherwise."""
    data = _kept(file)
    if data is None:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            image.load()
    except Exception:  # Pillow's decoders raise nearly anything on damaged input
        return None
    return data


def _kept(file: Path) -> bytes | None:
    """A thumbnail that is there and begins and ends as those of our making; None otherwise. Nothing in it is decoded."""
    try:
        data = opening.read_regular(file, most=MOST_BYTES)
    except OSError:
        return None
    is_whole = data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") + 8 == len(data)
    sides = [int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28)]
    return data if is_whole and data[8:16] == _PLAIN_WEBP and min(sides) >= 1 and max(sides) <= SIDE else None
