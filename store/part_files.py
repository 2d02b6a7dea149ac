"""The parts of a moment as a file system of fsspec, each opened without following a link.

DuckDB itself opens by name: it follows links, waits for pipes, and takes a path with ``[``, ``*`` or ``?`` for a pattern.
"""

from __future__ import annotations

import fnmatch
import io
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem

from store import opening
from store.manifest import Manifest
from store.parts import Part

STORE = "store://"  # before the path of a part


class PartFiles(AbstractFileSystem):  # type: ignore[misc]
    """The parts of one moment under their paths, to be read. Nothing else is there, and nothing can be written.

    Attributes:
        trouble: what the system said of a part that it would not open.
    """

    trouble: OSError | None = None
    protocol = STORE.removesuffix("://")
    cachable = False

    def __init__(self, root: Path, moment: Manifest) -> None:
        super().__init__()
        self._root = root
        self._parts = {f"{STORE}{part.path}": part for live in moment.datasets.values() for part in live}

    def open(self, path: str, mode: str = "rb", **options: Any) -> io.RawIOBase:
        """One part, opened without following a link."""
        if mode != "rb":
            self._refuse()
        part = self._known(path)
        try:
            with opening.open_regular(self._root / part.path, below=self._root) as file:
                return _Part(os.dup(file.fileno()))
        except OSError as error:
            self.trouble = error
            raise

    def _known(self, path: str) -> Part:
        if path not in self._parts:
            raise FileNotFoundError(f"{path}: no part of this moment")
        return self._parts[path]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Size and kind of a part."""
        return {"name": path, "size": (self._root / self._known(path).path).lstat().st_size, "type": "file"}

    def modified(self, path: str) -> datetime:
        """Parts never change."""
        return datetime.fromtimestamp(0, UTC)

    def exists(self, path: str, **options: Any) -> bool:
        """Whether it is a part of this moment."""
        return path in self._parts

    isfile = exists

    def isdir(self, path: str) -> bool:
        """There are only files."""
        return False

    def glob(self, path: str, **options: Any) -> list[str]:
        """The parts whose paths match."""
        return [path] if path in self._parts else fnmatch.filter(sorted(self._parts), path)

    def _refuse(self, *arguments: Any, **options: Any) -> Any:
        raise PermissionError("the parts of a store are read and nothing else")

    # whatever the library would do by default
    mkdir = makedirs = rm = rm_file = rmdir = mv = cp_file = touch = _refuse


class _Part(io.RawIOBase):
    """A file with a position for each thread, since DuckDB's threads seek and read in one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._size = descriptor, os.fstat(descriptor).st_size
        self._places: dict[int, int] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._places.get(threading.get_ident(), 0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        self._places[threading.get_ident()] = begin + offset
        return begin + offset

    def read(self, size: int = -1) -> bytes:
        place = self.tell()
        data = os.pread(self._descriptor, max(0, self._size - place) if size < 0 else size, place)
        self.seek(place + len(data))
        return data

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
