"""``sql``. It imports nothing heavy: the process that answers does."""

from __future__ import annotations

import functools

import click

from pipeline.cli.app import Common, command
from pipeline.cli.options import Range, format_option, pairs
from pipeline.runtime import terminal
from pipeline.steps.config import parse_bytes
from pipeline.steps.settings import LARGEST_COUNT

LEAST_MEMORY = 64_000_000  # bytes that a query needs


@command("sql")
@click.argument("query")
@click.option("--param", "params", metavar="NAME=VALUE", multiple=True, help="A value for $NAME, as text; repeatable.")
@click.option("--at", type=click.IntRange(1), help="Ask an earlier moment of the store.")
@click.option(
    "--timeout",
    type=Range(0, 1e6),
    default=300.0,
    show_default=True,
    help="Seconds that the query and its answer may take; 0: any number.",
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="Most memory for the query and its rows, such as 4GB.  [default: half of the machine's]",
)
@click.option(
    "--rows",
    type=click.IntRange(1, LARGEST_COUNT),
    default=40,
    show_default=True,
    help="Rows that the table format shows.",
)
@format_option
def sql(
    common: Common,
    query: str,
    params: tuple[str, ...],
    at: int | None,
    timeout: float,
    memory: str | None,
    rows: int,
    fmt: str,
) -> None:
    """Ask the store a question in DuckDB's SQL. It can only read, and only the store."""
    from pipeline.runtime import output
    from store import asking

    values, most = pairs("--param", params), None if memory is None else parse_bytes("--memory", memory)
    if most is not None and most < LEAST_MEMORY:
        raise click.UsageError(f"--memory {memory}: expected at least {LEAST_MEMORY // 1000**2}MB")
    pieces = functools.partial(output.pieces, fmt=fmt, rows=rows, shown=terminal.is_shown())
    output.emit(asking.tell(common.root, at, query, values, timeout=timeout or None, memory=most, pieces=pieces))
