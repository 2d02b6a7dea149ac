"""Many processes without their start: each is forked off one that has loaded the modules and started no thread.

A child begins in the same state as the others: nothing it does is seen by them but on the disk.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.chaos.operations import Watcher, watch

Result = TypeVar("Result")

TIMEOUT = 300.0
ORPHANS_LIVE = 5.0  # seconds that helpers of a killed command may take to notice


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (minus the signal that killed it), what it printed, who it left behind."""

    code: int
    stdout: str
    stderr: str
    orphans: list[str]


class Child:
    """A forked process in a session of its own, with its output in files."""

    def __init__(self, work: Callable[[], object]) -> None:
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            raise RuntimeError(f"{threads} threads run here, a fork would lose all but one: fork earlier")
        self._folder = tempfile.TemporaryDirectory(prefix="child-")
        self._out, self._err = (Path(self._folder.name) / name for name in ("out", "err"))
        for path in (self._out, self._err):  # which it may not live to open
            path.touch()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            self._be(work)

    def _be(self, work: Callable[[], object]) -> None:
        code = 1
        try:
            os.setsid()
            for descriptor, path in ((0, Path(os.devnull)), (1, self._out), (2, self._err)):
                os.dup2(os.open(path, os.O_RDWR), descriptor)
            work()
            code = 0
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # nothing that belongs to the parent is closed here

    def is_alive(self) -> bool:
        """Whether it has not ended yet; it is not reaped by asking."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def kill(self) -> None:
        """Send SIGKILL to it, not to its helpers."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self, timeout: float = TIMEOUT) -> Ended:
        """Wait until it has ended.

        Raises:
            TimeoutError: it has not; it and its helpers are killed.
        """
        until = time.monotonic() + timeout
        while self.is_alive():
            if time.monotonic() > until:
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise TimeoutError(f"still running after {timeout:.0f} s: {self._err.read_text()[-500:]}")
            time.sleep(0.002)
        _, status = os.waitpid(self.pid, 0)
        orphans = self._orphans()
        with self._folder:
            out, err = (path.read_text(errors="replace") for path in (self._out, self._err))
        return Ended(os.waitstatus_to_exitcode(status), out, err, orphans)

    def _orphans(self) -> list[str]:
        until = time.monotonic() + ORPHANS_LIVE
        while (found := _of_session(self.pid)) and time.monotonic() < until:
            time.sleep(0.01)
        if found:
            os.killpg(self.pid, signal.SIGKILL)
        return found


def _of_session(session: int) -> list[str]:
    """Command lines of the processes of a session that are no zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state not in "ZX":
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
        except (OSError, ValueError):  # it has ended meanwhile
            continue
    return found


def start(arguments: list[str], *watchers: Watcher) -> Child:
    """Start ``coldframe`` with ``arguments``, its file operations watched."""

    def work() -> None:
        from pipeline.cli.app import cli

        for watcher in watchers:
            watch(watcher)
        try:
            cli.main(arguments, prog_name="coldframe")
        finally:
            for watcher in watchers:
                watcher.end()

    return Child(work)


def run(arguments: list[str], *watchers: Watcher, timeout: float = TIMEOUT) -> Ended:
    """Run ``coldframe`` to its end."""
    return start(arguments, *watchers).end(timeout)


def call(function: Callable[..., Result], *arguments: Any, timeout: float = TIMEOUT) -> Result:
    """What ``function`` returns, computed in a process of its own.

    Raises:
        RuntimeError: it failed there; with its traceback.
    """
    with tempfile.TemporaryDirectory(prefix="call-") as folder:
        answer = Path(folder) / "answer"

        def work() -> None:
            answer.write_bytes(pickle.dumps(function(*arguments)))

        ended = Child(work).end(timeout)
        if ended.code:
            raise RuntimeError(f"exit code {ended.code}: {ended.stderr[-3000:]}")
        result: Result = pickle.loads(answer.read_bytes())
        return result
