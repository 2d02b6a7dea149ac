"""Decode files that have not been examined yet, in separate processes, each file within limits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import LifoQueue
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.ingest import decoding
from pipeline.ingest.examine import crashed, memory_for, most_pixels, too_long
from pipeline.ingest.limits import MAX_SECONDS
from store.worker import Died, TookTooLong, Worker


@dataclass(frozen=True)
class Inside:
    """A file found in a folder. Whatever happened to it since, no link that leads out of the folder is followed.

    Attributes:
        folder: the folder as it was given.
        top: the folder's real path, with links resolved.
        path: the file's path below the folder.
    """

    folder: str
    top: str
    path: str

    def __str__(self) -> str:
        return str(Path(self.folder, self.path))


Source = str | Path | bytes | Inside  # a file: its path, which may be a link; its bytes; or where it was found


class Decoders:
    """A pool of decoding processes. Each starts when it is needed and stays for the next file.

    Args:
        count: how many processes.
        max_pixels: of the largest picture. A model's maker can set this, so it is capped at :func:`examine.most_pixels`.
        size: (height, width) to resize to; None keeps the picture's own size.
        max_seconds: the time limit for one file.
    """

    def __init__(
        self, count: int, *, max_pixels: int, size: tuple[int, int] | None = None, max_seconds: float = MAX_SECONDS
    ) -> None:
        self.max_pixels, self.size, self.max_seconds = min(max_pixels, most_pixels()), size, max_seconds
        self._free: LifoQueue[Worker] = LifoQueue()  # last in, first out: take a running process first
        for _ in range(count):
            self.put(self._new())

    def start(self) -> None:
        """Start one process: it gets ready while other things are done."""
        worker = self.take()
        worker.start()
        self.put(worker)

    def take(self) -> Worker:
        """Take a free process; wait until there is one."""
        return self._free.get()

    def put(self, worker: Worker) -> None:
        """Return a process."""
        self._free.put(self._new() if worker.is_over else worker)

    def _new(self) -> Worker:
        return Worker(memory=memory_for(self.max_pixels), prepare=_get_ready)


class Decoding:
    """A set of files to decode, which can be called off. Several threads may use it at once."""

    def __init__(self, decoders: Decoders) -> None:
        self._decoders = decoders
        self._busy: set[Worker] = set()
        self._is_over = False
        self._lock = threading.Lock()  # guards the two above

    def decode(self, source: Source) -> Image.Image:
        """The picture of a file.

        Raises:
            UnreadableImage: the file gives no picture, takes too long, or crashes its process.
        """
        return Image.fromarray(self._ask(_decode, source, self._decoders.max_pixels, self._decoders.size))

    def identify(self, source: Source) -> str:
        """The content id of a file. It is read in a decoding process, because its length and reading time are unknown.

        Raises:
            UnreadableImage: the file cannot be read, or takes too long.
        """
        if isinstance(source, bytes):
            return decoding.content_id(source)
        found: str = self._ask(_identify, source, self._decoders.max_pixels)
        return found

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        worker, given = self._decoders.take(), self._decoders
        try:
            with self._lock:
                if self._is_over:
                    raise decoding.UnreadableImage("not wanted any more")
                self._busy.add(worker)
            return worker.call(function, *arguments, seconds=given.max_seconds)
        except TookTooLong:
            raise decoding.UnreadableImage(too_long(given.max_seconds)) from None
        except (Died, MemoryError):
            raise decoding.UnreadableImage(crashed()) from None
        finally:
            with self._lock:
                self._busy.discard(worker)
            self._decoders.put(worker)

    def end(self) -> None:
        """Call off all files, without waiting for any of them."""
        with self._lock:
            self._is_over = True
            for worker in self._busy:
                worker.kill()


def _get_ready() -> None:
    Image.preinit()


def _decode(source: Source, max_pixels: int, size: tuple[int, int] | None) -> npt.NDArray[np.uint8]:
    image = decoding.decode(_read(source, max_pixels), max_pixels=max_pixels).image
    return np.asarray(image if size is None else decoding.resize(image, *size))


def _identify(source: Source, max_pixels: int) -> str:
    return decoding.content_id(_read(source, max_pixels))


def _read(source: Source, max_pixels: int) -> bytes:
    most = decoding.most_bytes(max_pixels)
    if isinstance(source, bytes):
        return source
    if isinstance(source, Inside):
        return decoding.read_inside(Path(source.top), source.path, most=most)[0]
    return decoding.read_bytes(Path(source), most=most)
