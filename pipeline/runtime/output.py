"""Results on stdout, in every format: table, csv, json, ndjson, parquet.

A table is for reading: it escapes what a terminal would obey, and what the encoding of stdout cannot express. The other formats
are exact and in UTF-8, except on a terminal.
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from pipeline.runtime.terminal import encodable, escaped, is_shown, refuse_binary
from store.errors import ColdframeError

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_ROWS = 40
CELL_CHARACTERS = 60
ROWS_AT_ONCE, PIECE_BYTES = 4096, 1 << 20  # rows as Python objects; approximate size of a piece of text


def write(table: pa.Table, fmt: str, *, rows: int = TABLE_ROWS) -> None:
    """Write a table to stdout. ``table`` shows the first ``rows`` rows and the total number; the other formats show all.

    Raises:
        ColdframeError: the format, or Python, cannot express a value, such as an infinite date; or a binary format is to go to a
            terminal.
    """
    if fmt == "parquet":
        refuse_binary(fmt)
    emit(pieces(table, fmt, rows=rows, shown=is_shown()))


def emit(given: Iterable[str | bytes]) -> None:
    """Write the pieces from :func:`pieces` to stdout.

    Raises:
        ColdframeError: stdout is closed.
    """
    _see_stdout()
    for piece in given:
        if isinstance(piece, bytes):
            sys.stdout.flush()
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        else:
            sys.stdout.write(encodable(piece))  # unchanged: click would drop what looks like colours


def _see_stdout() -> None:
    if sys.stdout is None:
        raise ColdframeError("standard output is closed, so a result has nowhere to go: send it to a file ('> FILE')")


def pieces(
    table: pa.Table, fmt: str, *, rows: int = TABLE_ROWS, shown: bool = False, header: bool = True
) -> Iterator[str | bytes]:
    """A table in a format, piece by piece: bytes if exact, text if people read it.

    Args:
        shown: whether it goes to a terminal.
        header: whether csv begins with the column names.

    Raises:
        ColdframeError: as for :func:`write`.
    """
    import pyarrow as pa

    try:
        for piece in _pieces(table, fmt, rows, shown, header):
            yield piece if shown or fmt == "table" or isinstance(piece, bytes) else piece.encode()
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise ColdframeError(
            f"the result cannot be written as {fmt} ({error}): cast the column with ::varchar"
        ) from error


def write_all(tables: Iterable[pa.Table], fmt: str) -> None:
    """Write tables with the same columns, at least one, as one whole table in every format. csv and ndjson are written piece by
    piece, so that what was written stays if the rest fails.

    Raises:
        ColdframeError: as for :func:`write`.
    """
    import pyarrow as pa

    if fmt not in ("csv", "ndjson"):
        whole = pa.concat_tables(tables)
        return write(whole, fmt, rows=len(whole))
    for number, table in enumerate(tables):
        emit(pieces(table, fmt, shown=is_shown(), header=not number))
        sys.stdout.flush()
    return None


def _pieces(table: pa.Table, fmt: str, rows: int, shown: bool, header: bool) -> Iterator[str | bytes]:
    if fmt == "table":
        for line in as_text(table, rows=rows).split("\n"):
            yield f"{escaped(line, keep='')}\n"
    elif fmt == "parquet":
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        buffer.seek(0)
        yield from iter(lambda: buffer.read(PIECE_BYTES), b"")
    elif fmt == "csv":
        yield from _csv(table, header=header, shown=shown)
    elif fmt == "ndjson":
        for some in _rows(table):
            yield "".join(f"{to_json(row)}\n" for row in some)
    else:
        yield from _json(table)


def write_json(value: Any, *, indent: int | None = None) -> None:
    """JSON on stdout: in ASCII without control characters, so exact on a terminal too. Raises as :func:`emit`."""
    _see_stdout()
    click.echo(to_json(value, indent=indent))


def write_line(text: str) -> None:
    """Write a name or path for scripts to stdout: exact, including bytes that are not text, except on a terminal."""
    click.echo(encodable(escaped(text, keep="")) if is_shown() else os.fsencode(text))


def as_text(table: pa.Table, *, rows: int = TABLE_ROWS) -> str:
    """The first rows under the column names; long cells are cut, and numbers rounded to six digits."""
    from tabulate import tabulate

    if table.column_names == ["explain_key", "explain_value"]:  # a drawing: cells would break it
        return "\n".join(escaped(str(value)) for value in table["explain_value"].to_pylist())
    shown = [[_cell(value) for value in row.values()] for row in table.slice(0, rows).to_pylist()]
    names = [escaped(name, keep="") for name in table.column_names]
    text: str = tabulate(shown, headers=names, tablefmt="simple", disable_numparse=True)
    if table.num_rows > rows:
        text += f"\n({rows} of {table.num_rows} rows; the other formats give all)"
    elif not table.num_rows:
        text += "\n(no rows)"
    return text


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) > 3:
        return f"[{', '.join(_cell(one) for one in value[:3])}, … {len(value)}]"
    text = " ".join(escaped(str(value), keep="").split())
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON of rows from the store; a number that JSON cannot express (NaN, infinity) becomes null."""
    try:
        return json.dumps(value, default=_plain, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(value), default=_plain, indent=indent)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    return [_without_nan(one) for one in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """Convert what JSON has no type for: sums, which come as decimals, and times as text."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def _rows(table: pa.Table) -> Iterator[list[dict[str, Any]]]:
    """The rows, in batches."""
    few = max(1, min(ROWS_AT_ONCE, PIECE_BYTES * table.num_rows // max(table.nbytes, 1)))
    for batch in table.to_batches(few):
        yield batch.to_pylist()


def _json(table: pa.Table) -> Iterator[str]:
    """All rows as one JSON list, as from :func:`to_json`, in batches."""
    before = "["
    for some in _rows(table):
        for row in some:
            inner = to_json(row, indent=1).replace("\n", "\n ")  # text never has a line break here: JSON escapes it
            yield f"{before}\n {inner}"
            before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _csv(table: pa.Table, *, header: bool, shown: bool) -> Iterator[str]:
    import csv

    lines = _Lines()
    writer = csv.writer(lines)
    cell = _csv_shown if shown else _csv_exact
    if header:
        writer.writerow(cell(name) for name in table.column_names)
    for some in _rows(table):
        for row in some:
            writer.writerow(cell(value) for value in row.values())
        yield lines.taken()
    yield lines.taken()


class _Lines(list[str]):
    """Collects lines from a CSV writer. They come with CSV's line end, so that a lone carriage return is quoted, and get ours."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")

    def taken(self) -> str:
        """Return all lines so far and forget them."""
        text = "".join(self)
        self.clear()
        return text


def _csv_exact(value: Any) -> Any:
    return json.dumps(value, default=_plain) if isinstance(value, list | dict) else value


def _csv_shown(value: Any) -> Any:
    return value if value is None else escaped(str(_csv_exact(value)), keep="")
