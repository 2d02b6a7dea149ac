"""How much memory there is."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Of the control groups, second and first version; a container sees its own here.
GPUS = ("/dev/nvidiactl", "/dev/kfd")  # of drivers
SET_ASIDE = 1 << 30  # bytes that libraries take at once and mostly do not use: arenas, and stacks of threads
_TAKEN = Path("/proc/self/statm")
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_bytes() -> int:
    """RAM this process may use, in bytes: that of its container, where it is in one with less."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _MEMORY_LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            sizes.append(int(file.read_text()))
    return min(sizes)


@contextmanager
def at_most(more: int) -> Iterator[None]:
    """Let this process take ``more`` bytes beyond what it has now, and some that libraries set aside. What needs more raises a
    :class:`MemoryError`, of the system's own finding: nobody has to add up what is taken.

    There is no limit where the system does not tell how much a process has.
    """
    try:
        taken = int(_TAKEN.read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")  # data and stacks
        before = resource.getrlimit(resource.RLIMIT_DATA)
    except (OSError, AttributeError):
        yield
        return
    most, (soft, hard) = taken + more + SET_ASIDE, before
    resource.setrlimit(resource.RLIMIT_DATA, (most if soft == resource.RLIM_INFINITY else min(most, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def leave_some_to_others() -> None:
    """Let this process take no more than nine tenths of the memory: what needs more fails with a sentence, and no other process
    is ended for it.

    There is no limit where there is a GPU: drivers set aside more than they use.
    """
    if any(Path(one).exists() for one in GPUS):
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = memory_bytes() // 10 * 9
    if hasattr(resource, "RLIMIT_DATA") and (soft == resource.RLIM_INFINITY or soft > most):
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
