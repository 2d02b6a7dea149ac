"""The files of the demo's folder: each is written whole or not at all, and never through a link.

The folder may be a stranger's: its name is common, and it may have come with a data set.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from store import opening, places
from store.errors import ColdframeError

_PART = re.compile(
    r"([0-9]{1,9}|[0-9a-f]{32})\.part"
)  # names of files before they are complete, now and in earlier versions
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def make_folder(folder: Path, top: Path) -> None:
    """Make a folder below ``top``, and the folders on the path to it.

    Raises:
        ColdframeError: one of them is a link or not a folder.
    """
    for step in reversed([folder, *folder.parents]):
        if step != top and step.is_relative_to(top):
            with _told(step), places.holding(step, top) as (name, above), suppress(FileExistsError):
                os.mkdir(name, dir_fd=above)
    with _told(folder):
        os.close(places.enter(top, folder))


def put(file: Path, content: bytes, top: Path) -> None:
    """Write a file below ``top`` under another name and rename it, so that a killed process leaves no partial file.

    Raises:
        ColdframeError: the path to it has a link.
    """
    part = f"{uuid.uuid4().hex}.part"
    with _told(file), places.holding(file, top) as (name, folder):
        with os.fdopen(os.open(part, _NEW, 0o666, dir_fd=folder), "wb") as opened:
            opened.write(content)
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)


def is_there(file: Path) -> bool:
    """Whether a file exists that is not a link.

    Raises:
        ColdframeError: something else is there.
    """
    if not os.path.lexists(file):
        return False
    with _told(file):
        opening.open_regular(file).close()
    return True


def is_unfinished(path: Path) -> bool:
    """Whether this may be a partial file that a killed demo left."""
    return _PART.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Report that what is in the way was not made by a demo."""
    try:
        yield
    except opening.NotRegular as error:
        raise ColdframeError(f"{path}: {error.strerror}, which no demo makes: name another DIR") from error
