"""Errors: the message and the exit code when a command fails."""

from __future__ import annotations

import errno
import re
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click

from pipeline.runtime import terminal
from store.errors import ColdframeError, QueryRefused

INTERRUPTED = 130

# What to do about a file or folder that the system refuses.
NO_ROOM = ": make room ('coldframe gc' removes what the store no longer needs), then run the command again"
NO_RIGHT = ": make sure that you may read and write there, or name another place, then run the command again"
WAYS_OUT = {
    errno.ENOSPC: NO_ROOM,
    errno.EDQUOT: NO_ROOM,
    errno.EACCES: NO_RIGHT,
    errno.EPERM: NO_RIGHT,
    errno.EROFS: NO_RIGHT,
}


class ToldErrors(click.Group):
    """A group of commands that turns the errors a user may meet into a message and an exit code."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the arguments; show a usage error with control characters escaped."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.ClickException as error:
            _tell_escaped(error)
            raise
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            terminal.echo(f"Error: {error.strerror or error}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            _interrupted()

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; show its error with control characters escaped."""
        terminal.guard_logs()
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            _tell_escaped(error)
            raise
        except ColdframeError as error:
            _trace(ctx, error)
            message, excerpt = _excerpt(str(error)) if isinstance(error, QueryRefused) else (str(error), "")
            _fail(ctx, message, error.exit_code, excerpt)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            _trace(ctx, error)
            where = f"{error.filename}: " if error.filename else ""
            way_out = WAYS_OUT.get(error.errno or 0, "")
            _fail(ctx, f"{where}{error.strerror or error}{way_out}; what was committed before is safe", 1)
        except KeyboardInterrupt:
            _interrupted()
        except (click.exceptions.Exit, click.Abort):  # only click calls these errors
            raise
        except Exception as error:
            _unexpected(ctx, error)


def _interrupted() -> NoReturn:
    terminal.echo("Error: interrupted; what was committed before is safe", err=True)
    sys.exit(INTERRUPTED)


def _unexpected(ctx: click.Context, error: Exception) -> None:
    """Give an unexpected error a sentence too: a store made by someone else may hold anything."""
    _trace(ctx, error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    _fail(
        ctx,
        f"unexpected error: {type(error).__name__}: {error}{where}. Either the store or a file was not made by coldframe "
        "('coldframe verify' checks a store), or this is a fault of coldframe: --verbose shows where. What was committed before "
        "is safe",
        1,
    )


def _tell_escaped(error: click.ClickException) -> None:
    """Show an error with the contents of options, files and variables escaped."""
    tell = error.format_message
    # these have line breaks but no values: a help text, a list of choices
    keep = "\n\t" if isinstance(error, click.exceptions.NoArgsIsHelpError | click.MissingParameter) else ""
    vars(error)["format_message"] = lambda: terminal.escaped(_pasted(getattr(error, "ctx", None), tell()), keep=keep)


def _pasted(ctx: click.Context | None, message: str) -> str:
    """A message with commands that work when they are pasted."""
    return message if ctx is None or ctx.obj is None else str(ctx.obj.pasted(message))


def _excerpt(message: str) -> tuple[str, str]:
    """DuckDB's error in one line, and its place in the query: the last two lines of the message, if it has them."""
    found = re.search(r"\n\n(LINE \d+: [^\n]*\n *\^+)\s*$", message)
    head = message[: found.start()] if found else message
    return re.sub(r"\n[\n\t ]*", " ", head.strip("\n")), found[1] if found else ""


def _trace(ctx: click.Context, error: Exception) -> None:
    if ctx.obj is not None and ctx.obj.verbose:
        terminal.echo_lines(terminal.traced(error), err=True)
        terminal.echo("", err=True)


def _fail(ctx: click.Context, message: str, exit_code: int, excerpt: str = "") -> None:
    terminal.echo(f"Error: {_pasted(ctx, message)}", err=True)
    if excerpt:
        terminal.echo_lines(f"\n{excerpt}", err=True)
    ctx.exit(exit_code)
