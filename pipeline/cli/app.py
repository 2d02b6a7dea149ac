"""The command line: what all commands share, and the list of commands.

Each command has its own file in this folder, imported when the command is called. That way ``--help`` answers at once, and
one process loads at most one framework.
"""

from __future__ import annotations

import functools
import importlib
import math
import os
import re
import reprlib
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from pipeline.cli.errors import ToldErrors
from pipeline.embed import allowed
from pipeline.runtime import quiet, terminal
from pipeline.steps.config import DEFAULT_FILE
from store import importing, lifeline, memory
from store.errors import ColdframeError

if TYPE_CHECKING:
    from pipeline.steps.config import Config
    from store.store import Store

DEFAULT_STORE = "coldframe-store"
WIDTH = 100  # columns of a help text, at most
COMMON_NAMES = ("store", "config", "quiet", "verbose", "help")
SOME_FAILED = 3
NOT_STOPPED = "did not stop by itself in time, and was ended; what was committed before is safe"
LINE = "COLDFRAME_LINE"  # names the child's end of a pipe, through which the child learns that its parent is gone
ONCE_IN = 5.0  # seconds in which a process that was asked to stop is not asked again
STOPS_BY_ITSELF = 2.0  # seconds to wait before asking a child to stop that was not interrupted with us

# The commands by stage, in order: the file that has each, and a line about it.
STAGES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Begin": {
        "demo": ("run", "Draw a sample catalogue and run every step on it, offline."),
        "run": ("run", "Run every step of a coldframe.toml that is out of date."),
    },
    "Look at every picture once": {
        "ingest": ("ingest", "Read a catalogue, and look at every image once."),
        "inspect": ("ingest", "Show classes, sizes, modes, copies and failures."),
        "embed": ("embed", "Make a vector of every image that has none yet."),
    },
    "Curate": {
        "score": ("curate", "Give each image a score that needs no curation."),
        "copies": ("copies", "Find pictures that show the same as another."),
        "filter": ("curate", "Add a rule to a plan, and replay the plan."),
        "split": ("curate", "Carve a split out of the training rows."),
        "curate": ("curate", "Replay a whole plan from the top."),
        "keep": ("curate", "Keep images, whatever the rules say."),
        "drop": ("curate", "Drop images, whatever the rules say."),
        "relabel": ("curate", "Correct the label of an image."),
        "unset": ("curate", "Withdraw verdicts on images."),
        "why": ("curate", "Explain why an image is in or out of a plan."),
    },
    "Train": {
        "train": ("train", "Train a head on vectors, or a network on pixels."),
        "tune": ("train", "Search the mlp head's settings by Hyperband."),
        "evaluate": ("evaluate", "Evaluate a run on a split."),
        "runs": ("evaluate", "List runs with their figures, or compare two."),
        "finetune": ("finetune", "Fine-tune the last backbone layers with a head."),
    },
    "Use": {
        "export": ("export", "Write a run as one artefact that needs no store."),
        "predict": ("predict", "Predict the classes of pictures."),
    },
    "See it": {
        "look": ("look", "Look at pictures in a browser, and judge them."),
        "report": ("look", "Write one HTML file that shows the store."),
    },
    "Ask and look after": {
        "sql": ("sql", "Ask the store a question in DuckDB's SQL."),
        "status": ("upkeep", "Show counts, coverage and what is out of date."),
        "verify": ("upkeep", "Check every claim the store makes about itself."),
        "repair": ("upkeep", "Set damaged files aside; print how to make them again."),
        "gc": ("upkeep", "Remove what the store no longer needs."),
    },
}
FILES = {name: file for commands in STAGES.values() for name, (file, _) in commands.items()}
LINES = {name: line for commands in STAGES.values() for name, (_, line) in commands.items()}
_HINT = re.compile(rf"\bcoldframe (?:{'|'.join(FILES)})(?! --init)(?=[\s'\"`.,;:)]|$)")


@dataclass
class Common:
    """The options every command has, before or after its name."""

    store: Path | None = None
    config_file: Path | None = None
    quiet: bool = False
    verbose: bool = False

    @functools.cached_property
    def config(self) -> Config:
        """The ``coldframe.toml`` in force."""
        from pipeline.steps import config

        return config.load(self.config_file)

    @property
    def root(self) -> Path:
        """The store's folder: flag, environment, file, default."""
        given = self.config.tables.get("store")
        if self.store is None and given is not None and not isinstance(given, str):
            raise ColdframeError(f"{self.config.path}: store = {reprlib.repr(given)}, expected the path of a folder")
        if self.store is not None or given:
            return self.store or Path(self.config.locate(given or ""))
        if Path(DEFAULT_STORE).is_symlink():  # it may have come with the other files in the working folder
            raise ColdframeError(f"{DEFAULT_STORE}: a link; name the store that it leads to with --store")
        return Path(DEFAULT_STORE)

    def weights_named(self) -> set[str]:
        """The weights that the recipe names under [embed]. They may be fetched, whoever else names them."""
        sections = (self.config.section("embed", name) for name in self.config.section("embed"))
        return {str(section["weights"]) for section in sections if "weights" in section}

    def open(self) -> Store:
        """The store, which must exist."""
        from store.store import Store

        return Store.open(self.root)

    def create(self) -> Store:
        """The store, made if there is none."""
        from store.store import Store

        return Store.create(self.root)

    def say(self, message: str) -> None:
        """A line on stderr, unless quiet."""
        if not self.quiet:
            terminal.echo(self.pasted(message), err=True)

    def pasted(self, message: str) -> str:
        """A message whose commands of ours work when they are pasted: with the store and the settings file that were named."""
        given = shlex.join(self.given())
        return _HINT.sub(lambda found: f"{found[0]} {given}", message) if given else message

    def given(self) -> list[str]:
        """The store and the settings file, if they were named, as arguments of a command that the user may paste."""
        flags = ["--store", str(self.store)] if self.store is not None else []
        return flags + (["--config", str(self.config_file)] if self.config_file is not None else [])

    def flags(self) -> list[str]:
        """These options as arguments for another ``coldframe`` process."""
        flags = ["--store", str(self.root)]
        if self.config.path:
            flags += ["--config", str(self.config.path)]
        return flags + ["--quiet"] * self.quiet + ["--verbose"] * self.verbose


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        common = ctx.ensure_object(Common)
        # an environment variable is read again after the command's name: it must not undo a flag before the name
        given = ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if value and (given or not getattr(common, name)):
            setattr(common, name, value)

    return callback


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--store``, ``--config``, ``--quiet``, ``--verbose``."""
    path = click.Path(path_type=Path)
    for option in (
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            expose_value=False,
            callback=_set("verbose"),
            help="Show where in the code an error came from.",
        ),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=_set("quiet"),
            help="Print only errors and results.",
        ),
        click.option(
            "-c",
            "--config",
            type=path,
            expose_value=False,
            callback=_set("config_file"),
            envvar="COLDFRAME_CONFIG",
            help=f"Settings file.  [default: ./{DEFAULT_FILE} if it exists]",
        ),
        click.option(
            "-s",
            "--store",
            type=path,
            expose_value=False,
            callback=_set("store"),
            envvar="COLDFRAME_STORE",
            help=f"Folder of the store.  [default: ./{DEFAULT_STORE}]",
        ),
    ):
        function = option(function)
    return function


class Command(click.Command):
    """A command whose help lists its own options before the common ones."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Both lists."""
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx) if isinstance(one, click.Option) else None
            if record is not None:
                (common if one.name in COMMON_NAMES else own).append(record)
        for title, records in (("Options", own), ("Options of every command", common)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Commands(ToldErrors):
    """The commands, each imported when it is called, and listed by stage."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in order."""
        return list(FILES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        if cmd_name in FILES and cmd_name not in self.commands:
            importlib.import_module(f"pipeline.cli.{FILES[cmd_name]}")
        return self.commands.get(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; the weights that the recipe names may be fetched meanwhile."""
        with allowed.recipe(lambda: ctx.ensure_object(Common).weights_named()):
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without importing any command."""
        for stage, commands in STAGES.items():
            with formatter.section(stage):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH})
@click.version_option(package_name="coldframe")
@common_options
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Freeze the backbone once, keep the features, ask anything in SQL, train a head in seconds."""
    ctx.ensure_object(Common)


def command(name: str, kind: type[click.Command] = Command) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with the common options, called with :class:`Common` first."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        return cli.command(name, cls=kind, short_help=LINES[name])(common_options(click.pass_obj(function)))

    return decorate


def coldframe(common: Common, arguments: list[str], *, results: bool = True) -> int:
    """Run another ``coldframe`` with the same common options and return its exit code, 1 if it was killed.

    It stops when this process does.

    Without ``results``, its stdout is dropped.
    """
    if any("\0" in one for one in arguments):
        raise ColdframeError(f"{common.root}: a name with a NUL character, which coldframe does not write")
    line, held = lifeline.ends()
    try:
        process = subprocess.Popen(
            [*importing.command("pipeline"), *common.flags(), *arguments],
            stdout=None if results else subprocess.DEVNULL,
            env=os.environ | {LINE: str(line)},
            pass_fds=[line],
        )
    except BaseException:
        os.close(held)
        raise
    finally:
        os.close(line)
    try:
        code = process.wait()
    finally:
        if process.poll() is None:  # we are interrupted, and the child may not be
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOPS_BY_ITSELF)
        os.close(held)
        process.wait()
    return code if code >= 0 else 1


_asked_at = -math.inf  # when this process was asked to stop, by the clock of time.monotonic


def main() -> None:
    """The ``coldframe`` command."""
    line = os.environ.pop(LINE, None)
    if line is not None and line.isdigit():
        lifeline.stop_with_parent(int(line))
    quiet.own_process()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is to be ignored
        signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # otherwise 'nohup' wants it to go on
        signal.signal(signal.SIGHUP, _interrupt)
    lifeline.end_when_asked(lambda: terminal.echo(f"Error: {NOT_STOPPED}", err=True))
    memory.leave_some_to_others()
    terminal.guard()
    cli()


def _interrupt(number: int, frame: object) -> None:
    global _asked_at
    before, _asked_at = _asked_at, time.monotonic()
    if _asked_at - before > ONCE_IN:  # it is ending, unless Python has dropped the exception, as it does in some places
        raise KeyboardInterrupt  # a job that a scheduler ends should end as with Ctrl-C
