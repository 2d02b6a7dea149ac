"""``sql``. It imports nothing heavy: the process that answers does."""

from __future__ import annotations

import functools

import click

from pipeline.cli.app import Common, command
from pipeline.cli.options import Range, format_option, pairs
from pipeline.runtime import terminal
from pipeline.runtime.processes import standard_input
from pipeline.steps.config import parse_bytes
from pipeline.steps.settings import LARGEST_COUNT
from store.errors import ColdframeError

MOST_QUERY = 2**20  # bytes of a query in a file
LEAST_MEMORY = 64_000_000  # bytes that a query needs


@command("sql")
@click.argument("query", required=False)
@click.option(
    "-f",
    "--file",
    "source",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Read the query from a file. - is standard input, as it is in place of QUERY.",
)
@click.option(
    "--param",
    "params",
    metavar="NAME=VALUE",
    multiple=True,
    help="A value for $NAME, as text; repeatable. NAME=@FILE is a list from a file, one value a line, or a CSV with a column "
    "image_id or path; @@ stands for an @.",
)
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
    query: str | None,
    source: str | None,
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

    given, most = pairs("--param", params), None if memory is None else parse_bytes("--memory", memory)
    text = _query(query, source)
    values = {name: _value(name, value) for name, value in given.items()}
    if most is not None and most < LEAST_MEMORY:
        raise click.UsageError(f"--memory {memory}: expected at least {LEAST_MEMORY // 1000**2}MB")
    pieces = functools.partial(output.pieces, fmt=fmt, rows=rows, shown=terminal.is_shown())
    output.emit(asking.tell(common.root, at, text, values, timeout=timeout or None, memory=most, pieces=pieces))


def _query(query: str | None, source: str | None) -> str:
    """The text of the query, from the command line, a file or standard input."""
    if (query is None) == (source is None):
        raise click.UsageError("expected one query: as QUERY, from a file with -f FILE, or from standard input with -")
    if query is not None and query != "-":
        return query
    name, content = _read(source or "-", MOST_QUERY)
    if len(content) > MOST_QUERY:
        raise ColdframeError(f"{name}: more than {MOST_QUERY // 2**20} MB: give long lists with --param NAME=@FILE")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ColdframeError(f"{name}: not UTF-8 at byte {error.start}: save it as UTF-8") from error


def _value(name: str, value: str) -> str | list[str]:
    """A text, or the list in the file that it names."""
    if not value.startswith("@") or value.startswith("@@"):
        return value.removeprefix("@")
    from pipeline.curate import verdict_lists

    source, content = _read(value[1:], verdict_lists.MOST_BYTES)
    listed = verdict_lists.read(content, f"--param {name}: {source}", "", needs_why=False, with_label=False)
    return [one.image for one in listed]


def _read(source: str, most: int) -> tuple[str, bytes]:
    """The name of a file or of standard input, and its content, up to one byte more than ``most``."""
    if source == "-":
        return "standard input", standard_input(most + 1)
    with open(source, "rb") as file:  # a pipe too
        return source, file.read(most + 1)
