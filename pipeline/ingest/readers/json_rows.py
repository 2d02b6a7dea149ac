"""Read a catalogue from JSON: lines with an object each, or a list of objects. Each key is a column."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.ingest import catalogue_limits
from pipeline.ingest.listed import Listed
from pipeline.ingest.readers import parquet
from store.errors import ColdframeError

CELL_BYTES = 16  # of a row in a column at least, though it has no value there: in a list, and in the table
Numbered = Iterator[tuple[int, Mapping[str, Any]]]


def read_lines(source: Path, data: bytes) -> Listed:
    """The rows of JSON Lines. Blank lines are left out.

    Raises:
        ColdframeError: a line is no JSON object; the message names it.
    """
    return _listed(source, _of_lines(source, data), "JSON Lines")


def read_list(source: Path, rows: Sequence[Any]) -> Listed:
    """The rows of a list of JSON objects.

    Raises:
        ColdframeError: one of them is no object; the message says which.
    """
    return _listed(source, _of_list(source, rows), "a JSON list of objects")


def _of_lines(source: Path, data: bytes) -> Numbered:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if line.strip():
            yield number, _object(source, f"line {number}", parsed(source, f"line {number}: ", line))


def _of_list(source: Path, rows: Sequence[Any]) -> Numbered:
    for number, row in enumerate(rows, start=1):
        yield number, _object(source, f"object {number}", row)


def _object(source: Path, where: str, found: Any) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise ColdframeError(f"{source}: {where} is no JSON object; expected one with a key for each column")
    return found


def parsed(source: Path, where: str, data: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ColdframeError: it is none; or an object has a key twice, of which one would be lost.
    """
    try:
        return json.loads(data, object_pairs_hook=_unrepeated)
    except UnicodeDecodeError as error:
        raise ColdframeError(f"{source}: {where}not UTF-8 text; save it as JSON with UTF-8 encoding") from error
    except (ValueError, RecursionError) as error:
        raise ColdframeError(f"{source}: {where}not readable as JSON: {error}; correct it, or give a CSV") from error


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found


def _listed(source: Path, rows: Numbered, kind: str) -> Listed:
    numbers: list[int] = []
    columns: dict[str, list[Any]] = {}
    for number, row in rows:
        for name, value in row.items():
            if name not in columns:
                catalogue_limits.check_columns(source, len(columns) + 1)
            values = columns.setdefault(name, [])
            values.extend(repeat(None, len(numbers) - len(values)))
            values.append(value)
        numbers.append(number)
        catalogue_limits.check_bytes(source, CELL_BYTES * len(numbers) * len(columns))
    for values in columns.values():
        values.extend(repeat(None, len(numbers) - len(values)))
    return Listed(table_of(source, columns, numbers), numbers, (f"{source}: read as {kind}",))


def table_of(source: Path, columns: Mapping[str, list[Any]], numbers: Sequence[int]) -> pa.Table:
    """Columns of JSON values as a table. Values of one kind keep it, nested ones too; others become text.

    Raises:
        ColdframeError: a text is not Unicode; the message names the row and the column.
    """
    names = list(columns)
    for name in names:
        _check_text(source, [name], [0], "the name of a column")
    made = [parquet.usable(source, name, _column(source, name, columns[name], numbers)) for name in names]
    return pa.table(made, names)


def _column(source: Path, name: str, values: list[Any], numbers: Sequence[int]) -> pa.ChunkedArray:
    try:
        found = pa.array(values)
        if not pa.types.is_floating(found.type) or all(isinstance(one, float) for one in values if one is not None):
            return pa.chunked_array([found])
        found = pa.array(values, pa.float64(), safe=True)  # whole numbers among others
        if found.to_pylist() == values:
            return pa.chunked_array([found])
    except MemoryError:  # which is one of Arrow's, too, and says nothing of the values
        raise
    except (pa.ArrowException, OverflowError, ValueError):
        pass
    said = [_as_text(one) for one in values]
    _check_text(source, said, numbers, f"column {name!r}")
    return pa.chunked_array([pa.array(said, pa.string())])


def _as_text(value: Any) -> str | None:
    """A value among others of another kind. NaN is how pandas writes a missing one, of text too."""
    if value is None or value != value:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _check_text(source: Path, texts: Sequence[str | None], numbers: Sequence[int], what: str) -> None:
    for number, one in zip(numbers, texts, strict=True):
        try:
            (one or "").encode()
        except UnicodeEncodeError as error:
            where = f"row {number}, " if number else ""
            raise ColdframeError(
                f"{source}: {where}{what}: {ascii(one)[:60]} is not Unicode text (it holds half of a pair); correct it"
            ) from error
