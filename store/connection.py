"""DuckDB in memory over one moment of a store: a view per dataset, the named views and macros above them."""

from __future__ import annotations

import errno
import os
import re
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from store import queries
from store.errors import ColdframeError, QueryRefused, StoreDamaged, TooLittleMemory
from store.manifest import Manifest
from store.schemas import GROWN_DATASETS, OPEN_DATASETS, SCHEMAS

# The kinds of error that Parquet files cause; DuckDB has no kind of its own for a file that makes no sense.
_DAMAGE = (duckdb.IOException, duckdb.InvalidInputException, duckdb.Error)
_SPILL = "coldframe-spill-"  # what a connection's temporary folder is named, and an identifier
# What the system says, in DuckDB's words around it, where no part is to blame.
_NO_ROOM = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), _SPILL)
_TOO_MANY_OPEN = (os.strerror(errno.EMFILE), os.strerror(errno.ENFILE))
_READING = {duckdb.StatementType.SELECT}
STREAMED_ROWS = 4096
_EXPLAIN = re.compile(r"\s*explain\s*(analyze\b|analyse\b|\([^)]*\))?", re.IGNORECASE)


def connect(root: Path, manifest: Manifest) -> duckdb.DuckDBPyConnection:
    """An in-memory database whose views show ``manifest``.

    The raw parts are in the schema ``data``; what a user may rely on is in the main schema.

    Raises:
        StoreDamaged: a part the manifest names is missing or no Parquet file.
    """
    # Of this connection alone: DuckDB lets a confined query read its temporary folder.
    spill = Path(tempfile.gettempdir()) / f"{_SPILL}{uuid.uuid4().hex}"
    con = duckdb.connect(config={"temp_directory": str(spill)})
    con.execute("set enable_progress_bar = false")
    con.execute("set timezone = 'UTC'")
    con.execute("set python_enable_replacements = false")  # a name in a query is never one of our variables
    con.execute("create schema data")
    for dataset in SCHEMAS:
        _create_dataset(con, root, manifest, dataset)
    for name, select in queries.views():
        con.execute(f"create view {name} as {select}")
    con.execute(queries.text("macros"))
    return con


def _create_dataset(con: duckdb.DuckDBPyConnection, root: Path, manifest: Manifest, dataset: str) -> None:
    # A store made before a dataset existed has no part of it: an empty table stands in.
    parts = manifest.parts(dataset)
    if not parts:
        con.register(f"no_{dataset}", SCHEMAS[dataset].empty_table())
        con.execute(f"create view data.{dataset} as select * from no_{dataset}")
        return
    files = ", ".join("'" + str(root.resolve() / part.path).replace("'", "''") + "'" for part in parts)
    by_name = str(dataset in OPEN_DATASETS + GROWN_DATASETS).lower()
    select = f"select * from read_parquet([{files}], union_by_name = {by_name})"
    if dataset in GROWN_DATASETS:
        con.register(f"no_{dataset}", SCHEMAS[dataset].empty_table())
        select = f"select * from no_{dataset} union all by name {select}"
    with explaining(root):
        con.execute(f"create view data.{dataset} as {select}")


def confine(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Refuse files outside ``root``, extensions and settings from here on."""
    folder = str(root.resolve()).replace("'", "''")
    con.execute(f"set allowed_directories = ['{folder}']")
    con.execute("set enable_external_access = false")
    con.execute("set lock_configuration = true")


def check_reads_only(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise :class:`QueryRefused` unless ``sql`` is one statement that only reads.

    ``explain analyze`` runs what it explains, so what stands behind it must be a query as well.
    """
    try:
        statements = con.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryRefused(f"the query cannot be read: {_first_line(error)}") from error
    if len(statements) != 1:
        raise QueryRefused(f"expected one query, got {len(statements) or 'none'}: ask one at a time")
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        explained = _EXPLAIN.match(statements[0].query)
        if explained is None:
            raise QueryRefused("write EXPLAIN as the first word of the query, with no comment before it")
        check_reads_only(con, statements[0].query[explained.end() :])
    elif kind == duckdb.StatementType.MULTI:
        raise QueryRefused("PIVOT needs its values named here: pivot … on column in (value, …) using …")
    elif kind not in _READING:
        raise QueryRefused(
            f"sql only reads: {kind.name} is refused; a store changes through the other commands, and "
            "--format writes results to standard output"
        )


def run(con: duckdb.DuckDBPyConnection, sql: str, given: Mapping[str, Any]) -> pa.Table:
    """Run one query and return its rows.

    Named parameters the query does not mention are left out; one it mentions and does not get is NULL.
    """
    return con.sql(sql, params=_values(con, sql, given) or None).to_arrow_table()


def stream(con: duckdb.DuckDBPyConnection, sql: str, given: Mapping[str, Any]) -> Iterator[pa.Table]:
    """Like :func:`run`, but the rows come in tables of :data:`STREAMED_ROWS`, and are never there all at once."""
    for batch in con.sql(sql, params=_values(con, sql, given) or None).to_arrow_reader(STREAMED_ROWS):
        yield pa.Table.from_batches([batch])


def run_interruptibly(
    con: duckdb.DuckDBPyConnection, sql: str, given: Mapping[str, Any], *, timeout: float | None
) -> pa.Table:
    """Like :func:`run`, but it ends with Ctrl-C, and after ``timeout`` seconds.

    Raises:
        QueryRefused: the time is over.
    """
    # In a thread of its own: DuckDB keeps Python from seeing a signal while it works.
    with ThreadPoolExecutor(1) as pool:
        rows = pool.submit(run, con, sql, given)
        try:
            return rows.result(timeout)
        except TimeoutError:
            raise QueryRefused(
                f"the query ran longer than {timeout:g} seconds: narrow it, or give more with --timeout"
            ) from None
        finally:
            while not rows.done():  # an interrupt before the query has begun is lost
                con.interrupt()
                wait([rows], 0.05)


def create_table(con: duckdb.DuckDBPyConnection, table: str, sql: str, values: Mapping[str, Any]) -> None:
    """Make or replace the temporary table ``table`` out of a query, with parameters as in :func:`run`."""
    con.execute(f"create or replace temp table {table} as {sql}", _values(con, sql, values) or None)


def parameters(con: duckdb.DuckDBPyConnection, sql: str) -> set[str]:
    """The named parameters of one query."""
    return set(con.extract_statements(sql)[0].named_parameters)


def _values(con: duckdb.DuckDBPyConnection, sql: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given.get(name) for name in parameters(con, sql)}


@contextmanager
def explaining(root: Path) -> Iterator[None]:
    """Turn what DuckDB says of a part it cannot read, or of what it lacks, into a sentence.

    Raises:
        StoreDamaged: a part is missing or is not what was written.
        ColdframeError: too little memory or room to spill, or too many open files.
    """
    try:
        yield
    except duckdb.Error as error:
        shortage = _shortage(error)
        if shortage is not None:
            raise shortage from error
        if type(error) in _DAMAGE:
            raise StoreDamaged(
                f"{root}: a part cannot be read ({_first_line(error)}): 'coldframe verify --deep' says which"
            ) from error
        raise


def explain_failure(error: duckdb.Error) -> ColdframeError:
    """A sentence for an error of DuckDB in a user's query."""
    shortage = _shortage(error)
    if shortage is not None:
        return shortage
    if isinstance(error, duckdb.PermissionException):
        return QueryRefused(f"sql reads the store and nothing else: {_first_line(error)}")
    return QueryRefused(str(error))


def _shortage(error: duckdb.Error) -> ColdframeError | None:
    """A sentence for an error that says what the machine lacks; None for any other."""
    is_of_system = isinstance(error, duckdb.IOException)
    if isinstance(error, duckdb.OutOfMemoryException) or (is_of_system and any(it in str(error) for it in _NO_ROOM)):
        return TooLittleMemory(
            f"too little memory, and {tempfile.gettempdir()} cannot take what does not fit ({_first_line(error)}): make "
            "room there, or name a larger folder in TMPDIR, then run the command again"
        )
    if is_of_system and any(it in str(error) for it in _TOO_MANY_OPEN):
        return ColdframeError(
            f"more files than may be open at once ({_first_line(error)}): allow more, such as 'ulimit -n 4096', then run "
            "the command again"
        )
    return None


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
