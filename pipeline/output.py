"""Results on stdout, in every format: table, csv, json, ndjson, parquet."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import click
import pyarrow as pa

from store.errors import ColdframeError

TABLE_ROWS = 40
CELL_CHARACTERS = 60


def write(table: pa.Table, fmt: str, *, rows: int = TABLE_ROWS) -> None:
    """Write a table to stdout. ``table`` shows the first ``rows`` rows and says how many there are; the others all.

    Raises:
        ColdframeError: a value that the format, or Python, has no word for, such as an infinite date.
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
        click.echo(as_text(table, rows=rows))
    elif fmt == "parquet":
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        sys.stdout.buffer.write(buffer.getvalue())
        sys.stdout.buffer.flush()
    elif fmt == "csv":
        _write_csv(table)
    elif fmt == "ndjson":
        for row in _rows(table):
            click.echo(to_json(row))
    else:
        click.echo(to_json(list(_rows(table)), indent=1))


def as_text(table: pa.Table, *, rows: int = TABLE_ROWS) -> str:
    """The first rows under the names of the columns; long cells are cut, and numbers rounded to six digits."""
    from tabulate import tabulate

    if table.column_names == ["explain_key", "explain_value"]:  # a drawing: cells would break it
        return "\n".join(table["explain_value"].to_pylist())
    shown = [[_cell(value) for value in row.values()] for row in table.slice(0, rows).to_pylist()]
    text: str = tabulate(shown, headers=table.column_names, tablefmt="simple", disable_numparse=True)
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
    text = " ".join(str(value).split())
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

    writer = csv.writer(sys.stdout, lineterminator="\n")
    if header:
        writer.writerow(table.column_names)
    for row in _rows(table):
        writer.writerow(json.dumps(value) if isinstance(value, list | dict) else value for value in row.values())
