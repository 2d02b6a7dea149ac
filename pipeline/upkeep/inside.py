"""Check inside a part: whether it has the right columns, and in deep checks, whether its values match its statistics.

A stranger may have made it. So text is read as dictionary codes, some thousand rows at a time: a file of a few hundred bytes may
hold a long text a million times.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.upkeep import footers
from store import connection, opening, spill
from store.errors import ColdframeError
from store.manifest import Manifest
from store.names import folded
from store.part_files import STORE, PartFiles
from store.parts import Part
from store.schemas import GROWN_DATASETS, OPEN_DATASETS, SCHEMAS

ROWS_AT_ONCE = 65_536
BUNCH_PARTS, BUNCH_BYTES = 64, 16_000_000  # compared together
NO_ROOM = (
    "verify --deep writes parts into the temporary folder, a few at a time: make room there, or name another in TMPDIR"
)
# Types of DuckDB whose values all take the same few bytes, and lists of them.
FIXED = r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|BOOLEAN|FLOAT|DOUBLE|DECIMAL\(.*\)|DATE|TIME.*|INTERVAL|UUID)(\[\d*\])?"
TEXT = "BYTE_ARRAY"  # Parquet's name for text


class Parts:
    """The parts of one moment, as DuckDB and Arrow both see them.

    The two do not use the same of what a file says: of its values, of where they lie and of how they are encoded. So each part is
    written again by our own writer: the part must say nothing else than what was written says, and DuckDB must read the same
    rows in both.
    """

    def __init__(self, root: Path, moment: Manifest) -> None:
        self._root, self._moment = root, moment
        count = sum(map(len, moment.datasets.values()))
        self._written = tuple(Part(f"{number}.parquet", "", 0, 0, "") for number in range(count))
        self._names = (part.path for part in self._written)
        self._spilled = spill.new()
        self._types: dict[tuple[str, str], pa.DataType] = {}

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *error: object) -> None:
        spill.remove(self._spilled)

    @functools.cached_property
    def _there(self) -> duckdb.DuckDBPyConnection:
        return connection.opened(PartFiles(self._root, self._moment), size=self._moment.bytes())

    @functools.cached_property
    def _again(self) -> duckdb.DuckDBPyConnection:
        written = dataclasses.replace(self._moment, datasets={"": self._written})
        return connection.opened(PartFiles(Path(self._spilled), written), size=self._moment.bytes())

    def problems(self, dataset: str, live: Sequence[Part], *, deep: bool) -> Iterator[tuple[Part, str]]:
        """What is wrong with parts of a dataset: each part that is not as it should be, and why.

        Nothing is wrong with one that was replaced and collected meanwhile.

        Args:
            deep: also read them, to see that text is text, that DuckDB and Arrow read the same values, and that what a file says
                of its values, by which queries leave rows unread, is what our own writer says of them.

        Raises:
            ColdframeError: there is no room in the temporary folder to write them again.
        """
        for some in _bunches(live):
            written: dict[Part, str] = {}
            try:
                for part in some:
                    problem = _told(partial(self._look, dataset, part, written if deep else None))
                    if problem:
                        yield part, problem
                if _told(partial(self._compare, written)) is not None:  # which of them?
                    alone = {part: _told(partial(self._compare, {part: name})) for part, name in written.items()}
                    yield from ((part, problem) for part, problem in alone.items() if problem)
                    if not any(alone.values()):
                        yield some[0], "its values depend on the parts that are read with it"
            finally:
                for name in written.values():
                    (Path(self._spilled) / name).unlink(missing_ok=True)

    def _look(self, dataset: str, part: Part, written: dict[Part, str] | None) -> str | None:
        """Check the columns of a part; write it again if there is a place to note under which name."""
        try:
            with (
                opening.open_regular(self._root / part.path, below=self._root) as opened,
                pq.ParquetFile(opened) as file,
            ):
                problem = _of_columns(dataset, part, file) or self._of_types(dataset, file.schema_arrow)
                if problem is None and written is not None:
                    again = self._write_again(opened, file)
                    with again.open("rb") as copy:
                        problem = footers.problem(opened, copy, file)
                    if problem is None:
                        written[part] = again.name
                return problem
        except FileNotFoundError:
            return None

    def _of_types(self, dataset: str, found: pa.Schema) -> str | None:
        """What differs from the types that the user's own columns have in other parts, which queries read together."""
        for field in found:
            if field.name in SCHEMAS[dataset].names or pa.types.is_null(field.type):
                continue
            other = self._types.setdefault((dataset, folded(field.name)), field.type)
            if other != field.type:
                return f"its {field.name} is {field.type}, in another part {other}"
        return None

    def _write_again(self, opened: Any, file: pq.ParquetFile) -> Path:
        columns = [file.schema.column(number) for number in range(len(file.schema))]
        texts = [one.path for one in columns if one.physical_type == TEXT]
        if not self._spilled:
            raise ColdframeError(NO_ROOM)
        again = Path(self._spilled) / next(self._names)
        again.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            with pq.ParquetFile(opened, read_dictionary=texts) as coded:
                schema = coded.schema_arrow
                with pq.ParquetWriter(again, schema, compression="zstd", store_schema=False) as writer:
                    for group in range(file.num_row_groups):
                        batches = list(coded.iter_batches(ROWS_AT_ONCE, row_groups=[group]))
                        for batch in batches:
                            for values in batch.columns:
                                values.validate(full=True)
                        writer.write_table(pa.Table.from_batches(batches, schema), row_group_size=1 << 30)
        except BaseException as error:
            again.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise ColdframeError(NO_ROOM) from error
            raise
        return again

    def _compare(self, written: Mapping[Part, str]) -> str | None:
        """What differs between parts and what was written of them; None if nothing does."""
        if not written:
            return None
        there, again = [part.path for part in written], list(written.values())
        if not _are_read_alike(self._there, there, self._again, again):
            return "its values depend on what reads them"
        return None


def _bunches(live: Sequence[Part]) -> Iterator[list[Part]]:
    """Parts to compare together: asking DuckDB takes longer than small parts do."""
    bunch: list[Part] = []
    for part in live:
        bunch.append(part)
        if len(bunch) == BUNCH_PARTS or sum(one.bytes for one in bunch) > BUNCH_BYTES:
            yield bunch
            bunch = []
    if bunch:
        yield bunch


def _told(look: Callable[[], str | None]) -> str | None:
    """What a look at a part finds, or why it fails."""
    try:
        return look()
    except ColdframeError:  # of this machine, not of the part
        raise
    except MemoryError:
        return "cannot be read (it takes more memory than there is)"
    except Exception as error:  # the reader of a file that makes no sense raises kinds of its own
        return f"cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})"


def _are_read_alike(
    first: duckdb.DuckDBPyConnection, paths: Sequence[str], second: duckdb.DuckDBPyConnection, others: Sequence[str]
) -> bool:
    """Whether DuckDB reads the same rows in files and in others, in the same order."""
    rows = []
    for con, names in ((first, paths), (second, others)):
        files = ", ".join(f"'{STORE}{name}'" for name in names)
        source = f"from read_parquet([{files}], union_by_name = true)"
        columns = con.sql(f"select * {source} limit 0")
        compared = ", ".join(map(_compared, columns.columns, map(str, columns.types)))
        rows.append(connection.reader(con, f"select {compared} {source}", {}, ROWS_AT_ONCE))
    return all(_are_equal(one, other) for one, other in _side_by_side(*rows))


def _compared(name: str, kind: str) -> str:
    """What is compared of a column: its values, or their SHA-256, as a file may hold a long text a million times."""
    quoted = connection.quoted(name)
    if re.fullmatch(FIXED, kind):
        return quoted
    return f"sha256({quoted if kind in ('VARCHAR', 'BLOB') else f'to_json({quoted})::varchar'}) as {quoted}"


def _side_by_side(
    first: Iterator[pa.RecordBatch], second: Iterator[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch | None, pa.RecordBatch | None]]:
    """Two sequences of rows in pieces of the same length, however each was cut; None where one is at its end."""
    one, other = next(first, None), next(second, None)
    while one is not None and other is not None:
        count = min(len(one), len(other))
        yield one.slice(0, count), other.slice(0, count)
        one = one.slice(count) if count < len(one) else next(first, None)
        other = other.slice(count) if count < len(other) else next(second, None)
    if one is not None or other is not None:
        yield one, other


def _are_equal(one: pa.RecordBatch | None, other: pa.RecordBatch | None) -> bool:
    """Whether two tables have the same values; those that are not a number count as equal."""
    if one is None or other is None:
        return False
    return bool(one.equals(other)) or (
        one.schema.equals(other.schema) and repr(one.to_pylist()) == repr(other.to_pylist())
    )


def _of_columns(dataset: str, part: Part, file: pq.ParquetFile) -> str | None:
    meta = file.metadata
    counts = (meta.num_rows, sum(meta.row_group(number).num_rows for number in range(meta.num_row_groups)))
    for count in counts:
        if count != part.rows:
            return f"{count} rows, expected {part.rows}"
    found = file.schema_arrow
    names = list(map(folded, found.names))
    is_open = dataset in OPEN_DATASETS
    # a column given_label is the user's own, of a store of an earlier version, and images does not show it
    strange = [name for name in names if (name == "split" if is_open else name not in SCHEMAS[dataset].names)]
    leaves = (file.schema.column(number).path for number in range(len(file.schema)))
    strange += [ascii(name) for name in (*names, *leaves) if "\0" in name]  # where DuckDB ends a name
    if strange:
        return f"it has a column called {strange[0]}, which coldframe does not write"
    for name, count in Counter(names).items():
        if count > 1:
            return f"{count} columns called {name}, expected one"
    for field in SCHEMAS[dataset]:
        count = names.count(field.name)
        if not count and dataset not in GROWN_DATASETS:
            return f"no columns called {field.name}, expected one"
        if count and not _fits(field.type, found.field(names.index(field.name)).type):
            return f"its {field.name} is {found.field(names.index(field.name)).type}, expected {field.type}"
    return None


def _fits(expected: pa.DataType, found: pa.DataType) -> bool:
    """Whether a column has the expected type, but for how lists and text are laid out."""
    types = pa.types
    if types.is_list(expected):
        is_list = types.is_list(found) or types.is_fixed_size_list(found) or types.is_large_list(found)
        is_short = is_list and types.is_float16(found.value_type) and types.is_float32(expected.value_type)
        return is_list and (is_short or _fits(expected.value_type, found.value_type))  # vectors may be kept in float16
    if types.is_string(expected):
        return bool(types.is_string(found) or types.is_large_string(found))
    return bool(expected == found)
