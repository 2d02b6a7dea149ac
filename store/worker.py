"""A process of our own that does one thing at a time within limits. What passes a limit is ended, with all its children.

It is started so that nothing is imported from the working folder, which may hold a stranger's files: a stray ``pickle.py``
beside some photographs must not run.
"""

from __future__ import annotations

import os
import pickle
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from socket import socketpair
from typing import Any

from store.importing import without_working_folder

_PROGRAM = "import sys; sys.path[:] = {path!r}; from store.worker import _work; _work({descriptor}, {memory})"
_END = object()


class TookTooLong(Exception):
    """A worker had no answer in time, and was ended."""


class Died(Exception):
    """A worker ended before it had an answer: it crashed, or ran out of memory."""


class Worker:
    """One process, started when it is first asked and again after it was ended. One thread may use it at a time.

    Args:
        memory: bytes of address space it may have; None for no limit.
        prepare: called in the process first, with no limit of time, such as to import what is needed.
    """

    def __init__(self, *, memory: int | None = None, prepare: Callable[[], object] | None = None) -> None:
        self._memory, self._prepare = memory, prepare
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._is_prepared = True
        self._owner = os.getpid()
        self._end: Callable[[], object] = lambda: None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def start(self) -> None:
        """Start the process, if there is none: it gets ready while the caller does other things."""
        is_ours = self._owner == os.getpid()  # and not that of the process we were forked from
        if self._process is not None and is_ours and self._process.poll() is None:
            return
        self.end()
        ours, theirs = socketpair()
        with ours, theirs:
            program = _PROGRAM.format(path=without_working_folder(sys.path), descriptor=theirs.fileno(), memory=self._memory)
            self._process = subprocess.Popen(
                [sys.executable, "-P", *_flags(), "-c", program],
                env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what C libraries write
                start_new_session=True,  # so that it can be ended with its children
            )
            self._connection = Connection(os.dup(ours.fileno()))
        self._owner = os.getpid()
        self._end = weakref.finalize(self, _end, self._process, self._connection, self._owner)
        if self._prepare is not None:
            self._send(self._prepare, ())
            self._is_prepared = False

    def call(self, function: Callable[..., Any], *arguments: Any, seconds: float | None = None) -> Any:
        """What ``function(*arguments)`` returns, or raises, in the process; all of them can be pickled.

        Raises:
            TookTooLong: it took longer than ``seconds``.
            Died: the process ended.
        """
        self.ask(function, *arguments)
        return list(self.answers(seconds))[0]

    def each(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], *, seconds: float | None = None
    ) -> Iterator[Any]:
        """What ``function`` returns for each of some arguments, sent together; each within ``seconds``. Raises as :meth:`call`."""
        self.ask(_each, function, calls)
        with self._whole():
            for _ in calls:
                yield self._take(seconds)
        self._take(None)

    def ask(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Begin a call. Its answers, one or as many as an iterator gives, are what :meth:`answers` gives.

        Raises:
            Died: the process ended.
        """
        self.start()
        if not self._is_prepared:
            self._is_prepared = True
            list(self.answers())
        self._send(function, arguments)

    def next_answer(self, seconds: float | None = None) -> Any:
        """The next answer to what was asked, of several, within ``seconds``; raises as :meth:`call`."""
        return self._take(seconds)

    def answers(self, seconds: float | None = None) -> Iterator[Any]:
        """The answers to what was asked, those that were not taken yet, all of them within ``seconds`` from now on; raises as :meth:`call`."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._whole():
            while True:
                answer = self._take(None if deadline is None else max(0.0, deadline - time.monotonic()))
                if answer is _END:
                    return
                yield answer

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """End the process where its answers are not all taken: a later call must not take one for its own."""
        try:
            yield
        except GeneratorExit:
            self.end()
            raise

    def end(self) -> None:
        """End the process, if there is one, and all its children."""
        self._end()
        self._process = self._connection = None

    def kill(self) -> None:
        """End the process while another thread waits for its answer, and gets :class:`Died` for one."""
        if self._process is not None:
            _kill(self._process)

    def _send(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        assert self._connection is not None
        try:
            self._connection.send((function, arguments))
        except BaseException as error:
            self.end()  # half a message may be on its way
            if isinstance(error, OSError):
                raise Died("its process ended") from error
            raise

    def _take(self, seconds: float | None) -> Any:
        """The next answer, or :data:`_END`."""
        assert self._connection is not None
        try:
            if not self._connection.poll(seconds):
                raise TookTooLong
            is_answer, value = self._connection.recv()
        except BaseException as error:
            self.end()  # its answer may still come
            if isinstance(error, EOFError | OSError):
                raise Died("its process ended") from error
            raise
        if not is_answer and value is not None:
            raise value
        return value if is_answer else _END


def _flags() -> list[str]:
    """The interpreter's flags that say where it may import from."""
    return ["-E"] * sys.flags.ignore_environment + ["-s"] * sys.flags.no_user_site + ["-S"] * sys.flags.no_site


def _end(process: subprocess.Popen[bytes], connection: Connection[Any, Any], owner: int) -> None:
    with suppress(OSError):
        connection.close()
    if owner == os.getpid():
        _kill(process)
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children. Its id is its own as long as nobody has waited for it."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _work(descriptor: int, memory: int | None) -> None:
    """What a worker does: answer until its parent is gone."""
    threading.Thread(target=_follow_parent, args=(descriptor,), daemon=True).start()
    connection: Connection[Any, Any] = Connection(descriptor)
    if memory is not None:
        limit_memory(memory)
    while True:
        function, arguments = connection.recv()
        try:
            for answer in _answers(function, arguments):
                connection.send((True, answer))
            end = None
        except Exception as error:
            end = _picklable(error)
        connection.send((False, end))


def _answers(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Iterator[Any]:
    given = function(*arguments)
    if isinstance(given, Iterator):
        yield from given
    else:
        yield given


def _each(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    return (function(*arguments) for arguments in calls)


def _picklable(error: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _follow_parent(descriptor: int) -> None:
    """End with the parent, however it ends and whatever is going on here: nobody waits for the answer any more."""
    gone = select.poll()
    gone.register(descriptor, 0)  # hanging up is told without being asked for
    gone.poll()
    os.killpg(0, signal.SIGKILL)


def limit_memory(most: int) -> None:
    """Bound the address space of this process to ``most`` bytes, if it is not bound tighter already."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
