"""The cache of converted networks: a folder that nobody else may write to.

Whoever may write into the cache decides what a network computes: the digests kept beside a network reveal damage, not malice.
So a cache is used only if this user or root owns it. A group may write to it: that is the team's choice. A cache that everybody
may write to is refused, and so is a link in it. The folders above it are not checked.
"""

from __future__ import annotations

import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from store import opening
from store.errors import ColdframeError

NETWORKS, SOURCES = "networks", "sources"  # folders in the cache
LARGEST_TEXT = 2**20  # bytes of a small text file in the cache


class Distrusted(ColdframeError):
    """Others may have put something into the cache of converted networks."""

    def __init__(self, place: Path, what: str) -> None:
        super().__init__(
            f"{place}: {what}, so the converted networks there are not to be trusted: make sure that only you may write there, "
            "name another folder in the environment variable COLDFRAME_CACHE, or choose another --backend"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return ColdframeError, (str(self),)  # for pickling, out of the converting process


def folder() -> Path:
    """The folder of converted networks: ``COLDFRAME_CACHE``, else in the user's cache folder. It may be removed at any time."""
    given = os.environ.get("COLDFRAME_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "coldframe"


def read_json(file: Path) -> dict[str, Any]:
    """The contents of a file in the cache; empty if it is missing or incomplete."""
    try:
        with opened(file) as readable:
            value = json.loads(readable.read(LARGEST_TEXT))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def check() -> None:
    """Check that nobody else may put a network into the cache; if there is no cache, make one for this user alone.

    Raises:
        Distrusted: somebody else owns it, everybody may write to it, or a link leads out of it.
        ColdframeError: it cannot be made, or is not a folder.
    """
    top = folder()
    try:
        top.mkdir(0o700, parents=True, exist_ok=True)
        found = [(top, top.stat()), (top, top.lstat())]  # for a link, its owner counts too
    except OSError as error:
        raise ColdframeError(
            f"{top}: converted networks cannot be kept there ({error.strerror or error}); name another folder in the "
            "environment variable COLDFRAME_CACHE, or choose another --backend"
        ) from error
    for place, status in found:
        if status.st_uid not in (os.geteuid(), 0):
            raise Distrusted(place, f"the folder belongs to somebody else (user {status.st_uid})")
    _check_mode(top, found[0][1])
    for inner in (NETWORKS, SOURCES):
        is_own_folder(top / inner)


def is_own_folder(folder: Path) -> bool:
    """Whether a folder exists in the cache.

    Raises:
        Distrusted: something else is there, or others may write to it.
    """
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        raise Distrusted(folder, "a link" if stat.S_ISLNK(status.st_mode) else "not a folder")
    _check_mode(folder, status)
    _check_owner(folder, status)
    return True


def opened(file: Path) -> BufferedReader:
    """Open a file of the cache for reading.

    Raises:
        Distrusted: it is a link, or others may write to it.
        OSError: the system refuses.
    """
    try:
        opened = opening.open_regular(file, below=folder())
    except opening.NotRegular as error:
        raise Distrusted(file, str(error.strerror)) from error
    status = os.fstat(opened.fileno())
    try:
        _check_mode(file, status)
        _check_owner(file, status)
    except Distrusted:
        opened.close()
        raise
    return opened


def _check_mode(place: Path, status: os.stat_result) -> None:
    if status.st_mode & stat.S_IWOTH:
        raise Distrusted(place, "everybody may write there")


def _check_owner(place: Path, status: os.stat_result) -> None:
    """Check the owner of a file or folder; in a team's cache, the work of other members is accepted."""
    if status.st_uid not in (os.geteuid(), 0) and not folder().stat().st_mode & stat.S_IWGRP:
        raise Distrusted(place, f"it belongs to somebody else (user {status.st_uid})")


def make_folder(folder: Path) -> None:
    """Make a folder directly below the cache, not writable by everybody whatever the umask."""
    folder.mkdir(0o775, exist_ok=True)


def write_sealed(file: IO[bytes], text: bytes) -> None:
    """Write a file of the cache."""
    seal(file)
    file.write(text)


def seal(file: IO[bytes]) -> None:
    """Make a new file writable only by its owner and its group."""
    os.fchmod(file.fileno(), stat.S_IMODE(os.fstat(file.fileno()).st_mode) & ~stat.S_IWOTH)
