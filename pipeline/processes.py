"""What this process may use of the machine, and a pool of processes for work on many files."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

# Of the control groups, second and first version; a container sees its own here.
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def cores() -> int:
    """Cores this process may use: those of its container, where it is in one."""
    from joblib import cpu_count

    return int(cpu_count())


def memory_bytes() -> int:
    """RAM this process may use, in bytes: that of its container, where it is in one with less."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _MEMORY_LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            sizes.append(int(file.read_text()))
    return min(sizes)


def pool(workers: int) -> ProcessPoolExecutor:
    """Processes that end with their parent, even a killed one, and keep what C libraries write off the terminal."""
    # spawned, not forked: the parent has threads of DuckDB and Arrow
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=start_worker)


def start_worker() -> None:
    """What a process of a pool does first: end with its parent, keep what C libraries write off the terminal."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def follow_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()
