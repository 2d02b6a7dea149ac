"""``run`` and ``demo``: commands that run others."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from pipeline import recipe
from pipeline.cli.app import SOME_FAILED, Common, coldframe, command
from pipeline.cli.options import settings_options
from pipeline.demo import summary, world
from pipeline.runtime import terminal
from pipeline.steps import config
from store import manifest
from store.errors import ColdframeError
from store.store import Snapshot


@command("run")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--init", is_flag=True, help=f"Write the reference recipe to FILE ({config.DEFAULT_FILE} if not given), and stop."
)
@click.option("--dry-run", is_flag=True, help="Print what would run and why; run nothing.")
def run(common: Common, file: Path | None, init: bool, dry_run: bool) -> None:
    """Run every step of a coldframe.toml that is out of date, in order, and say why."""
    common.config_file = file or common.config_file
    if init:
        target = common.config_file or Path(config.DEFAULT_FILE)
        try:
            with target.open("x", encoding="utf-8") as written:  # "x" follows no link to a missing file
                written.write(recipe.reference_recipe())
        except FileExistsError:
            raise ColdframeError(f"{target}: exists; name another FILE, or remove it first") from None
        common.say(f"{target}: the reference recipe; name your catalogue under [ingest], then 'coldframe run'")
        return
    if common.config.path is None:
        raise ColdframeError("no coldframe.toml here; 'coldframe run --init' writes the reference recipe")
    some_failed = False
    for step in recipe.steps(common.config):
        reason = step.out_of_date(_moment(common, may_make=not dry_run))
        common.say(f"{step}: {reason or 'up to date'}")
        if reason and not dry_run:
            code = coldframe(common, [step.command, *step.arguments])
            if code not in (0, SOME_FAILED):
                common.say(f"{step}: stopped with exit code {code}; 'coldframe run' goes on from here")
                sys.exit(code)
            some_failed = some_failed or code == SOME_FAILED
    if some_failed:
        sys.exit(SOME_FAILED)


def _moment(common: Common, *, may_make: bool) -> Snapshot | None:
    """The store as it is now; None where there is none and none may be made."""
    if may_make:
        return common.create().snapshot()
    return common.open().snapshot() if (common.root / manifest.FOLDER).exists() else None


@command("demo")
@click.argument("folder", metavar="[DIR]", default=world.FOLDER, type=click.Path(path_type=Path))
@settings_options(world.Settings)
@click.option("--draw-only", is_flag=True, help="Draw the pictures and write the recipe; run no step.")
def demo(
    common: Common,
    folder: Path,
    draw_only: bool,
    **flags: Any,
) -> None:
    """Draw a sample catalogue into DIR (./coldframe-demo if not given) and run every step on it, offline.

    The store is DIR/coldframe-store and the settings are DIR/coldframe.toml, whatever --store and --config say.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if given.keys() >= {"rows", "catalogue"}:
        raise click.UsageError("--rows is for an invented catalogue; with --catalogue every row is drawn")
    settings = world.Settings(**({"plant": world.PLANT_NONE} if "catalogue" in given else {}) | given)
    drawn = world.prepare(folder, settings, quiet=common.quiet)
    common.say(f"{folder}: {drawn.drawn} of {len(drawn.rows)} pictures drawn in {drawn.seconds:.1f} s")
    if draw_only:
        return
    common.store, common.config_file = drawn.store, drawn.config
    os.environ["HF_HUB_OFFLINE"] = "1"  # it needs no network, whatever stands in a recipe that was there before
    for arguments in drawn.commands():
        code = coldframe(common, arguments, results=False)
        if code not in (0, SOME_FAILED):
            common.say(
                f"{arguments[0]}: stopped with exit code {code}; once its cause is gone, the same command goes on"
            )
            sys.exit(code)
    for paragraph in summary.tell(common.open().snapshot(), drawn):
        terminal.echo_lines(paragraph)
