"""Locks between processes. The kernel drops them when a process dies, so none is ever left behind."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store import opening
from store.errors import Locked


@contextmanager
def held(root: Path, name: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the store's lock ``name``, waiting at most ``wait`` seconds for it.

    Raises:
        Locked: somebody else holds it.
    """
    from filelock import FileLock, Timeout  # not for those who only read

    folder = root / "locks"
    opening.refuse_other_than_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.lock"
    if os.path.lexists(file) and (not stat.S_ISREG(file.lstat().st_mode) or file.lstat().st_nlink > 1):
        raise opening.NotRegular(errno.EINVAL, "a link or no file, expected a lock of the store's own", str(file))
    lock = FileLock(file)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise Locked(
            f"another coldframe process is writing {name.replace('-', ' ', 1)!r} in {root}: wait until it has ended "
            "(its work is kept), then run this again"
        ) from None
    try:
        yield
    finally:
        lock.release()
