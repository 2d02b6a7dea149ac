"""The reference of all commands, made from their help: ``make docs`` writes it to ``docs/commands.md``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pipeline.cli.app import STAGES, WIDTH, cli
from pipeline.runtime import terminal

COMMON = "Options of every command:"
BY_NAME = ("score", "filter")  # their options are those of the scorer or rule that is named


def text() -> str:
    """The whole page, as Markdown."""
    return "\n".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield "# Commands\n"
    yield "`make docs` makes this page of what `coldframe COMMAND --help` says.\n"
    yield "Options that every command has, before or after its name:\n"
    yield _block(_help(["status"]).split(COMMON)[1])
    for stage, names in STAGES.items():
        yield f"## {stage}\n"
        for name in names:
            yield f"### {name}\n"
            yield _block(_own([name]))
            if name in BY_NAME:
                for one in _names(name):
                    yield _block(_own([name, one]))


def _own(words: Sequence[str]) -> str:
    """The help of a command, without the common options."""
    return _help(words).split(COMMON)[0]


def _names(command: str) -> list[str]:
    """The scorers or rules that a command takes, as its help lists them."""
    listed = _help([command]).split("Names:\n")[1].split("\n\n")[0]
    return re.findall(r"^  (\S+)", listed, re.MULTILINE)


def _help(words: Sequence[str]) -> str:
    with cli.make_context("coldframe", [], resilient_parsing=True) as group:
        command = cli.get_command(group, words[0])
        assert command is not None
        with command.make_context(words[0], list(words[1:]), parent=group, resilient_parsing=True) as context:
            context.terminal_width = WIDTH
            return command.get_help(context)


def _block(help_text: str) -> str:
    lines = [line.rstrip() for line in help_text.strip("\n").splitlines()]
    return "\n".join(["```text", *lines, "```", ""])


if __name__ == "__main__":
    terminal.echo_lines(text().rstrip("\n"))
