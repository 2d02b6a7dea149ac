"""Decoding pictures of files that nobody has looked at yet, in processes of their own, each file within limits."""

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
    """A file that was found in a folder. Whatever has become of it since, no link that leads out of there is followed.

    Attributes:
        folder: as it was given.
        top: where that is, with no link in it.
        path: of the file, below the folder.
    """

    folder: str
    top: str
    path: str

    def __str__(self) -> str:
        return str(Path(self.folder, self.path))


Source = str | Path | bytes | Inside  # of a file: its path, which may be a link; what it holds; or where it was found


class Decoders:
    """Some processes that decode; each starts when it is needed, and stays for the next file.

    Args:
        count: how many.
        max_pixels: of the largest picture, which whoever made a model has a say in: no more than :func:`examine.most_pixels`.
        size: (height, width) to resize to; None for the picture as it is.
        max_seconds: the longest that one file may take.
    """

    def __init__(
        self, count: int, *, max_pixels: int, size: tuple[int, int] | None = None, max_seconds: float = MAX_SECONDS
    ) -> None:
        self.max_pixels, self.size, self.max_seconds = min(max_pixels, most_pixels()), size, max_seconds
        self._free: LifoQueue[Worker] = LifoQueue()  # one that runs before one that does not
        for _ in range(count):
            self.put(self._new())

    def start(self) -> None:
        """Start one of them: it gets ready while other things are done."""
        worker = self.take()
        worker.start()
        self.put(worker)

    def take(self) -> Worker:
        """One that nobody uses; waits for one."""
        return self._free.get()

    def put(self, worker: Worker) -> None:
        """Give one back."""
        self._free.put(self._new() if worker.is_over else worker)

    def _new(self) -> Worker:
        return Worker(memory=memory_for(self.max_pixels), prepare=_get_ready)


class Decoding:
    """Some files to look at, until they are not wanted any more; threads may ask for them at once."""

    def __init__(self, decoders: Decoders) -> None:
        self._decoders = decoders
        self._busy: set[Worker] = set()
        self._is_over = False
        self._lock = threading.Lock()  # of the two above

    def decode(self, source: Source) -> Image.Image:
        """The picture of a file.

        Raises:
            UnreadableImage: it gives none, takes too long, or takes its process down.
        """
        return Image.fromarray(self._ask(_decode, source, self._decoders.max_pixels, self._decoders.size))

    def identify(self, source: Source) -> str:
        """The content id of a file. It is read where it would be decoded, for nobody knows how long it is or takes.

        Raises:
            UnreadableImage: it cannot be read, or takes too long.
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
        """Wait for none of them: they are not wanted any more."""
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
