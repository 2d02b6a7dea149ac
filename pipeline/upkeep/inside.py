"""Check inside a part: whether it has the right columns, and in deep checks, whether its values match its statistics.

A stranger may have made it. So text is read as dictionary codes, some thousand rows at a time: a file of a few hundred bytes may
hold a long text a million times.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import itertools
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from store import connection, opening, spill
from store.errors import ColdframeError
from store.manifest import Manifest
from store.part_files import STORE, PartFiles
from store.parts import Part
from store.schemas import GROWN_DATASETS, SCHEMAS

ROWS_AT_ONCE = 65_536
# What DuckDB tells of a column in a group of rows: of its values, and of where they lie.
SAID = (
    "row_group_id, row_group_num_rows, path_in_schema, num_values, stats_min, stats_max, stats_null_count, stats_distinct_count, "
    "stats_min_value, stats_max_value, min_is_exact, max_is_exact, index_page_offset, bloom_filter_offset, geo_bbox, geo_types"
)
PLACES = "dictionary_page_offset, data_page_offset, total_compressed_size"
NO_ROOM = (
    "verify --deep writes parts into the temporary folder, one at a time: make room there, or name another in TMPDIR"
)
MAGIC = b"PAR1"  # how a Parquet file begins
TEXT = "BYTE_ARRAY"  # Parquet's name for text


class Parts:
    """The parts of one moment, as DuckDB and Arrow both see them.

    The two do not heed the same of what a file says: of its values, of where they lie and of how they are encoded. So each part
    is written again, by our own writer and without compression, and DuckDB has to be told the same of both files, and to read the
    same rows in both.
    """

    def __init__(self, root: Path, moment: Manifest) -> None:
        self._root, self._moment = root, moment
        count = sum(map(len, moment.datasets.values()))
        self._written = tuple(Part(f"{number}.parquet", "", 0, 0, "") for number in range(count))
        self._names = (part.path for part in self._written)
        self._spilled = spill.new()

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *error: object) -> None:
        spill.remove(self._spilled)

    @functools.cached_property
    def _there(self) -> duckdb.DuckDBPyConnection:
        return connection.opened(PartFiles(self._root, self._moment))

    @functools.cached_property
    def _again(self) -> duckdb.DuckDBPyConnection:
        written = dataclasses.replace(self._moment, datasets={"": self._written})
        return connection.opened(PartFiles(Path(self._spilled), written))

    def problem(self, dataset: str, part: Part, *, deep: bool) -> str | None:
        """What is wrong with a part; None if nothing is, or if it was replaced and collected meanwhile.

        Raises:
            ColdframeError: there is no room in the temporary folder to write the part again.

        Args:
            deep: also read it, to see that its text is text, and that what the file says of its values, by which queries leave
                rows unread, is what our own writer says of them.
        """
        try:
            with (
                opening.open_regular(self._root / part.path, below=self._root) as opened,
                pq.ParquetFile(opened) as file,
            ):
                return _of_columns(dataset, part, file) or (self._of_values(part, opened, file) if deep else None)
        except FileNotFoundError:
            return None
        except ColdframeError:  # of this machine, not of the part
            raise
        except MemoryError:
            return "cannot be read (it takes more memory than there is)"
        except Exception as error:  # the reader of a file that makes no sense raises kinds of its own
            return f"cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})"

    def _of_values(self, part: Part, opened: Any, file: pq.ParquetFile) -> str | None:
        columns = [file.schema.column(number) for number in range(len(file.schema))]
        texts = [one.path for one in columns if one.physical_type == TEXT]
        if not self._spilled:
            raise ColdframeError(NO_ROOM)
        again = Path(self._spilled) / next(self._names)
        again.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            with pq.ParquetFile(opened, read_dictionary=texts) as coded:
                schema = coded.schema_arrow
                with pq.ParquetWriter(again, schema, compression="none", store_schema=False) as writer:
                    for group in range(file.num_row_groups):
                        batches = list(coded.iter_batches(ROWS_AT_ONCE, row_groups=[group]))
                        for batch in batches:
                            for values in batch.columns:
                                values.validate(full=True)
                        writer.write_table(pa.Table.from_batches(batches, schema), row_group_size=1 << 30)
            if _said(self._there, part.path) != _said(self._again, again.name):
                return "its statistics do not match its values, or are not as coldframe writes them"
            if not _is_read_alike(self._there, part.path, self._again, again.name):
                return "its values depend on what reads them"
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ColdframeError(NO_ROOM) from error
            raise
        finally:
            again.unlink(missing_ok=True)
        return None


def _said(con: duckdb.DuckDBPyConnection, path: str) -> list[tuple[Any, ...]]:
    """What DuckDB is told of the values of a part, a row for each column of each group of rows; its chunks lie in order."""
    rows = con.execute(f"select {SAID}, {PLACES} from parquet_metadata(?)", [f"{STORE}{path}"]).fetchall()
    end = 0
    for _, _, _, count, *_, dictionary, data, size in rows:
        begin = dictionary or data
        if count and (begin < max(end, len(MAGIC)) or begin > data):
            raise ValueError("its columns overlap")
        end = begin + size
    return [row[: -len(PLACES.split(","))] for row in rows]


def _is_read_alike(first: duckdb.DuckDBPyConnection, path: str, second: duckdb.DuckDBPyConnection, other: str) -> bool:
    """Whether DuckDB reads the same rows in two files, in the same order."""
    hashes = (
        connection.reader(
            con, f"select hash(read) as row_hash from read_parquet('{STORE}{name}') as read", {}, ROWS_AT_ONCE
        )
        for con, name in ((first, path), (second, other))
    )
    return all(one == two for one, two in itertools.zip_longest(*hashes))


def _of_columns(dataset: str, part: Part, file: pq.ParquetFile) -> str | None:
    meta = file.metadata
    counts = (meta.num_rows, sum(meta.row_group(number).num_rows for number in range(meta.num_row_groups)))
    for count in counts:
        if count != part.rows:
            return f"{count} rows, expected {part.rows}"
    found = file.schema_arrow
    names = [name.lower() for name in found.names]  # SQL ignores case
    for field in SCHEMAS[dataset]:
        count = names.count(field.name)
        if count > 1 or (not count and dataset not in GROWN_DATASETS):
            return f"{count or 'no'} columns called {field.name}, expected one"
        if count and not _fits(field.type, found.field(names.index(field.name)).type):
            return f"its {field.name} is {found.field(names.index(field.name)).type}, expected {field.type}"
    return None


def _fits(expected: pa.DataType, found: pa.DataType) -> bool:
    """Whether a column can be read as the expected type; numbers may be wider or narrower."""
    types = pa.types
    if types.is_list(expected):
        is_list = types.is_list(found) or types.is_fixed_size_list(found) or types.is_large_list(found)
        return is_list and _fits(expected.value_type, found.value_type)
    for kind in (types.is_integer, types.is_floating, types.is_string, types.is_boolean, types.is_timestamp):
        if kind(expected):
            return bool(kind(found))
    return bool(expected == found)
