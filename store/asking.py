"""Asking a moment of a store in a stranger's SQL. The answer comes from a process of its own, see :mod:`store.confined`.

Nothing heavy is imported before that process is on its way.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from store import spill
from store.errors import ColdframeError, QueryRefused, TooLittleMemory
from store.worker import Died, TookTooLong, Worker

if TYPE_CHECKING:
    import pyarrow as pa

    from store.manifest import Manifest

START_SECONDS = 120.0  # at least, for the process to know the parts of the moment

_idle: list[Worker] = []
_idle_lock = threading.Lock()


def start() -> None:
    """Start the process for the next query: it gets ready while the caller does."""
    worker = _take_idle()
    worker.start()
    _give_back(worker)


def ask(
    root: Path, moment: Manifest, sql: str, parameters: Mapping[str, str], *, timeout: float | None, memory: int
) -> pa.Table:
    """Rows of a query.

    Args:
        timeout: seconds that it may take, None for any number.
        memory: bytes that it may hold; its rows may take as many again.

    Raises:
        QueryRefused: it would do more than read the store, is wrong, or takes too long.
        TooLittleMemory: it needs more memory, or its rows do.
    """
    worker, spilled = _take_idle(), spill.new()
    try:
        rows = _rows(worker, (root.absolute(), moment, sql, dict(parameters), spilled, memory), timeout, memory)
    except BaseException as error:
        if not isinstance(error, ColdframeError):
            worker.end()
        raise
    finally:
        spill.remove(spilled)
        _give_back(worker)
    return rows


def _rows(worker: Worker, given: tuple[object, ...], timeout: float | None, memory: int) -> pa.Table:
    import pyarrow as pa

    from store.schemas import unique_names

    taken = 0
    batches: list[pa.RecordBatch] = []
    try:
        worker.ask(_answer, *given)
        worker.next_answer(None if timeout is None else max(timeout, START_SECONDS))
        answers = worker.answers(timeout)
        schema = next(answers)
        for batch in answers:
            taken += batch.nbytes
            if taken > memory:
                raise TooLittleMemory(f"the rows of the query take more than {memory / 1e9:.1f} GB: {NARROW}")
            batches.append(batch)
    except TookTooLong:
        raise QueryRefused(f"the query ran longer than {timeout:g} seconds: narrow it, or give more with --timeout") from None
    except Died as error:
        raise TooLittleMemory(
            f"the process that answered the query ended: it may hold {memory / 1e9:.1f} GB, and wanted more, or crashed: {NARROW}"
        ) from error
    table = pa.Table.from_batches(batches, schema)
    return table.rename_columns(unique_names(table.column_names))


NARROW = "narrow the query, or allow more with --memory"


def _answer(*given: object) -> object:
    """In the process: what :func:`store.confined.answer` gives."""
    from store import confined

    return confined.answer(*given)  # type: ignore[arg-type]


def _get_ready() -> None:
    """In the process, while its parent gets ready: import what every query needs."""
    import os

    from store import confined  # noqa: F401

    os.chdir("/")  # the working folder is not its business


def _take_idle() -> Worker:
    with _idle_lock:
        return _idle.pop() if _idle else Worker(prepare=_get_ready)


def _give_back(worker: Worker) -> None:
    with _idle_lock:
        _idle.append(worker)
