"""What a command does to its disk, one operation at a time: watched, recorded, refused, or died at.

The functions of :mod:`store.files` are replaced, so what is watched is exactly what a commit does. A watcher is called
in place of an operation and may let it proceed.
"""

from __future__ import annotations

import errno
import inspect
import io
import os
import pickle
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

from store import files, manifest


@dataclass(frozen=True)
class Operation:
    """A call of a function of :mod:`store.files`."""

    name: str
    arguments: tuple[Any, ...]

    @property
    def path(self) -> Path:
        """What is written, made, removed, renamed or given a second name."""
        path: Path = self.arguments[0]
        return path


class Watcher:
    """Called in place of an operation, with the function that does it; told when its process begins and ends."""

    def begin(self) -> None:
        """The process has begun."""

    def end(self) -> None:
        """All operations are done."""

    def __call__(self, operation: Operation, function: Callable[..., object]) -> object:
        """Do the operation, or something else."""
        return function(*operation.arguments)


def names() -> list[str]:
    """The operations there are."""
    return [
        name
        for name, function in inspect.getmembers(files, inspect.isfunction)
        if function.__module__ == files.__name__ and not name.startswith("_")
    ]


def watch(watcher: Watcher) -> None:
    """Put ``watcher`` before every operation of this process from now on; the one put last is asked first."""
    watcher.begin()
    for name in names():
        setattr(files, name, _watched(name, getattr(files, name), watcher))


def _watched(name: str, function: Callable[..., object], watcher: Watcher) -> Callable[..., object]:
    def operate(*arguments: Any) -> object:
        return watcher(Operation(name, arguments), function)

    operate.__module__ = files.__name__  # so that a second watcher finds it
    return operate


class DieAt(Watcher):
    """Kills its own process at a point: before an operation, or in the middle of a write.

    Points count from 1; an operation is one, a write is two: the second leaves the first half of its bytes. The point
    after an operation is the one before the next, and the last is after them all.
    """

    def __init__(self, point: int) -> None:
        self._point, self._reached = point, 0

    def __call__(self, operation: Operation, function: Callable[..., object]) -> object:
        self._reach()
        if operation.name == "write":
            if self._reached + 1 == self._point:
                function(*operation.arguments)
                os.truncate(operation.path, operation.path.stat().st_size // 2)
            self._reach()
        return function(*operation.arguments)

    def end(self) -> None:
        """Come to the last point."""
        self._reach()

    def _reach(self) -> None:
        self._reached += 1
        if self._reached == self._point:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Done:
    """A recorded operation: its paths, and the bytes it wrote."""

    name: str
    paths: tuple[Path, ...]
    content: bytes = b""

    @property
    def points(self) -> int:
        """At how many points :class:`DieAt` can kill for it."""
        return {"write": 2, "published": 0}.get(self.name, 1)


class Record(Watcher):
    """Appends each operation to a file, for several processes one after the other; and ``published``, a commit's end."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def __call__(self, operation: Operation, function: Callable[..., object]) -> object:
        paths = tuple(argument for argument in operation.arguments if isinstance(argument, Path))
        if operation.name == "write":
            result = function(*operation.arguments)
            self._append(Done("write", paths, operation.path.read_bytes()))
            return result
        self._append(Done(operation.name, paths))  # before, so that what it calls in its turn stands behind it
        return function(*operation.arguments)

    def begin(self) -> None:
        """Listen to commits too."""
        publish = manifest.publish

        def listened(root: Path, moment: manifest.Manifest) -> None:
            publish(root, moment)
            self._append(Done("published", (manifest.path_of(root, moment.number),)))

        mock.patch.object(manifest, "publish", listened).start()

    def _append(self, done: Done) -> None:
        with self._log.open("ab") as file:
            pickle.dump(done, file)


def recorded(log: Path) -> list[Done]:
    """The operations of a log of :class:`Record`."""
    found: list[Done] = []
    with log.open("rb") as file:
        while file.peek(1):
            found.append(pickle.load(file))
    return found


class FullAt(Watcher):
    """The disk is full from an operation on: what needs room fails as it does there."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self, operation: Operation, function: Callable[..., object]) -> object:
        self._left -= 1
        if self._left > 0 or operation.name == "remove":
            return function(*operation.arguments)
        if operation.name == "write":
            path, fill = operation.arguments
            return function(path, lambda file: _fill_half(fill, file))
        if operation.name in ("sync", "sync_folder"):
            with mock.patch("os.fsync", side_effect=_no_space()):
                return function(*operation.arguments)
        raise _no_space(operation.path)


def _fill_half(fill: Callable[[BinaryIO], object], file: BinaryIO) -> None:
    whole = io.BytesIO()
    fill(whole)
    file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
    raise _no_space()


def _no_space(*path: Path) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *map(str, path))


class Slowly(Watcher):
    """Waits before each operation, so that two commands are sure to meet."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, operation: Operation, function: Callable[..., object]) -> object:
        time.sleep(self._seconds)
        return function(*operation.arguments)
