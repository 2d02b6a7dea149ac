"""Thumbnails: small grey pictures with their keypoints, decoded once and kept in a file that goes with the process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence

import numpy as np
from PIL import Image

from pipeline.curate.likeness import alignment
from pipeline.curate.likeness.alignment import Keypoints, Picture
from pipeline.ingest.pictures import stream_prepared
from pipeline.runtime.progress import Progress
from store.errors import ColdframeError
from store.store import Snapshot

_POINT_BYTES, _DESCRIPTOR_BYTES = 8, 32


class Thumbnails:
    """Grey pictures of contents, by position, in a file without a name in the store: about 90 KB each, and nothing in memory.

    Attributes:
        failed: the reason of each content that gave no picture.
    """

    def __init__(self, snapshot: Snapshot, content_ids: Sequence[str], *, quiet: bool) -> None:
        """Decode the pictures and write them.

        Raises:
            ColdframeError: nothing was ingested yet, its folder is gone, or there is no room for the file.
        """
        self.failed: dict[str, str] = {}
        self._file = tempfile.TemporaryFile(dir=snapshot.root)  # noqa: SIM115
        # where each begins, its height and width, and how many keypoints it and its mirror image have
        self._places = np.zeros((len(content_ids), 5), np.int64)
        end = 0
        with Progress(len(content_ids), "decode", quiet=quiet) as progress:
            for position, (content_id, made) in enumerate(stream_prepared(snapshot, content_ids, picture_of)):
                if isinstance(made, str):
                    self.failed[content_id] = made
                else:
                    data = _packed(made)
                    self._write(data, snapshot)
                    points = len(made.plain.points), len(made.mirrored.points)
                    self._places[position] = (end, *made.grey.shape, *points)
                    end += len(data)
                progress.advance(1, failed=len(self.failed))
        self._file.flush()

    def _write(self, data: bytes, snapshot: Snapshot) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise ColdframeError(
                f"{snapshot.root}: no room for small pictures of all contents, 90 KB each ({error.strerror}): make room there, "
                "then run the command again"
            ) from error

    def has_keypoints(self, position: int) -> bool:
        """Whether there is anything to compare in a picture."""
        return bool(self._places[position, 3])

    def read(self, position: int) -> Picture:
        """The picture at a position."""
        begin, height, width, plain, mirrored = map(int, self._places[position])
        size = height * width + (plain + mirrored) * (_POINT_BYTES + _DESCRIPTOR_BYTES)
        data = os.pread(self._file.fileno(), size, begin)
        grey = np.frombuffer(data, np.uint8, height * width).reshape(height, width)
        first = _keypoints(data, height * width, plain)
        return Picture(grey, first, _keypoints(data, size - mirrored * (_POINT_BYTES + _DESCRIPTOR_BYTES), mirrored))

    def close(self) -> None:
        """Give the space back."""
        self._file.close()


def picture_of(image: Image.Image) -> Picture:
    """A decoded picture in grey, its longer side of 320 pixels, with its keypoints."""
    scale = alignment.SIDE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    grey = np.asarray(image.convert("L").resize(size, Image.Resampling.BILINEAR))
    return Picture(grey, alignment.keypoints(grey), alignment.keypoints(alignment.mirror(grey)))


def _packed(picture: Picture) -> bytes:
    parts = [picture.grey.tobytes()]
    for one in (picture.plain, picture.mirrored):
        parts += [one.points.tobytes(), one.descriptors.tobytes()]
    return b"".join(parts)


def _keypoints(data: bytes, begin: int, count: int) -> Keypoints:
    points = np.frombuffer(data, np.float32, 2 * count, begin).reshape(count, 2)
    descriptors = np.frombuffer(data, np.uint8, _DESCRIPTOR_BYTES * count, begin + _POINT_BYTES * count)
    return Keypoints(points, descriptors.reshape(count, _DESCRIPTOR_BYTES))
