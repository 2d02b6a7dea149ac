"""A stranger's SQL, answered in a process of its own that can read the parts of one moment and do nothing else.

* DuckDB there has no file system but ours, which opens the parts of the moment for reading. Whatever else a query tries with
  a file ends in this module.
* The process has a limit of memory, and its caller ends it when the time is over.
* The query is judged first (:mod:`store.judge`), so that most of what cannot work gets a clear answer.
"""

from __future__ import annotations

import fnmatch
import io
import os
import resource
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from fsspec import AbstractFileSystem

from store import connection, judge, opening, queries
from store.asking import NARROW
from store.connection import PARTS
from store.errors import TooLittleMemory
from store.manifest import Manifest
from store.memory import memory_bytes
from store.parts import Part
from store.schemas import SCHEMAS, unique_names
from store.store import Store

JUDGE_BYTES = 1 << 30  # address space for parsing, more than which no honest query takes
BESIDE_BYTES = 2 << 30  # address space beside what the query may hold: libraries, threads, rows on their way
ANSWER_ROWS = 65_536  # that come at a time
ROW_BYTES = 8  # that a row counts beside its values


def answer(
    root: Path,
    moment: Manifest | int | None,
    sql: str,
    parameters: Mapping[str, str],
    spill: str,
    memory: int | None,
    pieces: Callable[[pa.Table], Iterable[Any]] | None,
) -> Iterator[Any]:
    """Yield None when the query starts, None when its rows are there, then their schema and record batches, or what ``pieces``
    makes of them. ``moment`` may be its number, None the newest.

    Raises:
        QueryRefused: it would do more than read the store, or is wrong.
        ColdframeError: a part is damaged, or it needs more than ``memory`` bytes.
    """
    if not isinstance(moment, Manifest):
        moment = Store.open(root).snapshot(moment).manifest
    memory = memory_bytes() // 2 if memory is None else memory
    readable = _Parts(root, moment)
    yield None
    con = connection.opened(spill, readable)
    try:
        _confine(con, memory)  # before anything that was sent is so much as parsed
        with _address_space(JUDGE_BYTES):
            query = judge.judged(con, sql)
        connection.show(con, root, moment, by_file_system=True, only=_needed(query))
        with _address_space(memory + BESIDE_BYTES):
            _show_parts_by_path(con, root, query.relations)
            table = _rows(connection.reader(con, query.sql, parameters, ANSWER_ROWS), memory)
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


def _needed(query: judge.Query) -> queries.Needed | None:
    """What a query needs of the views; None for everything, where it looks around or names what is none of ours."""
    ours = SCHEMAS.keys() | {name for name, _ in queries.views()}
    named = {name.lower() for name in query.relations if not name.endswith(".parquet")}
    if query.looks_around or named - ours - {name.lower() for name in query.own}:
        return None
    return queries.needed(named, query.functions)


def _rows(reader: pa.RecordBatchReader, memory: int) -> pa.Table:
    """All rows, under names that SQL can tell apart.

    Raises:
        TooLittleMemory: they take more than ``memory`` bytes.
    """
    batches, taken = [], 0
    for batch in _told(reader):
        batches.append(batch)
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
    con.execute(f"set allowed_directories = ['{PARTS}']")
    con.execute("set enable_external_access = false")
    con.execute("set lock_configuration = true")


def _show_parts_by_path(con: duckdb.DuckDBPyConnection, root: Path, tables: frozenset[str]) -> None:
    """Let a query that names parts by their place on disk, ``from '…/parts/images/*.parquet'``, have them from us."""
    for name in tables:
        if name.startswith(f"{root}/") and name.endswith(".parquet"):
            path = f"{PARTS}{name.removeprefix(f'{root}/')}".replace("'", "''")
            quoted = name.replace('"', '""')
            con.execute(f"create view \"{quoted}\" as select * from read_parquet('{path}', union_by_name = true)")


class _Parts(AbstractFileSystem):  # type: ignore[misc]
    """The parts of one moment under their paths, to be read. Nothing else is there, and nothing can be written.

    Attributes:
        trouble: what the system said of a part that it would not open.
    """

    trouble: OSError | None = None
    protocol = PARTS.removesuffix("://")
    cachable = False

    def __init__(self, root: Path, moment: Manifest) -> None:
        super().__init__()
        self._root = root
        self._parts = {f"{PARTS}{part.path}": part for live in moment.datasets.values() for part in live}

    def open(self, path: str, mode: str = "rb", **options: Any) -> io.RawIOBase:
        """One part, opened without following a link."""
        if mode != "rb":
            self._refuse()
        part = self._known(path)
        try:
            with opening.open_regular(self._root / part.path, below=self._root) as file:
                return _Part(os.dup(file.fileno()))
        except OSError as error:
            self.trouble = error
            raise

    def _known(self, path: str) -> Part:
        if path not in self._parts:
            raise FileNotFoundError(f"{path}: no part of this moment")
        return self._parts[path]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Size and kind of a part."""
        return {"name": path, "size": (self._root / self._known(path).path).lstat().st_size, "type": "file"}

    def modified(self, path: str) -> datetime:
        """Parts never change."""
        return datetime.fromtimestamp(0, UTC)

    def exists(self, path: str, **options: Any) -> bool:
        """Whether it is a part of this moment."""
        return path in self._parts

    isfile = exists

    def isdir(self, path: str) -> bool:
        """There are only files."""
        return False

    def glob(self, path: str, **options: Any) -> list[str]:
        """The parts whose paths match."""
        return [path] if path in self._parts else fnmatch.filter(sorted(self._parts), path)

    def _refuse(self, *arguments: Any, **options: Any) -> Any:
        raise PermissionError("sql reads the store and nothing else")

    # whatever the library would do by default
    mkdir = makedirs = rm = rm_file = rmdir = mv = cp_file = touch = _refuse


class _Part(io.RawIOBase):
    """A file with a position for each thread, since DuckDB's threads seek and read in one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._size = descriptor, os.fstat(descriptor).st_size
        self._places: dict[int, int] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._places.get(threading.get_ident(), 0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        self._places[threading.get_ident()] = begin + offset
        return begin + offset

    def read(self, size: int = -1) -> bytes:
        place = self.tell()
        data = os.pread(self._descriptor, max(0, self._size - place) if size < 0 else size, place)
        self.seek(place + len(data))
        return data

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


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
