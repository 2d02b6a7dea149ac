"""Opening what may come from a stranger: a store or an artefact of somebody else is input.

No link is followed, so that nothing outside is read or changed, and no pipe is waited for.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from store import files
from store.places import READ, holding
from store.places import NotRegular as NotRegular  # which is raised here

_PIECE = 1 << 20  # bytes read at a time
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}


def open_regular(path: Path, *, below: Path | None = None, follow: bool = False) -> io.BufferedReader:
    """Open a regular file for reading. What was opened is checked, not what stood there a moment before.

    Args:
        path: the file. It must not be a link itself, unless ``follow``.
        below: a folder above it; from there on no step to the file may be a link. A store of this process is one anyway.

    Raises:
        NotRegular: it is no regular file, or is reached through a link.
        OSError: the system refuses.
    """
    with _naming(path):
        flags = READ if follow else READ | os.O_NOFOLLOW
        with holding(path, below) as (name, folder):
            try:
                descriptor = os.open(name, flags, dir_fd=folder)
            except OSError as error:
                # a link where none may be, or a socket, which cannot be opened at all
                if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
                    found = "a link" if error.errno != errno.ENXIO else "a socket" if path.is_socket() else "a device"
                    raise NotRegular(error.errno, f"{found}, expected a regular file", str(path)) from None
                raise
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        number = errno.EISDIR if kind == stat.S_IFDIR else errno.EINVAL
        raise NotRegular(number, f"{_KINDS.get(kind, 'a device')}, expected a regular file", str(path))
    return os.fdopen(descriptor, "rb")


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


def sha256(path: Path, *, most: int, follow: bool = False) -> str:
    """The SHA-256 of a regular file, in hex; never more than ``most`` bytes are read, whatever size the file claims.

    Raises:
        NotRegular: as :func:`open_regular`.
        OSError: the system refuses, there is nothing to read yet, or the file is larger than ``most`` bytes (``EFBIG``).
    """
    digest, size = hashlib.sha256(), 0
    with open_regular(path, follow=follow) as file, _naming(path):
        claimed = os.fstat(file.fileno()).st_size
        while claimed <= most and size <= most:
            piece = file.read(_PIECE)
            if piece is None:  # a file of the system that would have to be waited for
                raise BlockingIOError(errno.EAGAIN, "nothing to read in it", str(path))
            if not piece:
                return digest.hexdigest()
            digest.update(piece)
            size += len(piece)
    raise OSError(errno.EFBIG, f"larger than {most} bytes", str(path))


@dataclass(frozen=True)
class Entry:
    """Something in a folder; ``is_folder`` and ``is_file`` are false of a link, a pipe or the like."""

    path: Path
    is_folder: bool
    is_file: bool


def entries(folder: Path) -> list[Entry]:
    """What lies in a folder, by name; nothing where there is no folder.

    Raises:
        NotRegular: a step to it, in a store of this process, is a link.
    """
    try:
        with holding(folder / "entry") as (_, held), os.scandir(folder if held is None else held) as found:
            of_folder = [
                Entry(folder / one.name, one.is_dir(follow_symlinks=False), one.is_file(follow_symlinks=False))
                for one in found
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(of_folder, key=lambda one: one.path.name)


def is_plain_folder(folder: Path) -> bool:
    """Whether there is a folder, and no link to one."""
    try:
        return stat.S_ISDIR(folder.lstat().st_mode)
    except OSError:
        return False


def make_own_folder(root: Path, *steps: str) -> Path:
    """Make a folder below ``root`` that is our own, as :func:`make_folder` does: no step to it may be a link.

    Raises:
        NotRegular: one is, or is no folder.
    """
    folder = root
    for step in steps:
        folder = folder / step
        refuse_other_than_folder(folder)
        files.make_folder(folder)
    return folder


def refuse_other_than_folder(folder: Path) -> None:
    """Raises:
    NotRegular: there is something, and it is a link or no folder.
    """
    if os.path.lexists(folder) and not is_plain_folder(folder):
        raise NotRegular(errno.ENOTDIR, "a link or no folder, expected a folder of the store's own", str(folder))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
