"""Durable file operations: whatever a commit does to the disk goes through here, one call an operation.

What survives a power cut is what was synced: a file's bytes by :func:`sync`, its name by :func:`sync_folder`.
An ``OSError`` out of here always names its file, though the system says no name when a disk is full.

A store or an artefact may come from a stranger, so reading one follows no link and waits for no pipe: :func:`open_regular`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_durable: set[Path] = set()  # folders whose names this process has synced


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Make a new file of what ``fill`` writes; not durable until it is synced."""
    with _naming(path), path.open("xb") as file:
        fill(file)


class NotRegular(OSError):
    """Something else than a regular file stands where one was expected: a link, a folder, a pipe, a device."""


_KINDS = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe is opened without waiting for a writer, and refused then
_ENTER = _READ | os.O_DIRECTORY | os.O_NOFOLLOW


def open_regular(path: Path, *, below: Path | None = None, follow: bool = False) -> BinaryIO:
    """Open a regular file for reading. What was opened is checked, not what stood there a moment before.

    Args:
        path: the file. It must not be a link itself, unless ``follow``.
        below: a folder above it; from there on no step to the file may be a link.

    Raises:
        NotRegular: it is no regular file, or is reached through a link.
        OSError: the system refuses.
    """
    with _naming(path):
        folder = _enter(below, path) if below is not None else None
        try:
            flags = _READ if follow else _READ | os.O_NOFOLLOW
            descriptor = os.open(path if folder is None else path.name, flags, dir_fd=folder)
        except OSError as error:
            # a link where none may be, or a socket, which cannot be opened at all
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
                kind = "a socket" if error.errno == errno.ENXIO else "a link"
                raise NotRegular(error.errno, f"{kind}, expected a regular file", str(path)) from None
            raise
        finally:
            if folder is not None:
                os.close(folder)
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise NotRegular(errno.EINVAL, f"{_KINDS.get(kind, 'a device')}, expected a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def _enter(top: Path, path: Path) -> int:
    """A descriptor of the folder that holds ``path``, reached from ``top`` without a link."""
    steps = path.relative_to(top).parts
    if ".." in steps:
        raise NotRegular(errno.EINVAL, f"outside {top}", str(path))
    descriptor = os.open(top, _READ | os.O_DIRECTORY)
    for step in steps[:-1]:
        try:
            inner = os.open(step, _ENTER, dir_fd=descriptor)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR):
                raise NotRegular(error.errno, f"reached through {step!r}, which is a link or no folder", str(path)) from None
            raise
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def read_regular(path: Path, *, below: Path | None = None, follow: bool = False, most: int | None = None) -> bytes:
    """The bytes of a regular file, as :func:`open_regular` opens it; never more than ``most`` of them.

    Raises:
        NotRegular: as there.
        OSError: the system refuses, or the file is larger than ``most`` bytes (``EFBIG``).
    """
    with open_regular(path, below=below, follow=follow) as file, _naming(path):
        data = file.read() if most is None else file.read(most + 1)
        if most is not None and len(data) > most:
            raise OSError(errno.EFBIG, f"larger than {most} bytes", str(path))
        return data


def is_plain_folder(folder: Path) -> bool:
    """Whether there is a folder, and no link to one."""
    try:
        return stat.S_ISDIR(folder.lstat().st_mode)
    except OSError:
        return False


def sync(path: Path) -> None:
    """Make a file's bytes durable."""
    _fsync(path)


def sync_folder(folder: Path) -> None:
    """Make new names, renames and removals in ``folder`` durable."""
    _fsync(folder)


def make_folder(folder: Path) -> None:
    """Make ``folder``, and those above it, where they are not there, with their names durable.

    One that is there may have been made a moment ago by a process that had no time to sync its name, killed or not: each
    process syncs it once.
    """
    if folder in _durable and folder.is_dir():
        return
    if not folder.parent.is_dir():
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    with suppress(PermissionError):  # a folder that may be entered but not read cannot be synced
        sync_folder(folder.parent)
    _durable.add(folder)


def rename(old: Path, new: Path) -> None:
    """Give a file another name, in place of any that had it."""
    old.rename(new)


def link(existing: Path, new: Path) -> None:
    """Give a file a second name.

    Raises:
        FileExistsError: the name is taken; unlike a rename, a link never replaces.
    """
    os.link(existing, new)


def remove(path: Path) -> None:
    """Remove a name, if it is there."""
    path.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    with _naming(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
