"""DuckDB in memory over one moment of a store: each dataset, as a table where it is small; named views and macros above them."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from store import part_columns, parts, queries, spill
from store.errors import ColdframeError, QueryRefused, StoreDamaged, TooLittleMemory
from store.manifest import Manifest
from store.memory import memory_bytes
from store.part_files import STORE, PartFiles
from store.parts import Part
from store.schemas import GROWN_DATASETS, OPEN_DATASETS, SCHEMAS

# The kinds of error that Parquet files cause; DuckDB has no kind of its own for a file that makes no sense.
_DAMAGE = (duckdb.IOException, duckdb.InvalidInputException, duckdb.Error)
# What the system says, in DuckDB's words around it, where no part is to blame.
_NO_ROOM = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), spill.PREFIX)
_TOO_MANY_OPEN = (os.strerror(errno.EMFILE), os.strerror(errno.ENFILE))
STREAMED_ROWS = 4096
HELD_BYTES = (
    100_000  # of the parts of a dataset: reading all of it once takes less time than opening them for each query
)
HELD_MEMORY = 64  # MB that such a dataset may take: what takes more was made to
SMALL_BYTES = 16_000_000  # of parts: about what one core reads in the time that several take to share it
MESSAGE_CHARACTERS = 2000
_named: dict[str, set[str]] = {}  # the parameters of queries of ours, by their text: finding them parses it


def opened(files: PartFiles, spill_to: str | None = None, *, size: int | None = None) -> duckdb.DuckDBPyConnection:
    """An empty in-memory database that has some parts.

    Args:
        files: the parts. DuckDB itself would take a path for a pattern, and follow links.
        spill_to: the folder for what does not fit into memory, of this connection alone; None for a new one.
        size: bytes that its queries read at most; None where nobody knows. Of a few, one thread makes less work than several.
    """
    con = duckdb.connect(config={"temp_directory": spill.new() if spill_to is None else spill_to})
    if size is not None and size < SMALL_BYTES:
        con.execute("set threads = 1")
    con.register_filesystem(files)
    con.execute("set enable_progress_bar = false")
    con.execute(f"set memory_limit = '{_memory()}MB'")
    con.execute("set timezone = 'UTC'")
    con.execute("set python_enable_replacements = false")  # a name in a query is never one of our variables
    return con


def _memory() -> int:
    """MB that queries may take."""
    return memory_bytes() // 2_000_000


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


class Views:
    """What a connection shows of a moment: the raw parts in the schema ``data``, what a user may rely on in the main schema.

    Each view is made when a query first needs it, because making all of them takes longer than most queries.

    Attributes:
        con: the connection.

    Args:
        hold: read a small dataset whole when it is first needed, and keep it in memory.

    Raises:
        StoreDamaged: a part the manifest names is missing, or is not a regular file in its place.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, root: Path, manifest: Manifest, *, hold: bool = False) -> None:
        self.con, self._root, self._manifest, self._hold = con, root, manifest, hold
        self._memory = _memory()
        self._made: set[str] = set()
        con.execute("create schema data")
        for dataset in SCHEMAS:
            _check_places(root, manifest.parts(dataset))

    @classmethod
    def of(cls, root: Path, manifest: Manifest) -> Views:
        """The views of a moment on a new connection."""
        return cls(opened(PartFiles(root, manifest), size=manifest.bytes()), root, manifest, hold=True)

    def limit_memory(self, megabytes: int) -> None:
        """Have queries spill, or fail, that take more."""
        self._memory = megabytes
        self.con.execute(f"set memory_limit = '{megabytes}MB'")

    def needed_by(self, sql: str) -> duckdb.DuckDBPyConnection:
        """The connection, with the views and macros that a query of ours needs."""
        self.make(queries.needed_by(sql))
        return self.con

    def make(self, needed: queries.Needed) -> None:
        """Make what is not there yet.

        Raises:
            StoreDamaged: a part is not a Parquet file, or does not have the columns that it should have.
        """
        with explaining(self._root):
            for dataset in self._missing(f"data.{name}" for name in SCHEMAS if name in needed.datasets):
                self._show_dataset(dataset.removeprefix("data."))
            try:
                for name in self._missing(name for name, _ in queries.views() if name in needed.views):
                    self.con.execute(f"create or replace view {name} as {dict(queries.views())[name]}")
                for _ in self._missing(["macros()"] if needed.macros else []):
                    self.con.execute(queries.macros())
            except duckdb.BinderException as error:
                raise StoreDamaged(
                    f"{self._root}: a part has not the columns it should have ({_first_line(error)}): 'coldframe verify' says "
                    "more"
                ) from error

    def _missing(self, wanted: Iterable[str]) -> Iterator[str]:
        """Those that are not made yet; each counts as made when the next is asked for."""
        for name in wanted:
            if name not in self._made:
                yield name
                self._made.add(name)

    def _show_dataset(self, dataset: str) -> None:
        live = self._manifest.parts(dataset)
        select = _parts(self.con, dataset, [f"{STORE}{part.path}" for part in live])
        part_columns.check_levels(self.con, self._root, dataset, select)
        is_small = 0 < sum(part.bytes for part in live) <= HELD_BYTES
        if not (self._hold and is_small and _held(self.con, dataset, select, self._memory)):
            self.con.execute(f"create or replace view data.{dataset} as {select}")
        part_columns.check_types(self.con, self._root, dataset)
        part_columns.check_times(self.con, self._root, dataset)


def _check_places(root: Path, live: tuple[Part, ...]) -> None:
    try:
        parts.paths(root, live)
    except OSError as error:
        raise cannot_read(root, error) from error


def _parts(con: duckdb.DuckDBPyConnection, dataset: str, paths: list[str]) -> str:
    """The query that reads the parts of a dataset."""
    # A store made before a dataset existed has no part of it: an empty table stands in.
    if not paths or dataset in GROWN_DATASETS:
        con.register(f"no_{dataset}", SCHEMAS[dataset].empty_table())
    if not paths:
        return f"select * from no_{dataset}"
    files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    by_name = str(dataset in OPEN_DATASETS + GROWN_DATASETS).lower()
    select = f"select * from read_parquet([{files}], union_by_name = {by_name})"
    return f"select * from no_{dataset} union all by name {select}" if dataset in GROWN_DATASETS else select


def _held(con: duckdb.DuckDBPyConnection, dataset: str, select: str, memory: int) -> bool:
    """Whether a dataset is a table in memory now: it is not if it is damaged, or far larger than its files.

    Args:
        memory: MB that queries may take otherwise.
    """
    try:
        con.execute(f"set memory_limit = '{HELD_MEMORY}MB'")
        con.execute("set max_temp_directory_size = '0KB'")
        con.execute(f"create or replace table data.{dataset} as {select}")
    except duckdb.Error as error:
        if "KeyboardInterrupt" in str(error):  # while a part was read
            raise
        return False  # a query that does not need what is damaged may still work, and another one says what is wrong
    finally:
        con.execute(f"set memory_limit = '{memory}MB'")
        con.execute("reset max_temp_directory_size")
    return True


def run(con: duckdb.DuckDBPyConnection, sql: str, given: Mapping[str, Any]) -> pa.Table:
    """Run one query and return its rows.

    Named parameters the query does not mention are left out; one it mentions and does not get is NULL.
    """
    with _decoding():
        return con.sql(sql, params=_values(con, sql, given) or None).to_arrow_table()


def stream(con: duckdb.DuckDBPyConnection, sql: str, given: Mapping[str, Any]) -> Iterator[pa.Table]:
    """Like :func:`run`, but the rows come in tables of :data:`STREAMED_ROWS`, and are never there all at once."""
    for batch in reader(con, sql, _values(con, sql, given), STREAMED_ROWS):
        yield pa.Table.from_batches([batch])


def reader(con: duckdb.DuckDBPyConnection, sql: str, values: dict[str, Any], rows: int) -> pa.RecordBatchReader:
    """Like :func:`run`, but the rows come in batches of so many, and the values are those of the parameters exactly."""
    with _decoding():
        return con.sql(sql, params=values or None).to_arrow_reader(rows)


def create_table(con: duckdb.DuckDBPyConnection, table: str, sql: str, values: Mapping[str, Any]) -> None:
    """Make or replace the temporary table ``table`` out of a query, with parameters as in :func:`run`."""
    con.execute(f"create or replace temp table {table} as {sql}", _values(con, sql, values) or None)


def parameters(con: duckdb.DuckDBPyConnection, sql: str) -> set[str]:
    """The named parameters of one query."""
    return set(con.extract_statements(sql)[0].named_parameters)


def _values(con: duckdb.DuckDBPyConnection, sql: str, given: Mapping[str, Any]) -> dict[str, Any]:
    if sql not in _named:
        _named[sql] = parameters(con, sql)
    return {name: given.get(name) for name in _named[sql]}


@contextmanager
def _decoding() -> Iterator[None]:
    """Raise DuckDB's error where Python cannot: DuckDB may cut its message inside a character."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise duckdb.Error(error.object.decode(errors="replace")) from error


@contextmanager
def explaining(root: Path) -> Iterator[None]:
    """Turn what DuckDB says of a part it cannot read, or of what it lacks, into a sentence.

    Raises:
        StoreDamaged: a part is missing or is not what was written.
        ColdframeError: too little memory or room to spill, or too many open files.
    """
    try:
        yield
    except pa.ArrowInvalid as error:  # a type that Arrow lacks
        raise StoreDamaged(
            f"{root}: a part cannot be read ({_first_line(error)}): coldframe did not write it; 'coldframe verify' says more"
        ) from error
    except RuntimeError as error:
        if str(error) != "Query interrupted":
            raise
        raise KeyboardInterrupt from error  # which DuckDB has taken for its own
    except duckdb.Error as error:
        if "KeyboardInterrupt" in str(error):  # in the midst of a file system or a table of ours
            raise KeyboardInterrupt from error
        shortage = _shortage(error)
        if shortage is not None:
            raise shortage from error
        if type(error) in _DAMAGE or _of_source(error):
            raise StoreDamaged(
                f"{root}: a part cannot be read ({_first_line(error)}): 'coldframe verify --deep' says which"
            ) from error
        raise


def _of_source(error: duckdb.Error) -> bool:
    """Whether a part holds what is not of the type that the first part of its dataset has."""
    return isinstance(error, duckdb.ConversionException) and "when casting from source column" in str(error)


def explain_failure(error: duckdb.Error) -> ColdframeError:
    """A sentence for an error of DuckDB in a user's query."""
    shortage = _shortage(error)
    if shortage is not None:
        return shortage
    if isinstance(error, duckdb.PermissionException):
        return QueryRefused(f"sql reads the store and nothing else: {shortened(_first_line(error))}")
    return QueryRefused(shortened(str(error)))


def shortened(text: str) -> str:
    """A message that a person can read, though DuckDB may have put a whole query into it."""
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]}…"


def cannot_read(root: Path, error: OSError) -> ColdframeError:
    """A sentence for what the system says of a part."""
    why = f"{error.filename}: {error.strerror}"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return _too_many_open(why)
    return StoreDamaged(f"{root}: a part cannot be read ({why}): 'coldframe verify --deep' says which")


def _too_many_open(why: str) -> ColdframeError:
    return ColdframeError(
        f"more files than may be open at once ({why}): allow more, such as 'ulimit -n 4096', then run the command again"
    )


def _shortage(error: duckdb.Error) -> ColdframeError | None:
    """A sentence for an error that says what the machine lacks; None for any other."""
    is_of_system = isinstance(error, duckdb.IOException) or type(error) is duckdb.Error  # the latter of our file system
    if isinstance(error, duckdb.OutOfMemoryException) or (is_of_system and any(it in str(error) for it in _NO_ROOM)):
        return TooLittleMemory(
            f"too little memory, and {tempfile.gettempdir()} cannot take what does not fit ({_first_line(error)}): make "
            "room there, or name a larger folder in TMPDIR, then run the command again"
        )
    if is_of_system and any(it in str(error) for it in _TOO_MANY_OPEN):
        return _too_many_open(_first_line(error))
    return None


def _first_line(error: Exception) -> str:
    """The line that says what is wrong: the first, or the last of what our own file system raised."""
    lines = str(error).strip().split("\n")
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]
