"""Making: what takes long is made in a thread of its own, while the page asks whether it is there."""

from __future__ import annotations

import threading
import time
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
        self._stages: dict[str, tuple[str, float]] = {}
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
            self._stages[digest] = ("", time.monotonic())
        thread.start()

    def begin(self, digest: str, stage: str) -> None:
        """Say what is done for a map from now on."""
        with self._lock:
            self._stages[digest] = (stage, self._stages[digest][1])

    def progress(self, digest: str) -> tuple[str, int]:
        """What is done for a map just now, and the seconds since it was begun."""
        with self._lock:
            stage, begun = self._stages.get(digest, ("", time.monotonic()))
            return stage, int(time.monotonic() - begun)

    def _run(self, digest: str, work: Callable[[], Points]) -> None:
        try:
            self.put(digest, work())
        except (ColdframeError, ValueError, MemoryError) as error:
            with self._lock:
                self._failed[digest] = f"the map could not be made: {error}"
