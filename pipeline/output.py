"""Results on stdout, in every format: table, csv, json, ndjson, parquet.

A table is for reading: what a terminal would obey is written out in it. The others are exact, except on a terminal.
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import click
import pyarrow as pa

from pipeline.terminal import echo_lines, escaped, is_shown, refuse_binary
from store.errors import ColdframeError

TABLE_ROWS = 40
CELL_CHARACTERS = 60


def write(table: pa.Table, fmt: str, *, rows: int = TABLE_ROWS) -> None:
    """Write a table to stdout. ``table`` shows the first ``rows`` rows and says how many there are; the others all.

    Raises:
        ColdframeError: a value that the format, or Python, has no word for, such as an infinite date; a binary format on a
            terminal.
    """
    try:
        _write(table, fmt, rows)
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise ColdframeError(
            f"the result cannot be written as {fmt} ({error}): cast the column with ::varchar"
        ) from error


def write_pieces(pieces: Iterable[pa.Table], fmt: str) -> None:
    """Write tables of the same columns, at least one, as one, whole in every format; csv and ndjson piece by piece, so
    that what was written stays when the rest cannot be.

    Raises:
        ColdframeError: as :func:`write` does.
    """
    if fmt not in ("csv", "ndjson"):
        whole = pa.concat_tables(pieces)
        return write(whole, fmt, rows=len(whole))
    for number, piece in enumerate(pieces):
        if fmt == "csv":
            _write_csv(piece, header=not number)
        else:
            write(piece, fmt)
        sys.stdout.flush()
    return None


def _write(table: pa.Table, fmt: str, rows: int) -> None:
    if fmt == "table":
        echo_lines(as_text(table, rows=rows))
    elif fmt == "parquet":
        import pyarrow.parquet as pq

        refuse_binary(fmt)
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        sys.stdout.buffer.write(buffer.getvalue())
        sys.stdout.buffer.flush()
    elif fmt == "csv":
        _write_csv(table)
    elif fmt == "ndjson":
        for row in _rows(table):
            write_json(row)
    else:
        write_json(list(_rows(table)), indent=1)


def write_json(value: Any, *, indent: int | None = None) -> None:
    """JSON on stdout: in ASCII without controls, so exact on a terminal too."""
    click.echo(to_json(value, indent=indent))


def write_line(text: str) -> None:
    """A name or a path that a script reads from stdout: exact, bytes that are no text too, except on a terminal."""
    click.echo(escaped(text, keep="") if is_shown() else os.fsencode(text))


def as_text(table: pa.Table, *, rows: int = TABLE_ROWS) -> str:
    """The first rows under the names of the columns; long cells are cut, and numbers rounded to six digits."""
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
    """JSON of rows out of the store; a number that JSON cannot say (NaN, infinity) is null."""
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
    """What JSON has no type for: sums come as decimals, times as text."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def _rows(table: pa.Table) -> Any:
    for batch in table.to_batches():
        yield from batch.to_pylist()


def _write_csv(table: pa.Table, *, header: bool = True) -> None:
    import csv

    writer = csv.writer(_Lines())
    shown = _csv_shown if is_shown() else _csv_exact
    if header:
        writer.writerow(shown(name) for name in table.column_names)
    for row in _rows(table):
        writer.writerow(shown(value) for value in row.values())


class _Lines:
    """Takes lines that end as CSV's do, so that the writer quotes a lone carriage return, and ends them as we do."""

    def write(self, line: str) -> None:
        sys.stdout.write(line.removesuffix("\r\n") + "\n")


def _csv_exact(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _csv_shown(value: Any) -> Any:
    return value if value is None else escaped(str(_csv_exact(value)), keep="")
