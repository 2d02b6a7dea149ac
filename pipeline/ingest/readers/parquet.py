"""Read a catalogue from Parquet: each column as it is if DuckDB and Python can both hold it, else as text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.ingest import catalogue_limits
from pipeline.ingest.listed import Listed
from store.errors import ColdframeError
from store.schemas import as_text

ROWS_AT_ONCE, BATCH_BYTES = 4096, 1 << 26  # when reading Parquet
ROW_BYTES, VALUE_BYTES = 8, 4  # memory of a row besides its values, and the least memory of a value
MOST_DEPTH = 8  # of lists within lists: each level doubles what DuckDB takes to give them back
PIECE_ROWS = 16_384  # of a column, when turned into Python objects
BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
SHOWN_CHARACTERS = 200  # of a type's name: a structure with many fields has a long one


def read(source: Path) -> Listed:
    """The rows of a Parquet file, with the types that its columns have there.

    Raises:
        ColdframeError: the file cannot be read, is too large, or has a value that text cannot express.
    """
    try:
        with catalogue_limits.opened(source) as opened, pq.ParquetFile(opened) as file:
            catalogue_limits.check_columns(source, file.metadata.num_columns)  # counts each field of a structure
            _check_count(source, file.metadata)
            # text as dictionary codes: a file of a few hundred bytes may hold a long text a million times
            leaves = map(file.schema.column, range(len(file.schema)))
            texts = [column.path for column in leaves if column.physical_type == "BYTE_ARRAY"]
            try:
                with pq.ParquetFile(opened, read_dictionary=texts) as coded:
                    table = _held(source, coded, file.schema_arrow, _rows_at_once(file.schema))
            except NotImplementedError:  # of an encoding in which each text stands by itself
                opened.seek(0)
                with pq.ParquetFile(opened) as plain:
                    table = _held(source, plain, file.schema_arrow, _rows_at_once(file.schema))
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ColdframeError(f"{source}: not a readable Parquet file ({error})") from error
    columns = [usable(source, name, column) for name, column in zip(table.column_names, table.columns, strict=True)]
    no_text = {
        name: said for name, one in zip(table.column_names, table.columns, strict=True) if (said := _no_text(one))
    }
    notes = (f"{source}: read as Parquet",)
    return Listed(pa.table(columns, table.column_names), range(1, table.num_rows + 1), notes, no_text=no_text)


def _no_text(column: pa.ChunkedArray) -> str | None:
    """What the values of a column are, if they can be no path, id or label: parts, or bytes that are no text."""
    kind = column.type
    if pa.types.is_nested(kind):
        return str(kind)[:SHOWN_CHARACTERS]
    if any(is_kind(kind) for is_kind in BYTES):
        try:
            column.cast(pa.binary()).cast(pa.string())
        except pa.ArrowException:
            return "bytes"
    return None


def _check_count(source: Path, said: pq.FileMetaData) -> None:
    """Raises:
    ColdframeError: there are more values than the memory can hold, however well they are compressed in the file.
    """
    chunks = (
        said.row_group(group).column(at) for group in range(said.num_row_groups) for at in range(said.num_columns)
    )
    catalogue_limits.check_bytes(source, VALUE_BYTES * sum(chunk.num_values for chunk in chunks))


def _rows_at_once(schema: pq.ParquetSchema) -> int:
    """Rows to read at once; fewer if each row is wide by its type."""
    columns = [schema.column(at) for at in range(len(schema))]
    width = sum(max(column.length or 0, 0) for column in columns if column.physical_type == "FIXED_LEN_BYTE_ARRAY")
    return max(1, min(ROWS_AT_ONCE, BATCH_BYTES // max(width, 1)))


def _held(source: Path, coded: pq.ParquetFile, kinds: pa.Schema, rows: int) -> pa.Table:
    """All rows, with repeated values expanded. A file that is small on disk may take all the memory.

    Raises:
        ColdframeError: the rows take more memory than a catalogue may.
    """
    schema = pa.schema([(field.name, _of_each(field.type)) for field in kinds])
    batches, taken = [], 0
    for batch in coded.iter_batches(rows):
        taken += sum(map(_bytes_of, batch.columns)) + ROW_BYTES * batch.num_rows
        catalogue_limits.check_bytes(source, taken)
        columns = [_decoded(one, field.type) for one, field in zip(batch.columns, schema, strict=True)]
        batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
    return pa.Table.from_batches(batches, schema)


def _decoded(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column with its repeated values expanded."""
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return plain if plain.type == kind else plain.cast(kind)


def _bytes_of(column: pa.Array) -> int:
    """Bytes that the values of a column take once repeated values are expanded."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        if not pa.types.is_string(kind.value_type) and not pa.types.is_binary(kind.value_type):
            return 2 * int(column.indices.nbytes)
        lengths = pc.binary_length(column.dictionary).take(column.indices)
        return int(pc.sum(lengths).as_py() or 0) + int(column.indices.nbytes)
    if pa.types.is_struct(kind):
        return sum(map(_bytes_of, column.flatten()))
    if pa.types.is_map(kind):
        return _bytes_of(column.keys) + _bytes_of(column.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return int(column.nbytes - column.values.nbytes) + _bytes_of(column.flatten())
    return int(column.nbytes)


def _of_each(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def usable(source: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as it is if DuckDB and Python can both hold each of its values, else as text.

    Raises:
        ColdframeError: it cannot be text either: text that is not UTF-8, or a time beyond the calendar.
    """
    kind = column.type
    is_plain = _depth(kind) <= MOST_DEPTH and _is_plain(kind)
    try:
        column.validate(full=True)
        if is_plain and not (pa.types.is_temporal(kind) or _has_parts(kind)):
            return column
        texts = []
        for piece in _pieces(column):
            text, fits = _said(piece)
            texts.append(text)
            is_plain = is_plain and fits and _fits(piece, text)
        if is_plain:
            return column
        told = map(_told, _pieces(column), texts)
        return pa.chunked_array([chunk for piece in told for chunk in piece.chunks], pa.string())
    except MemoryError:
        raise
    except Exception as error:  # both Arrow's and Python's
        raise ColdframeError(
            f"{source}: column {name!r} holds {str(kind)[:SHOWN_CHARACTERS]}, and a value that cannot be taken "
            f"({error}): leave the column out, or write it as text"
        ) from error


def _pieces(column: pa.ChunkedArray) -> Iterator[pa.ChunkedArray]:
    return (column.slice(start, PIECE_ROWS) for start in range(0, len(column), PIECE_ROWS))


def _depth(kind: pa.DataType) -> int:
    depth, level = 0, [kind]
    while level:
        depth, level = depth + 1, [one.field(at).type for one in level for at in range(one.num_fields)]
    return depth


def _is_plain(kind: pa.DataType) -> bool:
    """Whether DuckDB has this type and returns it unchanged."""
    if isinstance(kind, pa.BaseExtensionType):
        return _is_plain(kind.storage_type)
    if pa.types.is_struct(kind):
        names = [field.name.lower() for field in kind]
        is_named = (
            bool(names) and all(names) and len(set(names)) == len(names) and not any("\0" in name for name in names)
        )
        return is_named and all(_is_plain(field.type) for field in kind)
    if pa.types.is_map(kind):
        return _is_plain(kind.key_type) and _is_plain(kind.item_type)
    if hasattr(kind, "value_type"):  # all kinds of lists
        return _is_plain(kind.value_type)
    return not (pa.types.is_duration(kind) or pa.types.is_float16(kind) or pa.types.is_decimal256(kind))


def _said(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, bool]:
    """Values as text, and whether failed rows would show the unconverted values with the same text."""
    kind = values.type
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return _said_to_the_nanosecond(values), True
    try:
        return as_text(values), True
    except (pa.ArrowException, ValueError, OverflowError):  # bytes, or a value that Python cannot hold
        if pa.types.is_duration(kind):
            raise
    with suppress(duckdb.Error, pa.ArrowException):
        return _by_duckdb(values), False
    said = [None if one is None else str(one) for one in values.to_pylist()]
    return pa.chunked_array([pa.array(said, pa.string())]), False


def _said_to_the_nanosecond(durations: pa.ChunkedArray) -> pa.ChunkedArray:
    """Durations as text in Python's notation, with three further digits where there are any: Python's own end at microseconds."""
    texts: list[str | None] = []
    for count in durations.cast(pa.int64()).to_pylist():
        if count is None:
            texts.append(None)
            continue
        text = str(timedelta(microseconds=count // 1000))
        if count % 1000:
            text += f"{'' if '.' in text else '.000000'}{count % 1000:03d}"
        texts.append(text)
    return pa.chunked_array([pa.array(texts, pa.string())])


def _fits(values: pa.ChunkedArray, text: pa.ChunkedArray) -> bool:
    """Whether Python and DuckDB can hold the values, and DuckDB can hold them in one column with the text from failed rows."""
    try:
        values.to_pylist(maps_as_pydicts="strict")
        if _has_parts(values.type):  # where both occur, DuckDB parses the text into structures
            both = "select c from given union all select c from said"
            _asked(f"select max(hash(c)) from ({both})", given=values, said=text)
    except (duckdb.Error, pa.ArrowException, KeyError, TypeError, ValueError, OverflowError):
        return False  # a duplicate key, a time beyond the calendar, text that is not a structure
    return True


def _told(values: pa.ChunkedArray, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as text: structures in DuckDB's notation if possible, since it can read that again."""
    if _has_parts(values.type):
        with suppress(duckdb.Error, pa.ArrowException):
            return _by_duckdb(values)
    return text


def _by_duckdb(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return _asked("select c::varchar as c from given", given=values)["c"]


def _asked(query: str, **columns: pa.ChunkedArray) -> pa.Table:
    """Run a query in DuckDB on columns; each is the column ``c`` of its own table."""
    with duckdb.connect() as con:  # a new connection: some values leave it unusable
        con.execute("set enable_progress_bar = false")
        con.execute("set autoinstall_known_extensions = false")
        con.execute("set timezone = 'UTC'")
        for name, column in columns.items():
            con.register(name, pa.table({"c": column}))
        return con.sql(query).to_arrow_table()


def _has_parts(kind: pa.DataType) -> bool:
    """Whether a type is nested, or holds bytes."""
    return pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType) or any(is_kind(kind) for is_kind in BYTES)
