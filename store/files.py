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

_durable: set[Path] = set()  # folders whose names this process has synced


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Make a new file of what ``fill`` writes; not durable until it is synced."""
    with _naming(path), path.open("xb") as file:
        fill(file)


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
    with _naming(folder):
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
