"""Durable file operations: whatever a commit does to the disk goes through here, one call an operation.

What survives a power cut is what was synced: a file's bytes by :func:`sync`, its name by :func:`sync_folder`.
An ``OSError`` out of here always names its file, though the system says no name when a disk is full.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from store import places

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_durable: set[Path] = set()  # folders whose names this process has synced


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Make a new file of what ``fill`` writes; not durable until it is synced."""
    with _naming(path):
        with places.holding(path) as (name, folder):
            descriptor = os.open(name, _NEW, 0o666, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            fill(file)


def sync(path: Path) -> None:
    """Make a file's bytes durable."""
    with _naming(path), places.holding(path) as (name, folder):
        _fsync(os.open(name, places.READ | os.O_NOFOLLOW, dir_fd=folder))


def sync_folder(folder: Path) -> None:
    """Make new names, renames and removals in ``folder`` durable."""
    with _naming(folder):
        top = folder if folder in places.STORES else places.store_of(folder)
        _fsync(os.open(folder, os.O_RDONLY) if top is None else places.enter(top, folder))


def make_folder(folder: Path) -> None:
    """Make ``folder``, and those above it, where they are not there, with their names durable.

    One that is there may have been made a moment ago by a process that had no time to sync its name, killed or not: each
    process syncs it once.
    """
    if folder in _durable and folder.is_dir():
        return
    if not folder.parent.is_dir():
        make_folder(folder.parent)
    with _naming(folder), places.holding(folder) as (name, above):
        try:
            os.mkdir(name, dir_fd=above)
        except FileExistsError:
            if not folder.is_dir():
                raise
    with suppress(PermissionError):  # a folder that may be entered but not read cannot be synced
        sync_folder(folder.parent)
    _durable.add(folder)


def rename(old: Path, new: Path) -> None:
    """Give a file another name, in place of any that had it."""
    with _naming(old), places.holding(old) as (name, folder), places.holding(new) as (other, target):
        os.rename(name, other, src_dir_fd=folder, dst_dir_fd=target)


def link(existing: Path, new: Path) -> None:
    """Give a file a second name.

    Raises:
        FileExistsError: the name is taken; unlike a rename, a link never replaces.
    """
    with places.holding(existing) as (name, folder), places.holding(new) as (other, target):
        os.link(name, other, src_dir_fd=folder, dst_dir_fd=target, follow_symlinks=False)


def remove(path: Path) -> None:
    """Remove a name, if it is there."""
    with _naming(path), suppress(FileNotFoundError), places.holding(path) as (name, folder):
        os.unlink(name, dir_fd=folder)


def _fsync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename is None or os.sep not in str(error.filename):  # a name in a folder that was opened before
            error.filename = str(path)
        raise
