"""How much memory there is."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

# Of the control groups, second and first version; a container sees its own here.
GPUS = ("/dev/nvidiactl", "/dev/kfd")  # of drivers
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_bytes() -> int:
    """RAM this process may use, in bytes: that of its container, where it is in one with less."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _MEMORY_LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            sizes.append(int(file.read_text()))
    return min(sizes)


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
