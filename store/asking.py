"""Asking a moment of a store in a stranger's SQL. The answer comes from a process of its own, see :mod:`store.confined`.

Nothing heavy is imported here: that process does it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store import places
from store.errors import ColdframeError, QueryRefused, TooLittleMemory
from store.worker import Died, TookTooLong, Worker

if TYPE_CHECKING:
    import pyarrow as pa

    from store.manifest import Manifest

START_SECONDS = 120.0  # at least, for the process to know the parts of the moment
NARROW = "narrow the query; 'coldframe sql' allows more with --memory"

_idle: list[Worker] = []
_idle_lock = threading.Lock()


def ask(
    root: Path,
    moment: Manifest,
    sql: str,
    parameters: Mapping[str, str | list[str]],
    *,
    timeout: float | None,
    memory: int | None,
    rows: int | None,
) -> pa.Table:
    """Rows of a query.

    Args:
        parameters: a text, or a list of texts, for each parameter that the query names.
        timeout: seconds that the query and its answer may take, None for any number.
        memory: bytes that the query and its rows may hold together, beside some 2 GB for libraries; None for half of the
            machine's memory.
        rows: the most that it may give, None for any number.

    Raises:
        QueryRefused: it would do more than read the store, is wrong, takes too long, gives more rows, or its parameters are not
            those given.
        TooLittleMemory: it needs more memory, or its rows do.
    """
    with _asked(root, moment, sql, parameters, timeout, memory, rows, None) as answers:
        import pyarrow as pa

        schema, *batches = answers
        return pa.Table.from_batches(batches, schema)


def tell(
    root: Path,
    at: int | None,
    sql: str,
    parameters: Mapping[str, str | list[str]],
    *,
    timeout: float | None,
    memory: int | None,
    pieces: Callable[[pa.Table], Iterable[Any]],
) -> Iterator[Any]:
    """What ``pieces`` makes of the rows of a query, in the process that answers; ``at`` is a moment, None for the newest.

    Raises:
        ColdframeError: as :func:`ask`, or there is no such store or moment.
    """
    with _asked(root, at, sql, parameters, timeout, memory, None, pieces) as answers:
        yield from answers


@contextmanager
def _asked(
    root: Path,
    moment: Manifest | int | None,
    sql: str,
    parameters: Mapping[str, str | list[str]],
    timeout: float | None,
    memory: int | None,
    rows: int | None,
    pieces: Callable[[pa.Table], Iterable[Any]] | None,
) -> Iterator[Iterator[Any]]:
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise QueryRefused(f"the query is not valid UTF-8 ({error.reason}, at {error.start})") from None
    worker = _take()
    worker.start()  # it gets ready while this goes on
    from store import spill

    spilled = spill.new()
    try:
        known_as = places.STORES.get(root)
        worker.ask(_answer, root.absolute(), known_as, moment, sql, dict(parameters), spilled, memory, rows, pieces)
        _wait_for_store(worker, root, timeout)
        answers = worker.answers(timeout)
        next(answers)
        yield answers
    except TookTooLong:
        raise QueryRefused(
            f"the query ran longer than {timeout:g} seconds: narrow it; 'coldframe sql' gives more with --timeout"
        ) from None
    except Died as error:
        raise TooLittleMemory(
            f"the process that answered the query ended: it wanted more memory, or crashed: {NARROW}"
        ) from error
    except ColdframeError:
        raise
    except BaseException:
        worker.end()
        raise
    finally:
        spill.remove(spilled)
        _put(worker)


def _wait_for_store(worker: Worker, root: Path, timeout: float | None) -> None:
    seconds = None if timeout is None else max(timeout, START_SECONDS)
    try:
        worker.next_answer(seconds)
    except TookTooLong:
        raise ColdframeError(f"{root}: not opened within {seconds:g} seconds: give more with --timeout") from None


def start() -> None:
    """Start the process for the next query: it gets ready while the caller does other things."""
    worker = _take()
    worker.start()
    _put(worker)


def _take() -> Worker:
    with _idle_lock:
        return _idle.pop() if _idle else Worker(prepare=_get_ready, quick=True)


def _put(worker: Worker) -> None:
    with _idle_lock:
        _idle.append(worker)


def _answer(*given: Any) -> Any:
    """In the process: what :func:`store.confined.answer` gives."""
    from store import confined

    return confined.answer(*given)


def _get_ready() -> None:
    """In the process, while its parent gets ready: import what every query needs."""
    import os

    from store import confined  # noqa: F401

    os.chdir("/")  # the working folder is not its business
