"""A process of our own that does one thing at a time within limits. What passes a limit is ended, with all its children.

It is started so that nothing is imported from the working folder, which may hold a stranger's files: a stray ``pickle.py``
beside some photographs must not run.
"""

from __future__ import annotations

import math
import os
import pickle
import resource
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

from store import lifeline
from store.importing import BEGIN, flags, without_working_folder
from store.lifeline import beside_standard

_LOOK_AGAIN = 1.0  # seconds between looks whether a process that has not answered is still there
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
        quick: start without Python's ``site``, which takes its time. ``sys.path`` is given anyway.

    Attributes:
        is_over: whether it was killed, and starts no other process.
    """

    def __init__(
        self, *, memory: int | None = None, prepare: Callable[[], object] | None = None, quick: bool = False
    ) -> None:
        self._memory, self._prepare, self._quick = memory, prepare, quick
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._is_prepared = True
        self.is_over = False
        self._lock = threading.RLock()  # of starting, ending and killing
        self._owner = os.getpid()
        self._end: Callable[[], object] = lambda: None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def start(self) -> None:
        """Start the process, if there is none: it gets ready while the caller does other things.

        Raises:
            Died: it was killed for good.
        """
        is_ours = self._owner == os.getpid()  # and not that of the process we were forked from
        if not is_ours:
            self._lock = threading.RLock()  # a thread that is not here may hold the other
        with self._lock:
            if self.is_over:
                raise Died("it is not wanted any more")
            if self._process is not None and is_ours and _is_running(self._process):
                return
            self.end()
            self._begin()
        if self._prepare is not None:
            self._send(self._prepare, ())
            self._is_prepared = False

    def _begin(self) -> None:
        process, connection, held = _start(self._memory, self._quick)
        self._process, self._connection, self._owner = process, connection, os.getpid()
        self._end = weakref.finalize(self, _end, process, connection, held, self._owner, self._lock)

    def call(self, function: Callable[..., Any], *arguments: Any, seconds: float | None = None) -> Any:
        """What ``function(*arguments)`` returns, or raises, in the process; all of them can be pickled.

        Raises:
            TookTooLong: it took longer than ``seconds``.
            Died: the process ended.
        """
        self.ask(function, *arguments)
        answers = list(self.answers(seconds))
        return answers[0]

    def each(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], *, seconds: float | None = None
    ) -> Iterator[Any]:
        """What ``function`` returns for each of some arguments, sent together; each within ``seconds``.

        Raises:
            TookTooLong, Died: as :meth:`call`.
        """
        self.ask(_each, function, calls)
        with _all_taken(self):
            for _ in calls:
                yield self.next_answer(seconds)
        self.next_answer(None)

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

    def answers(self, seconds: float | None = None) -> Iterator[Any]:
        """The answers to what was asked, those that were not taken yet; waiting for them takes at most ``seconds`` in all.

        Raises:
            TookTooLong, Died: as :meth:`call`.
        """
        left = math.inf if seconds is None else seconds
        with _all_taken(self):
            while True:
                started = time.monotonic()
                answer = self.next_answer(None if left == math.inf else max(0.0, left))
                left -= time.monotonic() - started
                if answer is _END:
                    return
                yield answer

    def end(self) -> None:
        """End the process, if there is one, and all its children."""
        self._end()
        self._process = self._connection = None

    def kill(self) -> None:
        """End the process for good, though another thread may wait for its answer: it gets :class:`Died` for one."""
        with self._lock:
            self.is_over = True
            if self._process is not None:
                _kill(self._process)

    def _send(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        connection = self._connection
        if connection is None:
            raise Died("its process ended")
        try:
            connection.send((function, arguments))
        except BaseException as error:
            self.end()  # half a message may be on its way
            if isinstance(error, OSError):
                raise Died("its process ended") from error
            raise

    def next_answer(self, seconds: float | None = None) -> Any:
        """The next answer to what was asked, of several, within ``seconds``; raises as :meth:`call`. ``_END`` after the last."""
        connection, process = self._connection, self._process
        if connection is None or process is None:
            raise Died("its process ended")
        try:
            if not _is_answered(connection, process, seconds):
                raise TookTooLong
            is_answer, value = connection.recv()
        except BaseException as error:
            self.end()  # its answer may still come
            if isinstance(error, EOFError | OSError):
                raise Died("its process ended") from error
            raise
        if not is_answer and value is not None:
            raise value
        return value if is_answer else _END


@contextmanager
def _all_taken(worker: Worker) -> Iterator[None]:
    """End the process where its answers are not all taken: a later call must not take one for its own."""
    try:
        yield
    except GeneratorExit:
        worker.end()
        raise


def _start(memory: int | None, quick: bool) -> tuple[subprocess.Popen[bytes], Connection[Any, Any], int]:
    """A new process, what connects with it, and the end of its lifeline that is held here."""
    ours, theirs = (beside_standard(one.detach()) for one in socketpair())
    line, held = lifeline.ends()
    try:
        places = without_working_folder(sys.path)
        given = [str(theirs), str(line), "" if memory is None else str(memory)]
        process = subprocess.Popen(
            [sys.executable, "-P", *flags(), *["-S"] * quick, BEGIN, "worker", *given, *places],
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            pass_fds=[theirs, line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # what C libraries write
            start_new_session=True,  # so that it can be ended with its children
        )
    except BaseException:
        os.close(ours)
        os.close(held)
        raise
    finally:
        os.close(theirs)
        os.close(line)
    return process, Connection(ours), held


def _is_answered(connection: Connection[Any, Any], process: subprocess.Popen[bytes], seconds: float | None) -> bool:
    """Whether there is something to take within so many seconds.

    Raises:
        Died: the process ended before.
    """
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    while True:
        left = max(0.0, deadline - time.monotonic())
        if connection.poll(min(left, _LOOK_AGAIN)):
            return True
        if left <= _LOOK_AGAIN:
            return False
        # a child that it left behind may hold the connection open
        if not (_is_running(process) or connection.poll(0)):
            raise Died("its process ended")


def _end(
    process: subprocess.Popen[bytes], connection: Connection[Any, Any], held: int, owner: int, lock: threading.RLock
) -> None:
    with suppress(OSError):
        connection.close()
    if owner == os.getpid():
        with lock:
            _kill(process)
            process.wait()
    with suppress(OSError):
        os.close(held)


def _is_running(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process runs. One that does not is not waited for: its id stays its own until its children are ended."""
    if not hasattr(os, "waitid"):
        return process.poll() is None
    try:
        return process.returncode is None and not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children. Its id is its own as long as nobody has waited for it."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def answer_parent(descriptor: int, line: int, memory: int | None) -> None:
    """What a worker does: answer until its parent is gone."""
    for one in (descriptor, line):
        os.set_inheritable(one, False)
    lifeline.kill_group_with_parent(line)
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


def limit_memory(most: int) -> None:
    """Bound the address space of this process to ``most`` bytes, if it is not bound tighter already."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
