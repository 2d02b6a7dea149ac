"""The command line: a command is a paragraph, the work is in the module of its step.

Nothing heavy is imported at the top: ``--help`` has to answer at once, and one process loads one framework at most.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from pipeline.embed import allowed
from pipeline.runs.runs import Run
from pipeline.runtime import quiet, terminal
from pipeline.steps.config import LARGEST_COUNT, parse_bytes
from store.errors import CheckFailed, ColdframeError, QueryRefused, StoreDamaged

if TYPE_CHECKING:
    from pipeline.curate.plans import Plan
    from pipeline.curate.replay import Replay
    from pipeline.runs.keeping import Outcome
    from pipeline.steps.config import Config
    from store.garbage import Waste
    from store.store import Snapshot, Store

FORMATS = ("table", "csv", "json", "ndjson", "parquet")
DEFAULT_STORE = "coldframe-store"
SOME_FAILED = 3
LEAST_MEMORY = 64_000_000  # bytes that a query needs
INTERRUPTED = 130

# What to do about a file or folder that the system refuses.
NO_ROOM = ": make room ('coldframe gc' removes what the store no longer needs), then run the command again"
NO_RIGHT = ": see to it that you may read and write there, or name another place, then run the command again"
WAYS_OUT = {
    errno.ENOSPC: NO_ROOM,
    errno.EDQUOT: NO_ROOM,
    errno.EACCES: NO_RIGHT,
    errno.EPERM: NO_RIGHT,
    errno.EROFS: NO_RIGHT,
}


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
            raise ColdframeError(f"{self.config.path}: store = {given!r}, expected the path of a folder")
        return self.store or Path(self.config.locate(given) if given else DEFAULT_STORE)

    def weights_named(self) -> set[str]:
        """The weights that the recipe names under [embed], which may be fetched whoever else names them."""
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
            terminal.echo(message, err=True)

    def flags(self) -> list[str]:
        """These options as arguments for another ``coldframe`` process."""
        flags = ["--store", str(self.root)]
        if self.config.path:
            flags += ["--config", str(self.config.path)]
        return flags + ["--quiet"] * self.quiet + ["--verbose"] * self.verbose


class _Commands(click.Group):
    """Turns the errors a user may meet into a sentence and an exit code."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.ClickException as error:
            _tell_escaped(error)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        terminal.guard_logs()
        try:
            with allowed.recipe(lambda: ctx.ensure_object(Common).weights_named()):
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
            _fail(ctx, "interrupted; what was committed before is safe", INTERRUPTED)
        except (click.exceptions.Exit, click.Abort):  # which are errors to click alone
            raise
        except Exception as error:
            _unexpected(ctx, error)


def _unexpected(ctx: click.Context, error: Exception) -> None:
    """Tell an error that nobody thought of in a sentence too: a store of somebody else may hold anything."""
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
    """Let an error tell what options, files and variables hold escaped."""
    tell = error.format_message
    # these have lines and no values: a help text, the choices there are
    keep = "\n\t" if isinstance(error, click.exceptions.NoArgsIsHelpError | click.MissingParameter) else ""
    vars(error)["format_message"] = lambda: terminal.escaped(tell(), keep=keep)


def _excerpt(message: str) -> tuple[str, str]:
    """DuckDB's error in one line, and where in the query it is: two lines at its end, if it tells."""
    found = re.search(r"\n\n(LINE \d+: [^\n]*\n *\^+)\s*$", message)
    head = message[: found.start()] if found else message
    return re.sub(r"\n[\n\t ]*", " ", head.strip("\n")), found[1] if found else ""


def _trace(ctx: click.Context, error: Exception) -> None:
    if ctx.ensure_object(Common).verbose:
        terminal.echo_lines(terminal.traced(error), err=True)
        terminal.echo("", err=True)


def _fail(ctx: click.Context, message: str, exit_code: int, excerpt: str = "") -> None:
    terminal.echo(f"Error: {message}", err=True)
    if excerpt:
        terminal.echo_lines(f"\n{excerpt}", err=True)
    ctx.exit(exit_code)


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        common = ctx.ensure_object(Common)
        # an environment variable, seen again behind the command's name, must not undo a flag before it
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
            help="Say nothing but errors and results.",
        ),
        click.option(
            "-c",
            "--config",
            type=path,
            expose_value=False,
            callback=_set("config_file"),
            envvar="COLDFRAME_CONFIG",
            help="Settings file.  [default: ./coldframe.toml if it exists]",
        ),
        click.option(
            "-s",
            "--store",
            type=path,
            expose_value=False,
            callback=_set("store"),
            envvar="COLDFRAME_STORE",
            help="Folder of the store.  [default: ./coldframe-store]",
        ),
    ):
        function = option(function)
    return function


def format_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--format`` for commands whose result is a table."""
    return click.option(
        "--format",
        "fmt",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        callback=_before_work,
        help="How to print the result.",
    )(function)


def _before_work(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    if value == "parquet":
        terminal.refuse_binary(value)
    return value


plan_option = click.option("--plan", default="default", show_default=True, help="The plan to work on.")
memory_share_option = click.option(
    "--memory-share",
    type=click.FloatRange(0, 1),
    help="A larger matrix than this of the memory lies on disk.  [default: 0.25]",
)
what_if_option = click.option("--what-if", is_flag=True, help="Show what would change, class by class; write nothing.")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="coldframe")
@common_options
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Freeze the backbone once, keep the features, ask anything in SQL, train a head in seconds."""
    ctx.ensure_object(Common)


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of ``cli`` with the common options, called with :class:`Common` first."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        return cli.command(name)(common_options(click.pass_obj(function)))

    return decorate


@command("ingest")
@click.argument("metadata", required=False, type=click.Path())
@click.option("--images", type=click.Path(), help="Folder the catalogue's paths count from.")
@click.option("--id", "id", help="Column with a unique id.  [default: the path]")
@click.option("--path", help="Column with the path of each image.  [default: path, file_path, filename, …]")
@click.option("--label", help="Column with the class of each image.  [default: label, class or family]")
@click.option("--prune", is_flag=True, default=None, help="Remove rows the catalogue no longer has.")
@click.option(
    "--rehash", is_flag=True, default=None, help="Read every file again, even where size and mtime are the same."
)
@click.option("--max-pixels", type=int, help="Largest picture to decode.  [default: 89478485]")
@click.option("--max-seconds", type=float, help="Longest that one file may take to decode.  [default: 60]")
@click.option("--workers", type=int, help="Processes that decode.  [default: the number of cores]")
@click.option("--commit-seconds", type=click.FloatRange(0), help="Seconds of work a kill may cost.  [default: 5]")
def ingest(common: Common, **flags: Any) -> None:
    """Read a catalogue (CSV, TSV, Parquet, or a folder of class folders) and look at every image once."""
    from pipeline import recipe
    from pipeline.ingest import ingest as step

    settings = recipe.ingest_settings(common.config, flags)
    reading = step.read(settings)  # before there is a store: a wrong name should not leave one behind
    outcome = step.ingest(common.create(), settings, reading, quiet=common.quiet)
    for note in outcome.notes:
        common.say(note)
    gone = f"{outcome.gone} gone from the catalogue ({'removed' if outcome.pruned else 'kept; --prune removes them'})"
    common.say(
        f"{outcome.ready + outcome.failed} rows: {outcome.ready} ready, {outcome.failed} failed; {outcome.added} added, "
        f"{outcome.updated} updated, {outcome.unchanged} unchanged, {gone}; {outcome.files_examined} files read"
    )
    if outcome.failed:
        common.say("see: coldframe sql 'select path, reason from failures'")
        sys.exit(SOME_FAILED)


@command("inspect")
@click.argument("section", required=False)
@click.option(
    "--views",
    "sheet",
    metavar="[FILE]",
    is_flag=False,
    flag_value="views.png",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Instead, draw some images and their augmented views into FILE (.png or .jpg).  [default: views.png]",
)
@click.option(
    "--embedder",
    metavar="SET",
    help="With --views: the feature set whose settings to use.  [default: the one with views]",
)
@format_option
def inspect(common: Common, section: str | None, sheet: Path | None, embedder: str | None, fmt: str) -> None:
    """Show classes, imbalance, sizes, modes, copies and failures; SECTION for one of them in any format."""
    from pipeline.ingest import inspection
    from pipeline.runtime import output

    if sheet is not None:
        if section is not None:
            raise click.UsageError(f"--views draws a sheet and shows no section: leave out {section!r}")
        return _draw_views(common, sheet, embedder)
    if embedder is not None:
        raise click.UsageError("--embedder goes with --views")
    tables = inspection.inspect(common.open().snapshot())
    if section is not None and section not in tables:
        raise click.UsageError(f"no section {section!r}; sections: {', '.join(tables)}")
    if section is not None:
        return output.write(tables[section], fmt)
    if fmt == "json":
        return output.write_json({name: table.to_pylist() for name, table in tables.items()}, indent=1)
    if fmt != "table":
        raise click.UsageError(f"--format {fmt} needs one section: {', '.join(tables)}")
    for name, table in tables.items():
        terminal.echo_lines(f"{name}\n{output.as_text(table, rows=12)}\n")
    return None


def _draw_views(common: Common, file: Path, embedder: str | None) -> None:
    from pipeline.embed import contact_sheet

    sheet = contact_sheet.contact_sheet(common.open().snapshot(), embedder)
    contact_sheet.save(sheet, file)
    common.say(f"{file}: views {contact_sheet.describe(sheet)}")


@command("embed")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--as", "as_name", metavar="SET", help="Name of the feature set.  [default: the embedder's]")
@click.option("--weights", metavar="PATH|HUB-ID", help="Hub name, local folder, local .h5/.keras file, or 'random'.")
@click.option("--size", metavar="HxW", help="Height and width in pixels.  [default: the network's own]")
@click.option("--batch", type=click.IntRange(1), help="Pictures per call of the network.  [default: 32]")
@click.option("--limit", type=click.IntRange(0), help="Embed at most so many now.")
@click.option(
    "--store-as", type=click.Choice(["float32", "float16"]), help="Type of the stored vectors.  [default: float32]"
)
@click.option("--seed", type=int, help="Seed of random weights.  [default: 0]")
@click.option(
    "--backend",
    type=click.Choice(["auto", "reference", "tensorflow", "torch", "openvino"]),
    help="What computes the network; auto: what the set was made with, else OpenVINO on a processor, else the framework the "
    "network comes from, which is the reference.  [default: auto]",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), help="Where it computes.  [default: auto]")
@click.option("--retry", is_flag=True, default=None, help="Try again what failed before, without a new ingest.")
@click.option(
    "--max-failure-rate", type=click.FloatRange(0, 1), help="Stop when a larger share has failed, of 50 or more."
)
@click.option("--max-pixels", type=int, help="Largest picture to decode.  [default: as ingest]")
@click.option("--commit-seconds", type=click.FloatRange(0), help="Seconds of work a kill may cost.  [default: 5]")
@click.option("--dry-run", is_flag=True, default=None, help="Say what there is to do and how long it would take.")
@click.option(
    "--views",
    type=click.IntRange(0),
    metavar="K",
    help="Also embed K augmented views of each training row.  [default: 0]",
)
@click.option("--view-rows", type=click.Choice(["train", "all"]), help="Which rows get views.  [default: train]")
@click.option("--plan", help="With --views: the plan whose training rows get them.  [default: default]")
@click.option("--flip", type=float, metavar="P", help="Views: probability of a mirror image.  [default: 0.5]")
@click.option("--rotation", type=float, metavar="DEGREES", help="Views: largest angle either way.  [default: 15]")
@click.option("--zoom", type=float, metavar="SHARE", help="Views: most that they grow or shrink.  [default: 0.1]")
@click.option("--brightness", type=float, metavar="SHARE", help="Views: largest shift of all channels.  [default: 0]")
@click.option("--contrast", type=float, metavar="SHARE", help="Views: largest change of contrast.  [default: 0]")
@click.option(
    "--channel-shift", type=float, metavar="SHARE", help="Views: largest shift of each channel.  [default: 0]"
)
@click.option(
    "--fill",
    type=click.Choice(["reflect", "nearest", "wrap", "constant"]),
    help="Views: what lies beyond the edges.  [default: reflect]",
)
@click.option("--view-seed", type=int, help="Views: another seed, other views.  [default: 0]")
def embed(common: Common, names: tuple[str, ...], as_name: str | None, dry_run: bool | None, **flags: Any) -> None:
    """Embed every image that has no vector yet with each NAME (efficientnet-b4, clip, mean-colour, …)."""
    from pipeline.embed import embed as step

    if len(names) > 1:
        if as_name:
            raise click.UsageError("--as names one set: embed one NAME at a time with it")
        given = [
            part
            for key, value in (flags | {"dry_run": dry_run}).items()
            if value is not None
            for part in (f"--{key.replace('_', '-')}", *([] if value is True else [str(value)]))
        ]
        # one process each: two frameworks in one are trouble
        codes = [_coldframe(common, ["embed", name, *given]) for name in names]
        sys.exit(next((code for code in codes if code not in (0, SOME_FAILED)), max(codes)))
    store = common.open()
    name = as_name or names[0]
    flags["embedder"] = names[0] if as_name else None
    settings = common.config.settings(step.Settings, "embed", name, flags=flags)
    if dry_run:
        ahead = step.forecast(store, name, settings)
        views = f" with {ahead.views} views" if settings.views else ""
        terminal.echo(
            f"{ahead.embedder}: {ahead.cached} cached, {ahead.todo} to do{views}, {ahead.failed_before} failed before; "
            f"{ahead.backend}, {ahead.precision}: about {_duration(ahead.seconds)} after {ahead.startup_seconds:.1f} s of "
            f"start-up (measured on {ahead.sampled})"
        )
        return
    outcome = step.embed(store, name, settings, quiet=common.quiet)
    made = outcome.embedded + outcome.views_embedded
    rate = made / outcome.seconds if outcome.seconds > 0 else 0.0
    common.say(
        f"{outcome.embedder}: {outcome.cached} cached, {outcome.embedded} embedded, {outcome.failed} failed, "
        f"{outcome.left} left; {rate:.1f} images/s after {outcome.startup_seconds:.1f} s of start-up "
        f"({outcome.backend}, {outcome.precision})"
    )
    if settings.views:
        common.say(
            f"{outcome.embedder}, views 1 to {settings.views}: {outcome.views_cached} cached, {outcome.views_embedded} embedded"
        )
    if outcome.note:
        common.say(outcome.note)
    if outcome.failed_before:
        common.say(f"{outcome.failed_before} failed before and were not tried: --retry takes them again")
    if outcome.failed or outcome.failed_before:
        common.say(f"see: coldframe sql \"select path, reason from failures where name = '{name}'\"")
        sys.exit(SOME_FAILED)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


@command("score")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--embedder", metavar="SET", help="Feature set to score.  [default: the scorer's]")
@click.option(
    "--aggregate", type=click.Choice(["best", "mean"]), help="clip-quality: over each prompt list.  [default: best]"
)
@click.option("--good", multiple=True, help="clip-quality: a good prompt, in place of the configured ones; repeatable.")
@click.option("--bad", multiple=True, help="clip-quality: a bad prompt, in place of the configured ones; repeatable.")
@click.option("--k", type=click.IntRange(1), help="knn: how many neighbours.  [default: 10]")
def score(common: Common, names: tuple[str, ...], **flags: Any) -> None:
    """Give each image a score that needs no curation: clip-quality, knn."""
    from pipeline.curate import score as step
    from pipeline.curate import scorers

    store = common.open()
    for name in names:
        kind = scorers.module(name).Settings
        unknown = [
            key for key, value in flags.items() if value not in (None, ()) and key not in kind.__dataclass_fields__
        ]
        if unknown:
            raise click.UsageError(f"{name} has no --{unknown[0]}")
        own = {key: value for key, value in flags.items() if key in kind.__dataclass_fields__}
        outcome = step.score(store, name, common.config.settings(kind, "score", name, flags=own))
        missing = f", {outcome.without_vector} have no vector in {outcome.embedder}" if outcome.without_vector else ""
        common.say(f"{name}: {outcome.scored} images scored{missing}")


@command("filter")
@click.argument("rule")
@click.option("--percentile", type=float, multiple=True, help="centroid, knn: one pass per percentile; repeatable.")
@click.option("--threshold", type=float, help="clip-quality: below it an image is out.")
@click.option(
    "--apply-to", type=click.Choice(["train", "all"]), help="centroid: which rows it may take out.  [default: train]"
)
@click.option("--embedder", metavar="SET", help="centroid: the feature set.")
@click.option("--leave-one-out", is_flag=True, default=None, help="centroid: distances to the centroid of the others.")
@click.option(
    "--set", "others", metavar="NAME=VALUE", multiple=True, help="A setting of a rule of your own; repeatable."
)
@plan_option
@what_if_option
def filter_(common: Common, rule: str, others: tuple[str, ...], plan: str, what_if: bool, **flags: Any) -> None:
    """Add a rule to a plan, or replace it, and replay the plan."""
    from pipeline.curate import plans

    settings = {name: value for name, value in flags.items() if value not in (None, ())}
    settings |= {name: _from_json(value) for name, value in _pairs("--set", others).items()}
    if "percentile" in settings:
        settings["percentile"] = list(settings["percentile"])
    stage = plans.rule_stage(rule, settings)
    _change_plan(common, plan, lambda present: present.with_stage(stage), what_if=what_if)


@command("split")
@click.argument("name")
@click.argument("share", type=float)
@click.option("--by", metavar="COL", help="Keep rows with the same value together.")
@click.option("--seed", type=int, help="Seed of the plan; another one draws every split anew.  [default: 0]")
@click.option("--reassign", is_flag=True, help="Forget where units were before and draw anew.")
@plan_option
@what_if_option
def split(
    common: Common, name: str, share: float, by: str | None, seed: int | None, reassign: bool, plan: str, what_if: bool
) -> None:
    """Carve NAME out of what is still train, stratified by class; equal files stay together."""
    from pipeline.curate import plans

    stage = plans.split_stage(name, {"share": share, "by": by})

    def change(present: Plan) -> Plan:
        changed = present.with_stage(stage)
        return changed if seed is None else plans.with_seed(changed, seed)

    _change_plan(common, plan, change, what_if=what_if, reassign=reassign)


@command("curate")
@click.option("--reassign", is_flag=True, help="Forget where units were before and draw every split anew.")
@plan_option
@what_if_option
def curate(common: Common, plan: str, reassign: bool, what_if: bool) -> None:
    """Replay a whole plan from the top over images, scores and verdicts."""

    def change(present: Plan) -> Plan:
        if not present.stages:
            raise ColdframeError(
                f"plan {plan!r} has no stages: add them with 'coldframe filter' and 'coldframe split', or under "
                f"[plans.{plan}] in coldframe.toml"
            )
        return present

    _change_plan(common, plan, change, what_if=what_if, reassign=reassign)


def _change_plan(
    common: Common, name: str, change: Callable[[Plan], Plan], *, what_if: bool, reassign: bool = False
) -> None:
    """Change a plan and replay it; the file that defines it, if any, is kept in step."""
    from pipeline.curate import plans, replay
    from pipeline.runtime import output

    store = common.open()

    def make_plan(moment: Snapshot) -> Plan:
        return change(plans.current(common.config, moment, name) or plans.Plan(name))

    if what_if:
        snapshot = store.snapshot()
        result, changes = replay.what_if(snapshot, make_plan(snapshot), reassign=reassign)
        output.write(changes, "table", rows=len(changes))
        _tell_replay(common, result)
        common.say("nothing was written")
        return

    def save(plan: Plan) -> None:
        if plans.write_to_config(common.config, plan):
            common.say(f"{common.config.path}: plan {name!r} brought up to date")

    _tell_replay(common, replay.curate(store, make_plan, reassign=reassign, before_commit=save))


def _tell_replay(common: Common, result: Replay) -> None:
    for stage, (rows_in, rows_out) in zip(result.plan.stages, result.stage_rows, strict=True):
        common.say(f"{stage}: {rows_in} rows in, {rows_in - rows_out} out")
    for note in result.notes:
        common.say(f"note: {note}")
    counts: dict[str, int] = {}
    for name in result.curation["split"].to_pylist():
        if name is not None:
            counts[name] = counts.get(name, 0) + 1
    kept = ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))
    common.say(f"plan {result.plan.name}: {len(result.curation)} ready, {sum(counts.values())} kept ({kept})")


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE`` options."""
    pairs = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{option} {one}: expected NAME=VALUE")
        pairs[name] = value
    return pairs


def _from_json(text: str) -> Any:
    """A number, list or truth value where the text is one, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _verdict_command(verdict: str, text: str, *, needs_why: bool) -> None:
    @command(verdict)
    @click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
    @click.option("--why", required=needs_why, help="The reason, for those who come after.")
    def judge(common: Common, images: tuple[str, ...], why: str | None) -> None:
        from pipeline.curate import verdicts

        why = (why or "").strip()
        if needs_why and not why:
            raise click.UsageError("--why is empty: say why, for those who come after")

        outcome = verdicts.judge(common.open(), common.config, list(images), verdict, why)
        plans = f"replayed: {', '.join(outcome.replayed)}" if outcome.replayed else "no plan to replay yet"
        common.say(f"{verdict}: {len(outcome.images)} images; {plans}")

    judge.help = text


_verdict_command("keep", "Keep images by id or path, whatever the rules say.", needs_why=True)
_verdict_command("drop", "Drop images by id or path, whatever the rules say.", needs_why=True)
_verdict_command("unset", "Take a verdict on images back: the rules decide again.", needs_why=False)


@command("why")
@click.argument("image")
@click.option(
    "--format", "fmt", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)
def why(common: Common, image: str, fmt: str) -> None:
    """Tell everything the store knows about one image, and why it is in or out."""
    from pipeline.curate import why as step
    from pipeline.runtime import output

    story = step.why(common.open().snapshot(), image)
    if fmt == "json":
        return output.write_json(story, indent=1)
    for line in step.tell(story):
        terminal.echo(line)
    return None


@command("train")
@click.option("--head", help="mlp, linear, logistic, knn, centroid or zero-shot.  [default: mlp]")
@click.option("--from-scratch", metavar="NETWORK", help="No head: a network on pixels, cnn.")
@click.option("--size", metavar="HxW", help="With --from-scratch: height and width in pixels.  [default: 128x128]")
@click.option("--from", "from_run", metavar="RUN", help="Start from the settings of a run; other options change them.")
@click.option("--as", "as_name", metavar="NAME", help="Name of the run.  [default: the head's]")
@click.option(
    "--embedder",
    metavar="SET",
    multiple=True,
    help="Feature set; repeat it to join several.  [default: efficientnet-b4, or the only one]",
)
@click.option("--plan", help="Plan whose splits to use.  [default: default]")
@click.option("--input", help="raw, l2 (length 1) or standard (mean 0, deviation 1).  [default: the head's]")
@click.option(
    "--units", type=click.IntRange(1), multiple=True, help="Width of a dense layer; once a layer.  [default: 600]"
)
@click.option(
    "--dropout", type=click.FloatRange(0, 1, max_open=True), help="Share dropped in training.  [default: 0.4]"
)
@click.option("--optimizer", help="adagrad, adam, adamw or sgd.  [default: adagrad; linear, cnn: adam]")
@click.option("--learning-rate", type=float, help="[default: 0.01; linear: 0.003; cnn: 0.001]")
@click.option("--batch", type=click.IntRange(1), help="[default: 32]")
@click.option("--epochs", type=click.IntRange(1), help="[default: 20; linear: 100]")
@click.option(
    "--early-stopping",
    type=click.IntRange(0),
    help="Epochs without improvement; 0 for never.  [default: 3; linear: 10]",
)
@click.option(
    "--reduce-lr-patience",
    type=click.IntRange(0),
    help="Epochs without improvement until the rate falls; 0 for never.  [default: 2; linear: 5]",
)
@click.option("--reduce-lr-factor", type=float, help="What the rate is multiplied by then.  [default: 0.1]")
@click.option("--label-smoothing", type=float, help="Share of a label given to all classes alike.  [default: 0]")
@click.option("--class-weights/--no-class-weights", default=None, help="Weigh classes to balance.  [default: yes]")
@click.option("--strength", type=float, help="logistic: inverse of the penalty (scikit-learn's C).  [default: 1]")
@click.option("--k", type=click.IntRange(1), help="knn: neighbours that vote.  [default: 10]")
@click.option(
    "--template", metavar="TEXT", multiple=True, help="zero-shot: a sentence with {} for the class; repeatable."
)
@click.option("--views", type=click.IntRange(0), help="Augmented views of each row to draw from.  [default: 0]")
@click.option(
    "--folds",
    type=click.IntRange(0),
    help="Also predict each training row by a head that has not seen it.  [default: 0]",
)
@click.option("--seed", type=int, help="[default: 0]")
@click.option("--seeds", type=click.IntRange(1), metavar="N", help="N runs, with seeds from --seed on.")
@memory_share_option
def train(common: Common, from_run: str | None, as_name: str | None, seeds: int | None, **flags: Any) -> None:
    """Train a head on cached features; its run id goes to stdout."""
    from dataclasses import replace

    from pipeline.runs import runs
    from pipeline.train import fitting
    from pipeline.train import train as step

    store = common.open()
    run = Run.find(store.snapshot(), from_run) if from_run is not None else None
    if run is not None and run.kind == runs.FINETUNED:
        raise click.UsageError(f"--from {from_run}: fine-tuned; name the head it began with, {run.finetuned_from}")
    section = common.config.section("train", as_name or "") if as_name and run is None else {}
    if run is not None and run.kind != runs.NETWORK and flags["from_scratch"]:
        raise click.UsageError(f"--from {from_run}: a head, whose settings are of no use to --from-scratch")
    if flags["from_scratch"] or "from_scratch" in section or (run is not None and run.kind == runs.NETWORK):
        return _train_network(common, store, run, as_name, seeds, flags)
    if flags.pop("size") is not None:
        raise click.UsageError("--size goes with --from-scratch: a head sees vectors")
    del flags["from_scratch"]
    given = {key: value for key, value in flags.items() if value not in (None, ())}
    if run is None:
        name = as_name or flags["head"] or os.environ.get("COLDFRAME_TRAIN_HEAD") or "mlp"
        section = common.config.section("train", name)
        if as_name is None:
            flags["head"] = flags["head"] or section.get("head")
        settings = common.config.settings(fitting.Settings, "train", name, flags=flags)
    else:
        settings = fitting.changed(run, given)
        name = as_name or (run.name if settings.head == fitting.settings_of(run).head else str(settings.head))
    fitting.check_heeded(name, settings, list(given | section))
    for seed in range(settings.seed, settings.seed + (seeds or 1)):
        _tell_training(common, step.train(store, name, replace(settings, seed=seed)))
    return None


def _train_network(
    common: Common,
    store: Store,
    run: Run | None,
    as_name: str | None,
    seeds: int | None,
    flags: dict[str, Any],
) -> None:
    """``train --from-scratch``: the options that a network heeds; the others are refused."""
    from dataclasses import replace

    from pipeline.embed.embed import parse_size
    from pipeline.train import from_pixels

    flags["size"] = parse_size(flags["size"])
    given = {key: value for key, value in flags.items() if value not in (None, ())}
    unknown = [key for key in given if key not in from_pixels.Settings.__dataclass_fields__]
    if unknown:
        raise click.UsageError(f"--from-scratch trains no head: leave out --{unknown[0].replace('_', '-')}")
    if run is not None:
        name, settings = as_name or run.name, replace(from_pixels.settings_of(run), **given)
    else:
        name = as_name or given["from_scratch"]
        settings = common.config.settings(from_pixels.Settings, "train", name, flags=given)
    for seed in range(settings.seed, settings.seed + (seeds or 1)):
        _tell_training(common, from_pixels.train(store, name, replace(settings, seed=seed), quiet=common.quiet))


def _tell_training(common: Common, outcome: Outcome) -> None:
    from pipeline.runtime import output

    for note in outcome.notes:
        common.say(f"note: {note}")
    loss, accuracy = outcome.kept("loss"), outcome.kept("val_accuracy")
    chose = " on the rows that chose the epoch" if outcome.by_epoch else ""
    validated = f", val_accuracy {accuracy:.4f}{chose}" if accuracy is not None else ""
    epochs = f"{outcome.epochs} epochs, loss {loss:.4f}{validated}, " if loss is not None else ""
    common.say(
        f"{outcome.train_rows} training and {outcome.val_rows} validation rows, {outcome.classes} classes: {epochs}"
        f"{outcome.seconds:.1f} s"
    )
    if outcome.folds is not None:
        measures = outcome.folds.measures
        common.say(f"out of fold: accuracy {measures.accuracy:.4f}, macro F1 {measures.f1_macro:.4f}")
    output.write_line(outcome.run_id)


@command("tune")
@click.option("--as", "as_name", metavar="NAME", default="tuned", show_default=True, help="Name of the run.")
@click.option(
    "--embedder",
    metavar="SET",
    multiple=True,
    help="Feature set; repeat it to join several.  [default: efficientnet-b4, or the only one]",
)
@click.option("--plan", help="Plan whose splits to use.  [default: default]")
@click.option("--objective", type=click.Choice(["val_accuracy", "val_f1_macro"]), help="[default: val_accuracy]")
@click.option("--max-epochs", type=click.IntRange(2), help="Epochs of the longest trials.  [default: 20]")
@click.option("--factor", type=click.IntRange(2), help="One trial in so many goes on.  [default: 3]")
@click.option("--views", type=click.IntRange(0), help="Augmented views of each row to draw from.  [default: 0]")
@click.option("--class-weights/--no-class-weights", default=None, help="Weigh classes to balance.  [default: yes]")
@click.option("--label-smoothing", type=float, help="Share of a label given to all classes alike.  [default: 0]")
@click.option("--seed", type=int, help="Of the search and of its trials.  [default: 0]")
def tune(common: Common, as_name: str, **flags: Any) -> None:
    """Search the mlp head's layers, units, dropout and optimiser by Hyperband; the best becomes a run."""
    from pipeline.runtime import output
    from pipeline.train import tune as step

    settings = common.config.settings(step.Settings, "tune", as_name, flags=flags)
    outcome = step.tune(common.open(), as_name, settings, quiet=common.quiet)
    for note in outcome.notes:
        common.say(f"note: {note}")
    best = ", ".join(f"{name} {value}" for name, value in outcome.best.items())
    common.say(
        f"{outcome.trials} trials, {outcome.known} of them known before, {outcome.seconds:.1f} s; {settings.objective} "
        f"{outcome.score:.4f} in the best trial ({best}), which the run repeats with early stopping"
    )
    common.say(
        "its settings were chosen on the validation rows, so figures on those flatter: 'coldframe evaluate' gives those on test"
    )
    output.write_line(outcome.run_id)


@command("finetune")
@click.argument("run", required=False)
@click.option("--as", "as_name", metavar="NAME", default="finetuned", show_default=True, help="Name of the new run.")
@click.option("--layers", type=click.IntRange(1), help="Last layers of the backbone to unfreeze.  [default: 5]")
@click.option("--learning-rate", "--lr", type=float, help="[default: 1e-7]")
@click.option("--epochs", type=click.IntRange(1), help="[default: 6]")
@click.option("--optimizer", help="adagrad, adam, adamw or sgd.  [default: adam]")
@click.option("--batch", type=click.IntRange(1), help="[default: 32]")
@click.option("--early-stopping", type=click.IntRange(0), help="Epochs without improvement; 0 for never.  [default: 3]")
@click.option(
    "--mode",
    type=click.Choice(["cut", "whole"]),
    help="cut: keep what the frozen layers give; whole: all of it in every epoch.  [default: cut, unless --augment]",
)
@click.option(
    "--augment", is_flag=True, default=None, help="With the whole network: mirror, turn and zoom in every epoch."
)
@click.option(
    "--cache-as", type=click.Choice(["float16", "float32"]), help="How activations are kept.  [default: float16]"
)
@click.option("--max-disk", metavar="SIZE", help="What activations may take in the store.  [default: 20GB]")
@memory_share_option
@click.option("--seed", type=int, help="[default: 0]")
def finetune(common: Common, run: str | None, as_name: str, **flags: Any) -> None:
    """Fine-tune the last backbone layers with a run's head (an id, the start of one, or a name; the newest if not given)."""
    from pipeline.finetune import finetune as step
    from pipeline.runtime import output

    settings = common.config.settings(step.Settings, "finetune", as_name, flags={**flags, "run": run})
    done = step.finetune(common.open(), as_name, settings, tell=common.say, quiet=common.quiet)
    for note in done.notes:
        common.say(f"note: {note}")
    common.say(f"trained: {', '.join(done.trained)} and the head; {done.epochs} epochs, {done.seconds:.1f} s")
    rows = (
        f"{done.val_rows} validation rows, which chose the epoch"
        if done.val_rows
        else f"{done.train_rows} training rows"
    )
    common.say(
        f"on the {rows}: accuracy {done.before.accuracy:.4f} before, {done.after.accuracy:.4f} after; loss "
        f"{done.before.loss:.4f} before, {done.after.loss:.4f} after"
    )
    if done.helped is False:
        common.say(f"fine-tuning did not help: {done.of} stays the model to use")
    output.write_line(done.run_id)


@command("evaluate")
@click.argument("run", required=False)
@click.option("--split", help="Which rows.  [default: test]")
@click.option(
    "--mask-by", metavar="COL", multiple=True, help="Also rule out classes never seen with a row's COL; repeatable."
)
@click.option(
    "--group-by", metavar="COL", multiple=True, help="Also give the figures for each value of COL; repeatable."
)
@click.option("--tta", is_flag=True, default=None, help="Average over the augmented views that the store has.")
@click.option("--plan", help="Whose splits.  [default: the run's plan]")
@memory_share_option
@click.option("--per-class", is_flag=True, help="Print the classes, the worst first.")
@click.option("--confusion", is_flag=True, help="Print the pairs of classes most often confused.")
@format_option
def evaluate(common: Common, run: str | None, per_class: bool, confusion: bool, fmt: str, **flags: Any) -> None:
    """Evaluate a run (an id, the start of one, or a name; the newest if not given) on a split."""
    from pipeline.evaluate import evaluate as step
    from pipeline.runs import judgement
    from pipeline.runtime import output

    if per_class + confusion + bool(flags["group_by"]) > 1:
        raise click.UsageError("--per-class, --confusion and --group-by print different tables: ask for one at a time")
    store = common.open()
    settings = common.config.settings(step.Settings, "evaluate", flags=flags)
    done = step.evaluate(store, run, settings, quiet=common.quiet)
    snapshot = store.snapshot()
    key = {"run_id": done[0].run_id, "split": settings.split}
    names = {"evaluations": [one.evaluation for one in done]}
    tables = {
        "steps/train/worst_classes": per_class,
        "steps/train/confused": confusion,
        "steps/train/groups_of": bool(flags["group_by"]),
    }
    table = next((name for name, is_asked in tables.items() if is_asked), "steps/train/evaluations_of")
    output.write(snapshot.query(table, **key, **names), fmt)
    for one in done:
        for note in judgement.describe(one):
            common.say(f"{one.evaluation}: {note}")


@command("export")
@click.argument("run", required=False)
@click.option(
    "--format", type=click.Choice(["keras", "onnx", "openvino"]), help="How the model is written.  [default: keras]"
)
@click.option("--output", metavar="DIR", help="Folder to make.  [default: named by run and format, here]")
@click.option("--split", help="Whose rows the written model is evaluated on.  [default: test]")
@click.option(
    "--neighbours/--no-neighbours", default=None, help="Take vectors of the training images along.  [default: yes]"
)
@click.option("--force", is_flag=True, default=None, help="Replace an artefact that is there.")
@click.option(
    "--column",
    metavar="COL",
    multiple=True,
    help="Also carry this column of the catalogue, for predict --where; repeatable. Ranks, and columns that the run was "
    "evaluated masked by, are carried anyway.",
)
def export(common: Common, run: str | None, **flags: Any) -> None:
    """Write a run as one artefact that needs no store, check it in a fresh process, and evaluate it there."""
    from pipeline.deploy import export as step
    from pipeline.runtime import output

    settings = common.config.settings(step.Settings, "export", flags=flags)
    done = step.export(common.open(), run, settings, quiet=common.quiet)
    for note in done.notes:
        common.say(f"note: {note}")
    common.say(
        f"loaded in a fresh process: it gives what {done.run_id} gives on {done.compared} images, within {done.difference:.2g} "
        "in probability"
    )
    if done.judgement is not None:
        measures = done.judgement.measures
        common.say(
            f"the artefact itself, on {measures.rows} {settings.split} rows: accuracy {measures.accuracy:.4f}, macro F1 "
            f"{measures.f1_macro:.4f} (evaluation {done.judgement.evaluation}); {done.seconds:.1f} s"
        )
    output.write_line(str(done.folder))


@command("predict")
@click.argument("model", metavar="RUN|ARTEFACT")
@click.argument("pictures", metavar="IMAGE|FOLDER|-...", nargs=-1, required=True)
@click.option("--top", type=click.IntRange(1, LARGEST_COUNT), default=5, show_default=True, help="Classes to name.")
@click.option(
    "--where",
    metavar="COL=VALUE",
    multiple=True,
    help="Only classes that occur with this value in training, such as phylum=chordata; repeatable.",
)
@click.option(
    "--neighbours",
    type=click.IntRange(0, LARGEST_COUNT),
    default=3,
    show_default=True,
    help="Nearest training images to name; 0 for these and the distance left out.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(1e-3, 1e6),
    default=60.0,
    show_default=True,
    help="Longest that one file may take, to decode and in an artefact's model.",
)
@format_option
def predict(
    common: Common,
    model: str,
    pictures: tuple[str, ...],
    top: int,
    where: tuple[str, ...],
    neighbours: int,
    max_seconds: float,
    fmt: str,
) -> None:
    """Predict the classes of pictures: files, folders of them, or - for standard input (a picture, or paths, one a line)."""
    from pipeline.deploy import model_process

    if Path(model, "card.json").is_file():
        model_process.start_early(Path(model))
    from pipeline.deploy import predict as step
    from pipeline.runtime import output

    sources = step.expand(pictures)
    opened = step.open_model(model, store=common.root, max_seconds=max_seconds)
    pairs = [pair for one in where for pair in _pairs("--where", (one,)).items()]
    answers = opened.predict(sources, top=top, where=pairs, neighbours=neighbours)
    failed: list[step.Answer] = []
    output.write_all(step.to_tables(answers, failed.append), fmt)
    for one in failed:
        common.say(f"{one.path}: {one.failed}")
    if failed:
        sys.exit(SOME_FAILED)


@command("runs")
@click.option("--split", default="test", show_default=True, help="The rows whose figures to show.")
@click.option("--evaluation", default="plain", show_default=True, help="plain, masked:COL, tta, folds:N, ….")
@click.option("--sort", metavar="COL", help="Sort by a column, the largest or newest first.  [default: created_at]")
@click.option("--ascending", is_flag=True, help="Sort the other way round.")
@click.option("--where", metavar="COL=VALUE", multiple=True, help="Only runs with this value in a column; repeatable.")
@click.option(
    "--seeds", is_flag=True, help="One row for runs that differ in nothing but the seed: their mean and spread."
)
@click.option("--against", metavar="A B", nargs=2, help="Compare two runs on the rows that both predicted.")
@format_option
def runs(
    common: Common,
    split: str,
    evaluation: str,
    sort: str | None,
    ascending: bool,
    where: tuple[str, ...],
    seeds: bool,
    against: tuple[str, str] | None,
    fmt: str,
) -> None:
    """List trained runs with their figures, or compare two of them on the rows both have predicted."""
    from pipeline.evaluate import leaderboard
    from pipeline.runtime import output

    snapshot = common.open().snapshot()
    if against is not None:
        if sort or where or seeds:
            raise click.UsageError("--against compares two runs: it goes with --split, --evaluation and --format alone")
        table, notes = leaderboard.compare(snapshot, *against, split=split, evaluation=evaluation)
    else:
        kind = leaderboard.by_seeds if seeds else leaderboard.board
        asked = leaderboard.Selection(_pairs("--where", where), sort, ascending)
        table, notes = kind(snapshot, split=split, evaluation=evaluation, selection=asked)
    output.write(table, fmt)
    for note in notes:
        common.say(f"note: {note}")


@command("sql")
@click.argument("query")
@click.option("--param", "params", metavar="NAME=VALUE", multiple=True, help="A value for $NAME, as text; repeatable.")
@click.option("--at", type=click.IntRange(1), help="Ask an earlier moment of the store.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 1e6),
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

    values, most = _pairs("--param", params), None if memory is None else parse_bytes("--memory", memory)
    if most is not None and most < LEAST_MEMORY:
        raise click.UsageError(f"--memory {memory}: expected at least {LEAST_MEMORY // 1000**2}MB")
    pieces = functools.partial(output.pieces, fmt=fmt, rows=rows, shown=terminal.is_shown())
    output.emit(asking.tell(common.root, at, query, values, timeout=timeout or None, memory=most, pieces=pieces))


@command("status")
@click.option(
    "--format", "fmt", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print it."
)
def status(common: Common, fmt: str) -> None:
    """Show the books (catalogue = ready + failed, ready = kept + out), coverage, and what is out of date."""
    from pipeline.runtime import output
    from pipeline.upkeep import status as step

    now = step.status(common.open().snapshot(), common.config)
    tables = {"books": now.books, "splits": now.splits, "coverage": now.coverage, "steps": now.steps}
    if fmt != "table":
        whole = {name: table.to_pylist() for name, table in tables.items()}
        output.write_json({"moment": now.moment, **whole, "stale": now.stale}, indent=1)
        return
    terminal.echo(f"{common.root}, moment {now.moment}")
    terminal.echo("")
    for table in tables.values():
        terminal.echo_lines(output.as_text(table) + "\n")
    for step_name, reason in now.stale:
        terminal.echo(f"out of date: {step_name}: {reason}")
    if not now.stale:
        terminal.echo("everything is up to date")


@command("verify")
@click.option("--deep", is_flag=True, help="Also compare the SHA-256 of every part.")
@click.option(
    "--recompute",
    type=click.IntRange(1, LARGEST_COUNT),
    metavar="N",
    help="Embed N images again and compare; without --deep only that.",
)
@click.option("--embedder", metavar="SET", help="With --recompute: the feature set.  [default: each in turn]")
def verify(common: Common, deep: bool, recompute: int | None, embedder: str | None) -> None:
    """Check every claim the store makes about itself; exit code 4 if one does not hold."""
    if embedder and not recompute:
        raise click.UsageError("--embedder goes with --recompute")
    if deep or not recompute:
        _check(common, deep=deep)
    if recompute:
        _recompute(common, recompute, embedder)


def _check(common: Common, *, deep: bool) -> None:
    from pipeline.upkeep import verify as step

    try:
        store = common.open()
    except StoreDamaged as error:
        raise CheckFailed(str(error)) from error
    findings = step.verify(store, deep=deep)
    for finding in findings:
        terminal.echo(f"{'FAILED' if finding.problems else 'ok':<7}{finding.check}")
        for line in (*finding.problems, finding.way_out if finding.problems else "", finding.note):
            if line:
                terminal.echo(f"       {line}")
    failed = sum(bool(finding.problems) for finding in findings)
    terminal.echo(f"{len(findings) - failed} of {len(findings)} checks hold")
    if failed:
        raise CheckFailed(f"{failed} checks do not hold: see above")


def _recompute(common: Common, count: int, embedder: str | None) -> None:
    from pipeline.embed import feature_sets
    from pipeline.upkeep import recompute as step

    store = common.open()
    if embedder is None:
        sets = [row["embedder"] for row in store.snapshot().rows("steps/embed/feature_sets")]
        if len(sets) > 1:
            # one process each: two frameworks in one are trouble
            codes = [_coldframe(common, ["verify", "--recompute", str(count), "--embedder", one]) for one in sets]
            sys.exit(max(codes))
    name = feature_sets.choose(store.snapshot(), embedder)
    found = step.recompute(store, name, count)
    terminal.echo(
        f"{name} ({found.backend}, {found.precision}): worst cosine to the reference in float32 {found.worst_cosine:.6f} of "
        f"{found.images} images, {found.worst_path}" + (f"; {found.unreadable} unreadable" if found.unreadable else "")
    )
    if not found.worst_cosine >= step.LEAST_COSINE:  # nan is no cosine at all
        raise CheckFailed(f"{name}: vectors are not what its network gives, expected at least {step.LEAST_COSINE}")


@command("repair")
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
def repair(common: Common, dry_run: bool) -> None:
    """Take damaged files out of the store, keep them aside, and say how to make again what they held."""
    from pipeline.upkeep import repair as step

    for line in step.describe(step.repair(common.open(), dry_run=dry_run)):
        terminal.echo(line)
    if dry_run:
        common.say("nothing was changed")


@command("gc")
@click.option(
    "--grace",
    metavar="DURATION",
    default="1h",
    show_default=True,
    help="How long a moment stays readable once it is replaced: 30m, 2h, 7d. With 0s no other command may run meanwhile.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
def gc(common: Common, grace: str, dry_run: bool) -> None:
    """Remove earlier moments of the store, and files that nothing names any more."""
    from pipeline.upkeep import gc as step

    seconds = step.parse_duration(grace)
    if seconds is None:
        raise click.UsageError(f"--grace {grace}: expected a number and s, m, h or d, such as 30m or 7d")

    def tell(waste: Waste) -> None:
        for line in step.describe(waste) or ["nothing"]:
            terminal.echo(f"{'would remove' if dry_run else 'removes'} {line}")

    step.gc(common.open(), seconds, dry_run=dry_run, before_removal=tell)


@command("run")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--init", is_flag=True, help="Write the reference recipe to FILE (default coldframe.toml), and stop.")
@click.option("--dry-run", is_flag=True, help="Say what would run and why; run nothing.")
def run(common: Common, file: Path | None, init: bool, dry_run: bool) -> None:
    """Run every step of a coldframe.toml that is out of date, in order, and say why."""
    from pipeline import recipe
    from pipeline.steps import config

    common.config_file = file or common.config_file
    if init:
        target = common.config_file or Path(config.DEFAULT_FILE)
        try:
            with target.open("x", encoding="utf-8") as written:  # which follows no link to a file that is not there
                written.write(recipe.reference_recipe())
        except FileExistsError:
            raise ColdframeError(f"{target}: is there already; name another FILE, or remove it first") from None
        common.say(f"{target}: the reference recipe; name your catalogue under [ingest], then 'coldframe run'")
        return
    if common.config.path is None:
        raise ColdframeError("no coldframe.toml here; 'coldframe run --init' writes the reference recipe")
    some_failed = False
    for step in recipe.steps(common.config):
        reason = step.out_of_date(None if dry_run and not common.root.exists() else common.create().snapshot())
        common.say(f"{step}: {reason or 'up to date'}")
        if reason and not dry_run:
            code = _coldframe(common, [step.command, *step.arguments])
            if code not in (0, SOME_FAILED):
                common.say(f"{step}: stopped with exit code {code}; 'coldframe run' goes on from here")
                sys.exit(code)
            some_failed = some_failed or code == SOME_FAILED
    if some_failed:
        sys.exit(SOME_FAILED)


@command("demo")
@click.argument("folder", metavar="[DIR]", default="coldframe-demo", type=click.Path(path_type=Path))
@click.option("--rows", type=click.IntRange(120), help="Pictures to draw.  [default: 1000]")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Another seed, other creatures."
)
@click.option(
    "--catalogue", metavar="METADATA", type=click.Path(path_type=Path), help="Draw a picture for each row of this file."
)
@click.option(
    "--plant",
    type=click.Choice(["sample", "report", "none"]),
    help="Faults to plant: a fifth of the rows, the report's own counts, or none.  [default: sample; none with --catalogue]",
)
@click.option("--draw-only", is_flag=True, help="Draw the pictures and write the recipe; run no step.")
def demo(
    common: Common,
    folder: Path,
    rows: int | None,
    seed: int,
    catalogue: Path | None,
    plant: str | None,
    draw_only: bool,
) -> None:
    """Draw a sample catalogue into DIR (default ./coldframe-demo) and run every step on it, offline.

    The store is DIR/coldframe-store and the settings are DIR/coldframe.toml, whatever --store and --config say.
    """
    from pipeline.demo import summary, world

    if rows is not None and catalogue is not None:
        raise click.UsageError("--rows is for an invented catalogue; with --catalogue every row is drawn")
    settings = world.Settings(
        rows or world.Settings.rows, seed, catalogue, plant or ("none" if catalogue else "sample")
    )
    drawn = world.prepare(folder, settings, quiet=common.quiet)
    common.say(f"{folder}: {drawn.drawn} of {len(drawn.rows)} pictures drawn in {drawn.seconds:.1f} s")
    if draw_only:
        return
    common.store, common.config_file = drawn.store, drawn.config
    for arguments in drawn.commands():
        code = _coldframe(common, arguments, results=False)
        if code not in (0, SOME_FAILED):
            common.say(
                f"{arguments[0]}: stopped with exit code {code}; once its cause is gone, the same command goes on"
            )
            sys.exit(code)
    for paragraph in summary.tell(common.open().snapshot(), drawn):
        terminal.echo_lines(paragraph)


def _coldframe(common: Common, arguments: list[str], *, results: bool = True) -> int:
    """Run another ``coldframe`` with the same common options; its exit code, 1 if it was killed.

    Without ``results``, what it writes to stdout is dropped.
    """
    # -P: a folder called 'store' in the working folder must not pass for our package
    command = [sys.executable, "-P", "-m", "pipeline", *common.flags(), *arguments]
    code = subprocess.run(command, check=False, stdout=None if results else subprocess.DEVNULL).returncode
    return code if code >= 0 else 1


def main() -> None:
    """The ``coldframe`` command."""
    quiet.own_process()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    signal.signal(signal.SIGTERM, _interrupt)
    terminal.guard()
    cli()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt  # a scheduler's way to end a job ends it as Ctrl-C does
