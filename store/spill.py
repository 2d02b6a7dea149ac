"""Where DuckDB puts what does not fit into memory: a folder that this user alone may enter, removed with its process.

A killed process cannot remove its folder. The next one does: whoever uses a folder holds a lock on it, which the system drops.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import shutil
import tempfile
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

PREFIX = "coldframe-spill-"
MARK = "made by coldframe"  # a file in each folder of ours: another may bear such a name
TRIES = 10
_OURS = re.compile(rf"{PREFIX}[a-z0-9_]{{8}}")  # the names that mkdtemp gives


def new() -> str:
    """A path for one connection's folder, which DuckDB makes when it needs it. Empty where there is no room for any folder:
    then nothing is spilled."""
    try:
        return str(_own(os.getpid()) / uuid.uuid4().hex)
    except OSError:
        return ""


def remove(path: str) -> None:
    """Remove what a connection spilled."""
    if path:
        shutil.rmtree(path, ignore_errors=True)


@cache
def _own(process: int) -> Path:
    """The folder of this process, mode 0700."""
    remove_leftovers()
    for _ in range(TRIES):
        made = Path(tempfile.mkdtemp(prefix=PREFIX))
        held = _hold(made)
        with suppress(FileNotFoundError):  # another process has just taken it for a leftover
            (made / MARK).touch()
            if held is not None:
                break
    atexit.register(_remove, made, held, process)  # without a hold where the system has no locks: nobody takes it then
    return made


def remove_leftovers() -> None:
    """Remove the folders of this user's processes that are no more: those with our mark, and empty ones, which a process that
    was killed had no time to mark, or had all but removed."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        held = _hold(path)
        if held is None:
            continue
        if (path / MARK).exists():
            _remove(path, held, os.getpid())
            continue
        with suppress(OSError):
            if _OURS.fullmatch(path.name):
                path.rmdir()  # which removes nothing but an empty folder
        os.close(held)


def _hold(path: Path) -> int | None:
    """A descriptor with the folder's lock; None where another process holds it, or it is no folder of this user's."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if status.st_uid == os.getuid() and status.st_mode & 0o777 == 0o700:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _remove(path: Path, held: int | None, process: int) -> None:
    if process == os.getpid():  # a forked child leaves it to its parent
        # the mark goes last: with it, the next process goes on where a killed one was
        for inside in [one for one in _names(path) if one.name != MARK]:
            shutil.rmtree(inside, ignore_errors=True) if inside.is_dir() and not inside.is_symlink() else _unlink(
                inside
            )
        shutil.rmtree(path, ignore_errors=True)
        if held is not None:
            with suppress(OSError):
                os.close(held)


def _names(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError:
        return []


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
