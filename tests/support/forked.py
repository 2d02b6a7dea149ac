"""Commands in processes that are forked from one that has loaded TensorFlow, which takes longer than most commands do.

Such a process differs from a new one in what is loaded already. So tests of how a process starts, of what it loads and of torch
start their own.

``python -m tests.support.forked DESCRIPTOR`` is the process that forks.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

REPOSITORY = Path(__file__).resolve().parent.parent.parent


class Forking:
    """The process that forks; it ends with the tests, and each command ends before the next begins."""

    def __init__(self, env: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.support.forked", str(theirs.fileno())],
                env={**env, "PYTHONPATH": str(REPOSITORY)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._asked, self._lines = ours, ours.makefile("r", encoding="utf-8")
        atexit.register(self.end)

    def run(self, arguments: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """``coldframe`` with these arguments and variables, here; what it prints, and its exit code."""
        with tempfile.TemporaryDirectory() as folder:
            said = [Path(folder) / name for name in ("stdout", "stderr")]
            request = {"arguments": list(arguments), "env": dict(env), "cwd": os.getcwd(), "said": list(map(str, said))}
            self._asked.sendall(json.dumps(request).encode() + b"\n")
            code = json.loads(self._lines.readline())
            out, err = (file.read_text(encoding="utf-8") for file in said)
            return subprocess.CompletedProcess(list(arguments), code, out, err)

    def end(self) -> None:
        """End it, and wait for it: the processor time of its commands is part of the tests'."""
        self._asked.shutdown(socket.SHUT_RDWR)
        self._process.wait()


def main(descriptor: int) -> None:
    """Fork a process for each request."""
    import keras
    import sklearn.utils
    import tensorflow

    from pipeline import __main__ as program

    assert {keras, sklearn, tensorflow}
    gc.freeze()
    line = socket.socket(fileno=descriptor)
    for request in map(json.loads, line.makefile("r", encoding="utf-8")):
        child = os.fork()
        if not child:
            line.close()
            become(request)
            end(program.main)
        line.sendall(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode() + b"\n")


def end(command: Callable[[], object]) -> NoReturn:
    """Run a command and end the process as it would end, without taking down TensorFlow module by module."""
    code: object = 1
    try:
        command()
        code = 0
    except SystemExit as error:
        code = error.code or 0
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def become(request: dict[str, Any]) -> None:
    """Have the variables, folder, arguments and output of the process that was asked for."""
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv[:] = ["coldframe", *request["arguments"]]
    for number, file in enumerate(request["said"], start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    main(int(sys.argv[1]))
