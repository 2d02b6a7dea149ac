"""How much memory a process and all it starts hold at once."""

from __future__ import annotations

import threading
from pathlib import Path


class Peak:
    """The most memory a process and all below it held at once: the sum of their shares (PSS), sampled."""

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._stop = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        """End sampling; MiB."""
        self._stop.set()
        self._thread.join()
        return self._most // 1024

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            self._most = max(self._most, sum(pss(pid) for pid in _family(self._pid)))


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in _family(int(child)))]


def pss(pid: int) -> int:
    """KiB of a process, pages that it shares divided among the sharers; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
