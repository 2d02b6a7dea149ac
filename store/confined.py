"""A stranger's SQL, answered in a process of its own that can read the parts of one moment and do nothing else.

* DuckDB there has no file system but ours, which opens the parts of the moment for reading. Whatever else a query tries with
  a file ends in this module.
* The process has a limit of memory, and its caller ends it when the time is over.
* The query is judged first (:mod:`store.judge`), so that most of what cannot work gets a clear answer.
"""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from store import connection, judge, places, queries
from store.asking import NARROW
from store.errors import QueryRefused, TooLittleMemory
from store.manifest import Manifest
from store.memory import memory_bytes
from store.names import unique_names
from store.part_files import STORE, PartFiles
from store.schemas import SCHEMAS
from store.store import Store

JUDGE_BYTES = 1 << 30  # address space for parsing, more than which no honest query takes
BESIDE_BYTES = 2 << 30  # address space beside what the query may hold: libraries, threads, rows on their way
ANSWER_ROWS = 65_536  # that come at a time
ROW_BYTES = 8  # that a row counts beside its values


def answer(
    root: Path,
    known_as: tuple[int, int] | None,
    moment: Manifest | int | None,
    sql: str,
    parameters: Mapping[str, str | list[str]],
    spill: str,
    memory: int | None,
    rows: int | None,
    pieces: Callable[[pa.Table], Iterable[Any]] | None,
) -> Iterator[Any]:
    """Yield None when the query starts, None when its rows are there, then their schema and record batches, or what ``pieces``
    makes of them. ``moment`` may be its number, None the newest; of a moment that the caller has read, ``known_as`` is the
    device and inode of the folder that it has opened.

    Raises:
        QueryRefused: it would do more than read the store, is wrong, or gives more than ``rows`` rows.
        ColdframeError: a part is damaged, or it needs more than ``memory`` bytes.
    """
    if isinstance(moment, Manifest):
        places.know(root, known_as)  # an earlier query may have been to another store in this place
    else:
        moment = Store.open(root).snapshot(moment).manifest
    memory = memory_bytes() // 2 if memory is None else memory
    readable = PartFiles(root, moment)
    yield None
    con = connection.opened(readable, spill)
    try:
        _confine(con, memory)  # before anything that was sent is so much as parsed
        with _address_space(JUDGE_BYTES):
            query = judge.judged(con, sql)
        with _address_space(memory + BESIDE_BYTES):
            connection.Views(con, root, moment).make(_needed(query))
            _show_parts_by_path(con, root, query.relations)
            values = _values_of(connection.parameters(con, query.sql), parameters)
            table = _rows(connection.reader(con, query.sql, values, ANSWER_ROWS), memory, rows)
            yield None
            if pieces is None:
                yield table.schema
                yield from table.to_batches()
            else:
                yield from pieces(table)
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise TooLittleMemory(
            f"the query needs more than the {memory / 1e9:.1f} GB that it may hold, and {tempfile.gettempdir()} cannot take the "
            f"rest: {NARROW}, or make room there or name a larger folder in TMPDIR"
        ) from error
    except duckdb.Error as error:
        if readable.trouble is not None:
            raise connection.cannot_read(root, readable.trouble) from error
        raise connection.explain_failure(error) from error
    finally:
        con.close()


def _values_of(names: set[str], given: Mapping[str, str | list[str]]) -> dict[str, str | list[str]]:
    """The value of each parameter that a query names; SQL takes upper and lower case for the same.

    Raises:
        QueryRefused: one has no value or two, or a value is for none of them.
    """
    shown = ", ".join(f"${name}" for name in sorted(names)) or "none"
    wanted = {name.lower(): name for name in names}
    values: dict[str, str | list[str]] = {}
    for name, value in given.items():
        place = wanted.get(name.lower())
        if place is None:
            raise QueryRefused(f"the query has no parameter ${name}; its parameters: {shown}")
        if place in values:
            raise QueryRefused(f"the parameter ${place} has two values: give it once")
        values[place] = value
    missing = sorted(names - values.keys())
    if missing:
        raise QueryRefused(
            f"no value for ${missing[0]}: give one with --param {missing[0]}=VALUE; its parameters: {shown}"
        )
    return values


def _needed(query: judge.Query) -> queries.Needed:
    """What a query needs of the views: everything, where it looks around or names what is none of ours."""
    ours = SCHEMAS.keys() | {name for name, _ in queries.views()}
    named = {name.lower() for name in query.relations if not name.endswith(".parquet")}
    if query.looks_around or named - ours - {name.lower() for name in query.own}:
        return queries.everything()
    return queries.needed(named, query.functions)


def _rows(reader: pa.RecordBatchReader, memory: int, most: int | None) -> pa.Table:
    """All rows, under names that SQL can tell apart.

    Raises:
        QueryRefused: they are more than ``most``.
        TooLittleMemory: they take more than ``memory`` bytes.
    """
    batches, taken, count = [], 0, 0
    for batch in _told(reader):
        batches.append(batch)
        count += batch.num_rows
        if most is not None and count > most:
            raise QueryRefused(f"it gives more than {most} rows")
        taken += batch.nbytes + ROW_BYTES * batch.num_rows  # a row of NULLs takes nothing here, and much as text
        if taken > memory:
            raise TooLittleMemory(f"the rows of the query take more than {memory / 1e9:.1f} GB: {NARROW}")
    return pa.Table.from_batches(batches, reader.schema).rename_columns(unique_names(reader.schema.names))


def _told(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches; what goes wrong in between, which Arrow tells in words of its own, as DuckDB's error again."""
    try:
        yield from reader
    except (pa.ArrowException, OSError) as error:
        text = str(error)
        kinds = {"Out of Memory Error": duckdb.OutOfMemoryException, "IO Error": duckdb.IOException}
        raise next((kind for begin, kind in kinds.items() if text.startswith(begin)), duckdb.Error)(text) from error


def _confine(con: duckdb.DuckDBPyConnection, memory: int) -> None:
    """Refuse every file but the parts, extensions and settings from here on."""
    con.execute(f"set memory_limit = '{memory // 1_000_000}MB'")
    con.execute("set autoload_known_extensions = false")
    con.execute("set autoinstall_known_extensions = false")
    con.execute(f"set allowed_directories = ['{STORE}']")
    con.execute("set enable_external_access = false")
    con.execute("set lock_configuration = true")


def _show_parts_by_path(con: duckdb.DuckDBPyConnection, root: Path, tables: frozenset[str]) -> None:
    """Let a query that names parts by their place on disk, ``from '…/parts/images/*.parquet'``, have them from us."""
    for name in tables:
        if name.startswith(f"{root}/") and name.endswith(".parquet"):
            path = f"{STORE}{name.removeprefix(f'{root}/')}".replace("'", "''")
            con.execute(
                f"create view {connection.quoted(name)} as select * from read_parquet('{path}', union_by_name = true)"
            )


@contextmanager
def _address_space(more: int) -> Iterator[None]:
    """Let this process take so many more bytes than it has now. A system that does not tell how many these are sets no limit."""
    try:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        yield
        return
    before, most = resource.getrlimit(resource.RLIMIT_AS)
    soft = taken + more if most == resource.RLIM_INFINITY else min(taken + more, most)
    resource.setrlimit(resource.RLIMIT_AS, (soft, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, most))
