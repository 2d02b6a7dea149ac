"""Decoding pictures of files that nobody has looked at yet, in processes of their own, each file within limits."""

from __future__ import annotations

import threading
from pathlib import Path
from queue import LifoQueue

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.ingest import decoding
from pipeline.ingest.examine import crashed, memory_for, too_long
from pipeline.ingest.limits import MAX_SECONDS
from store.worker import Died, TookTooLong, Worker

Source = str | Path | bytes  # of a file: its path, or what it holds


class Decoders:
    """Some processes that decode; each starts when it is needed, and stays for the next file.

    Args:
        count: how many.
        max_pixels: of the largest picture.
        size: (height, width) to resize to; None for the picture as it is.
        max_seconds: the longest that one file may take.
    """

    def __init__(
        self, count: int, *, max_pixels: int, size: tuple[int, int] | None = None, max_seconds: float = MAX_SECONDS
    ) -> None:
        self.max_pixels, self.size, self.max_seconds = max_pixels, size, max_seconds
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
    """Some files to decode, until they are not wanted any more; threads may ask for them at once."""

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
        worker, given = self._decoders.take(), self._decoders
        try:
            with self._lock:
                if self._is_over:
                    raise decoding.UnreadableImage("not wanted any more")
                self._busy.add(worker)
            array = worker.call(_decode, source, given.max_pixels, given.size, seconds=given.max_seconds)
        except TookTooLong:
            raise decoding.UnreadableImage(too_long(given.max_seconds)) from None
        except (Died, MemoryError):
            raise decoding.UnreadableImage(crashed()) from None
        finally:
            with self._lock:
                self._busy.discard(worker)
            self._decoders.put(worker)
        return Image.fromarray(array)

    def end(self) -> None:
        """Wait for none of them: they are not wanted any more."""
        with self._lock:
            self._is_over = True
            for worker in self._busy:
                worker.kill()


def _get_ready() -> None:
    Image.preinit()


def _decode(source: Source, max_pixels: int, size: tuple[int, int] | None) -> npt.NDArray[np.uint8]:
    most = decoding.most_bytes(max_pixels)
    data = source if isinstance(source, bytes) else decoding.read_bytes(Path(source), most=most)
    image = decoding.decode(data, max_pixels=max_pixels).image
    return np.asarray(image if size is None else decoding.resize(image, *size))
