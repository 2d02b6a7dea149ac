"""Where DuckDB puts what does not fit into memory: a folder that this user alone may enter, removed with its process.

A killed process cannot remove its folder. The next one does: whoever uses a folder holds a lock on it, which the system drops.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import shutil
import stat
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
        if _is_marked(held):
            _remove(path, held, os.getpid())
            continue
        with suppress(OSError):
            if _OURS.fullmatch(path.name):
                path.rmdir()  # which removes nothing but an empty folder
        os.close(held)


def _is_marked(held: int) -> bool:
    try:
        os.stat(MARK, dir_fd=held, follow_symlinks=False)
    except OSError:
        return False
    return True


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
    if process != os.getpid():  # a forked child leaves it to its parent
        return
    if held is None:
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):  # all by the descriptor: another folder may have got the name meanwhile
        # the mark goes last: with it, the next process goes on where a killed one was
        for name in sorted(os.listdir(held), key=lambda one: one == MARK):
            if stat.S_ISDIR(os.stat(name, dir_fd=held, follow_symlinks=False).st_mode):
                shutil.rmtree(name, ignore_errors=True, dir_fd=held)
            else:
                os.unlink(name, dir_fd=held)
    with suppress(OSError):
        path.rmdir()  # which removes nothing but an empty folder
    with suppress(OSError):
        os.close(held)
