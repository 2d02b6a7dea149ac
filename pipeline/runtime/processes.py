"""Process many items in separate processes, each within limits."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar

from store.worker import Died, TookTooLong, Worker

Item = TypeVar("Item")
CHUNK = 16  # items sent to a process at a time
CHUNKS_AHEAD = 2  # for each process: enough to keep it busy, while limiting what waits in memory


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

    A process that an item crashed is replaced. Close the generator: closed early, or on any exception, it waits for no item.

    Args:
        seconds: the time limit for one item.
        memory: bytes of address space that a process may have.
        prepare: called first in each process; its time counts for no item.
    """
    processes = _Processes(function, seconds, lambda: Worker(memory=memory, prepare=prepare))
    source = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[tuple[list[Item], SimpleQueue[Any]]] = deque()
        try:
            while True:
                while len(ahead) < workers * CHUNKS_AHEAD and (some := list(islice(source, CHUNK))):
                    ahead.append((some, SimpleQueue()))
                    pool.submit(processes.work, *ahead[-1])
                if not ahead:
                    return
                some, results = ahead.popleft()
                for item in some:
                    result = results.get()
                    if isinstance(result, _Raised):
                        raise result.error
                    yield item, result
        finally:
            processes.kill()
            pool.shutdown(cancel_futures=True)
            processes.end()


class _Processes:
    """Processes that work on items, one for each thread that asks."""

    def __init__(self, function: Callable[[Any], Any], seconds: float | None, start: Callable[[], Worker]) -> None:
        self._function, self._seconds, self._start = function, seconds, start
        self._stopped = threading.Event()
        self._everyone: list[Worker] = []
        self._own = threading.local()

    def work(self, some: list[Any], results: SimpleQueue[Any]) -> None:
        """Put the result of each item into ``results``."""
        if not hasattr(self._own, "worker"):
            self._own.worker = self._start()
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


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error
