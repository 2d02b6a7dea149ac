"""Ending with one's parent, however it ends: a pipe is held by the parent alone, and closes when the parent is gone."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import threading
import time
from collections.abc import Callable

PATIENCE = 30.0  # seconds that a process may take to end when it is asked to


def ends() -> tuple[int, int]:
    """The end that a child watches and the end that its parent holds. Nothing is ever written to this pipe."""
    watched, held = os.pipe()
    return beside_standard(watched), beside_standard(held)


def beside_standard(descriptor: int) -> int:
    """A descriptor as one that is neither standard input nor output nor error, which may have been closed."""
    if descriptor > 2:
        return descriptor
    other = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return other


def kill_group_with_parent(line: int) -> None:
    """End this process and its group at once when the parent is gone: nobody waits for their answer any more."""
    _tell(line, -os.getpgrp(), signal.SIGKILL)


def stop_with_parent(line: int) -> None:
    """Stop this process as an interrupt does when the parent is gone; one that does not stop is ended."""
    _tell(line, os.getpid(), signal.SIGTERM)


def end_when_asked(notice: Callable[[], object]) -> None:
    """End this process some time after it was asked to stop, if it has not: a library may be busy for minutes, or wait for good.

    To be called in the main thread, once the signals that ask have handlers. ``notice`` says it to the user.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(beside_standard(write), warn_on_full_buffer=False)
    threading.Thread(target=_end, args=(beside_standard(read), notice), daemon=True).start()


def _end(asked: int, notice: Callable[[], object]) -> None:
    os.read(asked, 1)
    time.sleep(PATIENCE)
    telling = threading.Thread(target=notice, daemon=True)  # which nobody may read
    telling.start()
    telling.join(1)
    os._exit(130)


def _tell(line: int, whom: int, what: signal.Signals) -> None:
    # the system itself tells us where it can: a library that is busy may never let a thread of ours run
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(line, fcntl.F_SETOWN, whom)
        fcntl.fcntl(line, fcntl.F_SETSIG, what)
        fcntl.fcntl(line, fcntl.F_SETFL, fcntl.fcntl(line, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_wait, args=(line, whom, what), daemon=True).start()


def _wait(line: int, whom: int, what: signal.Signals) -> None:
    gone = select.poll()
    gone.register(line, 0)  # hanging up is told without being asked for
    gone.poll()
    _send(whom, what)
    time.sleep(PATIENCE)
    _send(whom, signal.SIGKILL)


def _send(whom: int, what: signal.Signals) -> None:
    os.killpg(-whom, what) if whom < 0 else os.kill(whom, what)
