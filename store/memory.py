"""How much memory there is."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# Of the control groups, second and first version; a container sees its own here.
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_bytes() -> int:
    """RAM this process may use, in bytes: that of its container, where it is in one with less."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _MEMORY_LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            sizes.append(int(file.read_text()))
    return min(sizes)
