"""Process many items in separate processes, each within limits."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar

from store.worker import Died, TookTooLong, Worker

Item = TypeVar("Item")
Kind = tuple[int | None, Callable[[], object] | None]  # of a process: its memory, and what it did first
CHUNK = 16  # items sent to a process at a time
CHUNKS_AHEAD = 2  # for each process: enough to keep it busy, while limiting what waits in memory

_idle: list[tuple[Kind, Worker]] = []  # of earlier calls; they end with this process
_idle_lock = threading.Lock()


def cores() -> int:
    """Cores this process may use: those of its container, if it is in one."""
    from joblib import cpu_count

    return int(cpu_count())


def standard_input(most: int) -> bytes:
    """What is on standard input, up to ``most`` bytes; nothing if it is closed."""
    return sys.stdin.buffer.read(most) if sys.stdin is not None else b""


def in_workers(
    function: Callable[[Item], Any],
    items: Iterable[Item],
    workers: int,
    *,
    seconds: float | None = None,
    memory: int | None = None,
    prepare: Callable[[], object] | None = None,
) -> Generator[tuple[Item, Any], None, None]:
    """Yield each item, in order, with the result of ``function`` from one of ``workers`` processes, or with the
    :class:`store.worker.TookTooLong`, :class:`store.worker.Died` or :class:`MemoryError` that it caused.

    A process that an item crashed is replaced. The only one of an earlier call, if it can do the same, goes on: a new one takes a
    second to get ready. Close the generator: closed early, or on any exception, it waits for no item.

    Args:
        seconds: the time limit for one item.
        memory: bytes of address space that a process may have.
        prepare: called first in each process; its time counts for no item.
    """
    processes = _Processes(function, seconds, (memory, prepare))
    source = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[tuple[list[Item], SimpleQueue[Any]]] = deque()
        try:
            while True:
                while len(ahead) < workers * CHUNKS_AHEAD and (some := list(islice(source, CHUNK))):
                    ahead.append((some, SimpleQueue()))
                    pool.submit(processes.work, *ahead[-1])
                if not ahead:
                    break
                some, results = ahead.popleft()
                for item in some:
                    result = results.get()
                    if isinstance(result, _Raised):
                        raise result.error
                    yield item, result
        except BaseException:
            processes.kill()
            pool.shutdown(cancel_futures=True)
            processes.end()
            raise
    if workers == 1:
        processes.keep()
    else:
        processes.end()


def _taken(kind: Kind) -> Worker:
    with _idle_lock:
        found = next((one for one in _idle if one[0] == kind), None)
        if found is not None:
            _idle.remove(found)
    if found is None:
        return Worker(memory=kind[0], prepare=kind[1])
    with suppress(Died):  # then it is started again when it is asked
        found[1].call(os.chdir, os.getcwd())
    return found[1]


class _Processes:
    """Processes that work on items, one for each thread that asks."""

    def __init__(self, function: Callable[[Any], Any], seconds: float | None, kind: Kind) -> None:
        self._function, self._seconds, self._kind = function, seconds, kind
        self._stopped = threading.Event()
        self._everyone: list[Worker] = []
        self._own = threading.local()

    def work(self, some: list[Any], results: SimpleQueue[Any]) -> None:
        """Put the result of each item into ``results``."""
        if not hasattr(self._own, "worker"):
            self._own.worker = _taken(self._kind)
            self._everyone.append(self._own.worker)
        done = 0
        while done < len(some) and not self._stopped.is_set():
            calls = [(one,) for one in some[done:]]
            try:
                for result in self._own.worker.each(self._function, calls, seconds=self._seconds):
                    results.put(result)
                    done += 1
            except (TookTooLong, Died, MemoryError) as error:
                results.put(error)
                done += 1
            except BaseException as error:  # raised by the function itself
                results.put(_Raised(error))
                return

    def kill(self) -> None:
        """Stop all of them at once."""
        self._stopped.set()
        for worker in self._everyone:
            worker.kill()

    def end(self) -> None:
        """Wait until all of them have ended."""
        for worker in self._everyone:
            worker.end()

    def keep(self) -> None:
        """Have them wait for a later call, of all processes as many as there are cores."""
        with _idle_lock:
            _idle.extend((self._kind, worker) for worker in self._everyone)
            too_many = _idle[: -cores()]
            del _idle[: -cores()]
        for _, worker in too_many:
            worker.end()


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error
