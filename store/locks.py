"""Locks between processes. The kernel drops them when a process dies, so none is ever left behind."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from store import opening, places
from store.errors import Locked

LOOK_AGAIN = 0.05  # seconds between tries to get a lock
_OPEN = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def held(root: Path, name: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the store's lock ``name``, waiting at most ``wait`` seconds for it.

    Raises:
        Locked: somebody else holds it.
        NotRegular: a link or something else stands in its place.
    """
    file = root / "locks" / f"{_file_name(name)}.lock"
    _make_folder(root, file.parent)
    until = time.monotonic() + wait
    while (descriptor := _take(root, file)) is None:
        if time.monotonic() >= until:
            raise Locked(
                f"another coldframe process is writing {name.replace('-', ' ', 1)!r} in {root}: wait until it has ended "
                "(its work is kept), then run this again"
            )
        time.sleep(LOOK_AGAIN)
    try:
        yield
    finally:
        os.close(descriptor)  # which lets go


def _file_name(name: str) -> str:
    """A name of a file for each name of a lock, no two alike."""
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
        return name
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:32]
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:60] + "~" + digest


def _make_folder(root: Path, folder: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    opening.refuse_other_than_folder(folder)
    with places.holding(folder, root) as (name, above), suppress(FileExistsError):
        os.mkdir(name, dir_fd=above)


def _take(root: Path, file: Path) -> int | None:
    """A descriptor that holds a lock, reached through no link; None where somebody else holds it."""
    with places.holding(file, root) as (name, folder):
        try:
            descriptor = os.open(name, _OPEN, 0o666, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR):
                raise _refused(file) from error
            error.filename = str(file)
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise _refused(file)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(status, os.stat(name, dir_fd=folder, follow_symlinks=False)):
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(descriptor)
            raise
    os.close(descriptor)
    return None


def _refused(file: Path) -> opening.NotRegular:
    return opening.NotRegular(errno.EINVAL, "a link or no file, expected a lock of the store's own", str(file))
