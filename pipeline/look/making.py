"""Making: what takes long is made in a thread of its own, while the page asks whether it is there."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from store.errors import ColdframeError

Points = npt.NDArray[np.float32]


class Maps:
    """The maps of one session: made in a thread of their own, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._making: dict[str, threading.Thread] = {}
        self._made: dict[str, Points] = {}
        self._failed: dict[str, str] = {}

    def get(self, digest: str) -> Points | None:
        """A map that is there; None where it is not made yet.

        Raises:
            ColdframeError: it could not be made.
        """
        with self._lock:
            if digest in self._failed:
                raise ColdframeError(self._failed.pop(digest))
            return self._made.get(digest)

    def put(self, digest: str, points: Points) -> None:
        """Keep a map."""
        with self._lock:
            self._made[digest] = points

    def make(self, digest: str, work: Callable[[], Points]) -> None:
        """Make a map, unless somebody does."""
        with self._lock:
            if digest in self._making and self._making[digest].is_alive():
                return
            thread = threading.Thread(target=self._run, args=(digest, work), daemon=True)
            self._making[digest] = thread
        thread.start()

    def _run(self, digest: str, work: Callable[[], Points]) -> None:
        try:
            self.put(digest, work())
        except (ColdframeError, ValueError, MemoryError) as error:
            with self._lock:
                self._failed[digest] = f"the map could not be made: {error}"
