"""Reading a catalogue: a CSV, TSV or Parquet file of rows, or a folder of class folders."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from store import opening
from store.errors import ColdframeError
from store.memory import memory_bytes
from store.schemas import SCHEMAS, as_text, unique_names

PATH_COLUMNS = ("path", "file_path", "filepath", "file_name", "filename", "file", "image")
LABEL_COLUMNS = ("label", "class", "family")
KINDS = "a CSV, TSV or Parquet file, or a folder of class folders"
PARQUET_ENDINGS = (".parquet", ".pq")
DELIMITERS = (",", ";", "\t")
MOST_COLUMNS = 2000
BLOCK_BYTES = 1 << 20  # of a CSV that are parsed at a time; its header stands in the first of them
ROWS_AT_ONCE, ROW_BYTES = 4096, 8  # of Parquet, and what a row takes beside its values
PIECE_ROWS = 16_384  # of a column, as Python objects
BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
SHOWN_CHARACTERS = 200  # of a type: one of many fields is long


@dataclass(frozen=True)
class Catalogue:
    """Rows to ingest.

    ``rows`` has ``image_id``, ``path``, ``label`` (text, label may be NULL) and then the user's columns, renamed to
    ``user_<name>`` where they would hide one of ours. ``notes`` are sentences for the person watching.
    """

    rows: pa.Table
    notes: tuple[str, ...]


def read(
    source: Path,
    *,
    id_column: str | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
) -> Catalogue:
    """Read ``source``, whatever kind of catalogue it is.

    Raises:
        ColdframeError: no such file, not readable as what its name says, a column named that it does not have, a row
            without an id, or two rows with the same id (both are named).
    """
    if source.is_dir():
        for option, value in (("--id", id_column), ("--path", path_column), ("--label", label_column)):
            if value:
                raise ColdframeError(
                    f"{source}: a folder has no column {value!r}: leave out {option}, or give a CSV, TSV or Parquet file"
                )
        try:
            return _from_folder(source)
        except RecursionError:
            raise ColdframeError(f"{source}: its folders are nested too deeply: name one further down") from None
    return _from_table(source, read_table(source), id_column, path_column, label_column)


def read_table(source: Path) -> pa.Table:
    """The rows of a file as they are: of a CSV or TSV all columns as text, an empty cell NULL.

    Raises:
        ColdframeError: no such file, or not readable as what its name says.
    """
    check_file(source)
    try:
        return _read_parquet(source) if source.suffix.lower() in PARQUET_ENDINGS else _read_delimited(source)
    except MemoryError as error:
        raise ColdframeError(f"{source}: {_too_large()}") from error


def check_file(source: Path) -> None:
    """See that a catalogue is a file that can be read as one, and that there is memory for it, before it is read.

    Raises:
        ColdframeError: it is not there, is a pipe or a device, or is larger than what it may take of the memory.
    """
    try:
        with opening.open_regular(source, follow=True) as file:
            size = os.fstat(file.fileno()).st_size
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise ColdframeError(f"{source}: no such file; expected {KINDS}") from error
    except opening.NotRegular as error:
        found = str(error.strerror).removesuffix(", expected a regular file")
        raise ColdframeError(f"{source}: {found}; expected {KINDS}") from error
    if size > _most_bytes():
        raise ColdframeError(f"{source}: {_too_large()}")


def _most_bytes() -> int:
    """What a catalogue may take of the memory: it is there twice, once with all columns as text for rows that fail."""
    return memory_bytes() // 2


def _too_large() -> str:
    return (
        f"it takes more than the {_most_bytes() / 1e9:.1f} GB of memory that a catalogue may take: leave out columns that no "
        "query needs, or divide it among several stores"
    )


def _read_parquet(source: Path) -> pa.Table:
    try:
        with pq.ParquetFile(source) as file:
            _check_columns(source, file.metadata.num_columns)  # those within structures each
            table = _held(source, file)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ColdframeError(f"{source}: not a readable Parquet file ({error})") from error
    columns = [_usable(source, name, column) for name, column in zip(table.column_names, table.columns, strict=True)]
    return pa.table(columns, table.column_names)


def _held(source: Path, file: pq.ParquetFile) -> pa.Table:
    """All rows, each value as often as it comes. What takes little on disk may take all the memory there is.

    Raises:
        ColdframeError: they take more than there is for them.
    """
    schema = pa.schema([(field.name, _of_each(field.type)) for field in file.schema_arrow])
    batches, taken, most = [], 0, _most_bytes()
    for coded in file.iter_batches(ROWS_AT_ONCE):
        columns = [one.dictionary_decode() if pa.types.is_dictionary(one.type) else one for one in coded.columns]
        batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
        taken += batches[-1].nbytes + ROW_BYTES * coded.num_rows
        if taken > most:
            raise ColdframeError(f"{source}: {_too_large()}")
    return pa.Table.from_batches(batches, schema)


def _of_each(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _usable(source: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as it is where DuckDB and Python both have a word for each of its values, else as text.

    Raises:
        ColdframeError: it cannot be text either, such as text that is not UTF-8, or a time beyond the calendar.
    """
    kind = column.type
    is_plain = _is_plain(kind)
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
    except Exception as error:  # of Arrow's kinds and Python's
        raise ColdframeError(
            f"{source}: column {name!r} holds {str(kind)[:SHOWN_CHARACTERS]}, and a value that cannot be taken "
            f"({error}): leave the column out, or write it as text"
        ) from error


def _pieces(column: pa.ChunkedArray) -> Iterator[pa.ChunkedArray]:
    return (column.slice(start, PIECE_ROWS) for start in range(0, len(column), PIECE_ROWS))


def _is_plain(kind: pa.DataType) -> bool:
    """Whether DuckDB has a type for this one and gives it back as it was."""
    if isinstance(kind, pa.BaseExtensionType):
        return _is_plain(kind.storage_type)
    if pa.types.is_struct(kind):
        names = [field.name.lower() for field in kind]
        is_named = all(names) and len(set(names)) == len(names) and not any("\0" in name for name in names)
        return is_named and all(_is_plain(field.type) for field in kind)
    if pa.types.is_map(kind):
        return _is_plain(kind.key_type) and _is_plain(kind.item_type)
    if hasattr(kind, "value_type"):  # lists of each kind
        return _is_plain(kind.value_type)
    return not (pa.types.is_duration(kind) or pa.types.is_float16(kind) or pa.types.is_decimal256(kind))


def _said(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, bool]:
    """Some values as text, and whether that is what the rows that fail would have of them as they are."""
    kind = values.type
    if pa.types.is_duration(kind) and kind.unit == "ns":  # which Python cannot hold; neither can SQL
        values = values.cast(pa.duration("us"), safe=False)
    try:
        return as_text(values), True
    except (pa.ArrowException, ValueError, OverflowError):  # bytes, or what Python has no word for
        if pa.types.is_duration(kind):
            raise
    with suppress(duckdb.Error, pa.ArrowException):
        return _by_duckdb(values), False
    said = [None if one is None else str(one) for one in values.to_pylist()]
    return pa.chunked_array([pa.array(said, pa.string())]), False


def _fits(values: pa.ChunkedArray, text: pa.ChunkedArray) -> bool:
    """Whether Python and DuckDB can hold some values, and DuckDB beside the text that they have in rows that fail."""
    try:
        values.to_pylist(maps_as_pydicts="strict")
        if _has_parts(values.type):  # DuckDB makes structures of text where there are both
            both = "select c from given union all select c from said"
            _asked(f"select max(hash(c)) from ({both})", given=values, said=text)
    except (duckdb.Error, pa.ArrowException, KeyError, TypeError, ValueError, OverflowError):
        return False  # a key twice, a time beyond the calendar, text that is no structure
    return True


def _told(values: pa.ChunkedArray, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Some values as text: structures as DuckDB tells them, where it can, since it can read that again."""
    if _has_parts(values.type):
        with suppress(duckdb.Error, pa.ArrowException):
            return _by_duckdb(values)
    return text


def _by_duckdb(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return _asked("select c::varchar as c from given", given=values)["c"]


def _asked(query: str, **columns: pa.ChunkedArray) -> pa.Table:
    """What DuckDB makes of columns, each of them ``c`` of a table of its own."""
    with duckdb.connect() as con:  # a new one: some values leave it unusable
        con.execute("set enable_progress_bar = false")
        con.execute("set autoinstall_known_extensions = false")
        con.execute("set timezone = 'UTC'")
        for name, column in columns.items():
            con.register(name, pa.table({"c": column}))
        return con.sql(query).to_arrow_table()


def _has_parts(kind: pa.DataType) -> bool:
    """Whether a type is made of others, or of bytes."""
    return pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType) or any(is_kind(kind) for is_kind in BYTES)


def _check_columns(source: Path, count: int) -> None:
    """Raises:
    ColdframeError: more columns than SQL is comfortable with.
    """
    if count > MOST_COLUMNS:
        raise ColdframeError(
            f"{source}: {count} columns, expected at most {MOST_COLUMNS} (each field of a structure counts): leave out those "
            "that no query needs, and see that the first row names the columns"
        )


def _read_delimited(source: Path) -> pa.Table:
    """All columns as text, as given; an empty cell is NULL."""
    try:
        begin = _beginning(source)
        header = next((line for line in re.split(r"[\r\n]+", _unquoted(begin)) if line.strip()), None)
        if header is None:
            raise ColdframeError(f"{source}: empty; expected a header row with the names of the columns")
        delimiter = "\t" if source.suffix.lower() == ".tsv" else max(DELIMITERS, key=header.count)
        # a reader of ours first: Arrow's takes minutes to prepare for a million columns
        rows = csv.reader(io.StringIO(begin, newline=""), delimiter=delimiter)
        _check_columns(source, len(next(filter(None, rows), [])))
        read = pa_csv.ReadOptions(block_size=BLOCK_BYTES)
        parse = pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        names = pa_csv.open_csv(
            source, read, parse, convert_options=pa_csv.ConvertOptions(check_utf8=False)
        ).schema.names
        _check_columns(source, len(names))
        convert = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
        )
        return pa_csv.read_csv(source, read, parse, convert)
    except UnicodeDecodeError as error:
        raise ColdframeError(f"{source}: not UTF-8 text; save it as CSV with UTF-8 encoding") from error
    except csv.Error as error:
        raise ColdframeError(
            f"{source}: the first row cannot be read as the names of the columns: {error}; see that each quote is closed"
        ) from error
    except pa.ArrowInvalid as error:
        hint = (
            "save it as CSV with UTF-8 encoding"
            if "UTF8" in str(error)
            else "every row needs as many cells as the header"
        )
        raise ColdframeError(f"{source}: cannot be read as a table: {error}; {hint}") from error
    except OSError as error:
        raise ColdframeError(f"{source}: cannot be read: {error}") from error


def _beginning(source: Path) -> str:
    """The text of the first block of a CSV."""
    with opening.open_regular(source, follow=True) as file:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(file.read(BLOCK_BYTES))


def _unquoted(text: str) -> str:
    return re.sub(r'"[^"]*"', "", text)


def _from_table(
    source: Path, table: pa.Table, id_column: str | None, path_column: str | None, label_column: str | None
) -> Catalogue:
    paths = _column(source, table, "--path", path_column, PATH_COLUMNS)
    labels = _column(source, table, "--label", label_column, LABEL_COLUMNS)
    if paths is None:
        raise ColdframeError(
            f"{source}: which column holds the image paths? Name it with --path; columns: {', '.join(table.column_names)}"
        )
    ids = _column(source, table, "--id", id_column, ())
    if ids is None:
        ids = paths
        if _some_empty(paths):
            # a row without a path has no picture either: it is kept, to fail under the number of its row
            numbered = [path or f"row {row}" for row, path in enumerate(paths.to_pylist(), start=first_row(source))]
            ids = pa.chunked_array([pa.array(numbered, pa.string())])
    if _some_empty(ids) or pc.count_distinct(ids).as_py() < len(ids):
        _refuse_ids(source, ids.to_pylist(), id_column)
    names = [name.strip() or f"column_{position}" for position, name in enumerate(table.column_names, start=1)]
    user = table.rename_columns(unique_names(_user_name(name) for name in names))
    ours = {
        "image_id": ids,
        "path": paths,
        "label": pa.nulls(table.num_rows, pa.string()) if labels is None else labels,
    }
    notes = (
        () if labels is not None else (f"{source}: no label column; name it with --label to split and train by class",)
    )
    return Catalogue(pa.table(ours | {name: user[name] for name in user.column_names}), notes)


def _column(
    source: Path, table: pa.Table, option: str, given: str | None, usual: tuple[str, ...]
) -> pa.ChunkedArray | None:
    """The column asked for, or the first with a usual name in any case; as text. None where there is none."""
    names = table.column_names
    if given is not None and given not in names:
        raise ColdframeError(f"{source}: no column {given!r} for {option}; columns: {', '.join(names)}")
    lower = [name.strip().lower() for name in names]
    chosen = given or next((names[lower.index(name)] for name in usual if name in lower), None)
    if chosen is None:
        return None
    column = table.column(names.index(chosen))
    try:
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise ColdframeError(
            f"{source}: column {chosen!r} holds {column.type}, expected text or numbers for {option}"
        ) from error


def _user_name(name: str) -> str:
    """``user_<name>`` for a column that collides with one of ours."""
    ours = {*SCHEMAS["images"].names, "split"}
    return f"user_{name}" if name.lower() in ours else name


def first_row(source: Path) -> int:
    """The number people give the first row: a spreadsheet counts the header too."""
    return 1 if source.suffix.lower() in PARQUET_ENDINGS else 2


def _some_empty(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count or pc.any(pc.equal(column, "")).as_py())


def _refuse_ids(source: Path, ids: list[str | None], column: str | None) -> None:
    """Raises:
    ColdframeError: a row has no id, or two rows have the same; it names them.
    """
    where = f"column {column!r}" if column else "the column of paths"
    first_rows: dict[str, int] = {}
    for row, image_id in enumerate(ids, start=first_row(source)):
        if not image_id:
            raise ColdframeError(f"{source}: row {row} has no id in {where}: give it one, or leave out --id")
        if image_id in first_rows:
            raise ColdframeError(
                f"{source}: rows {first_rows[image_id]} and {row} have the same id {image_id!r} in {where}: make the ids "
                "unique, or name another column with --id"
            )
        first_rows[image_id] = row


def _from_folder(folder: Path) -> Catalogue:
    """One row per image file below ``folder``; its label is the first folder on the way to it.

    Raises:
        ColdframeError: a folder cannot be listed, or there is no image file.
    """
    from pipeline.ingest.decoding import suffixes

    def cannot_list(error: OSError) -> None:
        raise ColdframeError(f"{error.filename}: this folder cannot be listed: {error.strerror}") from error

    known = suffixes()
    paths, skipped = [], Counter[str]()
    for where, folders, files in os.walk(folder, onerror=cannot_list):
        skipped["linked folders"] += sum((Path(where) / name).is_symlink() for name in folders)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in known:
                path = (Path(where) / name).relative_to(folder).as_posix()
                # a name that is not UTF-8 cannot be stored as it is: it becomes a row that fails
                paths.append(path.encode(errors="surrogateescape").decode(errors="backslashreplace"))
            else:
                skipped[Path(name).suffix.lower() or "no ending"] += 1
    if not paths:
        raise ColdframeError(f"{folder}: no image files in it; expected folders named after the classes, with images")
    labels = [path.split("/", 1)[0] if "/" in path else None for path in paths]
    ids = pa.array(paths)
    rows = pa.table({"image_id": ids, "path": ids, "label": pa.array(labels, pa.string())})
    kinds = ", ".join(f"{count} {ending}" for ending, count in sorted(skipped.items()) if count)
    return Catalogue(rows, (f"{folder}: left out what is no image by its name: {kinds}",) if kinds else ())
