"""Decoding pictures of files that nobody has looked at yet, in processes of their own, each file within limits."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline import decoding
from pipeline.examining import MAX_SECONDS, crashed, memory_for, too_long
from store.worker import Died, TookTooLong, Worker

Source = str | Path | bytes  # of a file: its path, or what it holds


class Decoders:
    """Some processes that decode; each starts when it is needed. Threads may use them at once.

    Args:
        count: how many.
        max_pixels: of the largest picture.
        size: (height, width) to resize to; None for the picture as it is.
        max_seconds: the longest that one file may take.
    """

    def __init__(
        self, count: int, *, max_pixels: int, size: tuple[int, int] | None = None, max_seconds: float = MAX_SECONDS
    ) -> None:
        self._max_pixels, self._size, self._max_seconds = max_pixels, size, max_seconds
        self._all = [Worker(memory=memory_for(max_pixels), prepare=_get_ready) for _ in range(count)]
        self._free: SimpleQueue[Worker] = SimpleQueue()
        for worker in reversed(self._all):
            self._free.put(worker)

    def start(self) -> None:
        """Start one of them: it gets ready while other things are done."""
        worker = self._free.get()
        worker.start()
        self._free.put(worker)

    def decode(self, source: Source) -> Image.Image:
        """The picture of a file.

        Raises:
            UnreadableImage: it gives none, takes too long, or takes its process down.
        """
        worker = self._free.get()
        try:
            array = worker.call(_decode, source, self._max_pixels, self._size, seconds=self._max_seconds)
        except TookTooLong:
            raise decoding.UnreadableImage(too_long(self._max_seconds)) from None
        except (Died, MemoryError):
            raise decoding.UnreadableImage(crashed()) from None
        finally:
            self._free.put(worker)
        return Image.fromarray(array)

    def end(self) -> None:
        """End them all, whatever they do."""
        for worker in self._all:
            worker.kill()


def _get_ready() -> None:
    Image.preinit()


def _decode(source: Source, max_pixels: int, size: tuple[int, int] | None) -> npt.NDArray[np.uint8]:
    most = decoding.most_bytes(max_pixels)
    data = source if isinstance(source, bytes) else decoding.read_bytes(Path(source), most=most)
    image = decoding.decode(data, max_pixels=max_pixels).image
    return np.asarray(image if size is None else decoding.resize(image, *size))
