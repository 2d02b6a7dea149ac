"""Reaching a file without following a link, even one that is put there while a command runs.

Below the folder of a store no step to a file may be a link: each folder on the way is opened from the one above it, and the
file from the last of them.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STORES: dict[Path, tuple[int, int]] = {}  # device and inode of each store that this process has opened, by its paths
# Without waiting: a pipe that nobody writes to is opened at once, and refused then.
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_DESCRIPTORS = "/proc/self/fd"  # where Linux tells what a descriptor is of
_ENTER = READ | os.O_DIRECTORY | os.O_NOFOLLOW


def real_path(path: Path) -> Path:
    """The path of a file or folder that leads through no link, as the system finds it.

    The system follows some forty links. Following them here would have no end: a few links can stand for millions of steps.

    Raises:
        OSError: it is not there, may not be reached, or is behind too many links.
    """
    if not _tells_paths():
        path.stat()
        return path.resolve()
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return Path(os.readlink(f"{_DESCRIPTORS}/{descriptor}"))
    finally:
        os.close(descriptor)


def is_inside(path: Path, top: Path) -> bool:
    """Whether a path leads into a folder, through links too; of a file that cannot be reached, whether its name says so.

    Raises:
        OSError: it is too long, or behind too many links.
    """
    try:
        return real_path(path).is_relative_to(real_path(top))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return Path(os.path.normpath(path)).is_relative_to(os.path.normpath(top))


@functools.cache
def _tells_paths() -> bool:
    return hasattr(os, "O_PATH") and os.path.isdir(_DESCRIPTORS)


class NotRegular(OSError):
    """Something else than a regular file stands where one was expected: a link, a folder, a pipe, a device."""


def know(store: Path, as_one: tuple[int, int] | None = None) -> None:
    """Remember which folder a store is, under each path that may name it: another one in its place is not taken for it.

    Args:
        as_one: the device and inode that another process knows it by; None for those of the folder that is there now.
    """
    if as_one is None:
        status = store.stat()
        as_one = status.st_dev, status.st_ino
    STORES.update(dict.fromkeys((store, store.absolute(), store.resolve()), as_one))


def store_of(path: Path) -> Path | None:
    """The store that a path leads into; None for a path into no store of this process."""
    return next((folder for folder in path.parents if folder in STORES), None)


def enter(top: Path, folder: Path) -> int:
    """A descriptor of a folder, reached from ``top`` without a link.

    Raises:
        NotRegular: a step is a link or no folder, it is not below ``top``, or another folder has taken the place of the store.
    """
    steps = folder.relative_to(top).parts if folder.is_relative_to(top) else ("..",)
    if ".." in steps:
        raise NotRegular(errno.EINVAL, f"outside {top}", str(folder))
    descriptor = os.open(top, READ | os.O_DIRECTORY)
    found = os.fstat(descriptor)
    if STORES.get(top, (found.st_dev, found.st_ino)) != (found.st_dev, found.st_ino):
        os.close(descriptor)
        raise NotRegular(errno.ESTALE, "another folder has taken its place since the command began", str(top))
    for step in steps:
        try:
            inner = os.open(step, _ENTER, dir_fd=descriptor)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR):
                raise NotRegular(
                    error.errno, f"reached through {step!r}, which is a link or no folder", str(folder)
                ) from None
            raise
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


@contextmanager
def holding(path: Path, top: Path | None = None) -> Iterator[tuple[str, int | None]]:
    """The name of a file and a descriptor of the folder that holds it, as functions of ``os`` take them.

    For a file that is in no store, and not said to be below ``top``, they are its path and None.

    Raises:
        NotRegular: as :func:`enter`.
    """
    top = top or store_of(path)
    if top is None:
        yield str(path), None
        return
    folder = enter(top, path.parent)
    try:
        yield path.name, folder
    finally:
        os.close(folder)
