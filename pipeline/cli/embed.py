"""``embed``."""

from __future__ import annotations

import sys
from typing import Any

import click

from pipeline.cli.app import SOME_FAILED, Common, coldframe, command
from pipeline.cli.options import Name, settings_options, words_of
from pipeline.embed import embed as step
from pipeline.embed.settings import STEP, Settings
from pipeline.runtime import terminal
from pipeline.steps import hints


@command("embed")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--as",
    "as_name",
    type=Name("a feature set"),
    metavar="SET",
    help="Name of the feature set.  [default: the embedder's]",
)
@click.option("--dry-run", is_flag=True, help="Print what there is to do and how long it would take; embed nothing.")
@settings_options(Settings)
def embed(common: Common, names: tuple[str, ...], as_name: str | None, dry_run: bool, **flags: Any) -> None:
    """Embed every image that has no vector yet with each NAME (efficientnet-b4, clip, mean-colour, …)."""
    if len(names) > 1:
        if as_name:
            raise click.UsageError("--as names one set: embed one NAME at a time with it")
        given = words_of({**flags, "dry_run": dry_run or None})
        # one process each: two frameworks in one process cause trouble
        codes = [coldframe(common, ["embed", name, *given]) for name in names]
        sys.exit(next((code for code in codes if code not in (0, SOME_FAILED)), max(codes)))
    store = common.open()
    name = as_name or names[0]
    flags["embedder"] = names[0] if as_name else None
    settings = common.config.settings(Settings, STEP, name, flags=flags)
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
        common.say("see: " + hints.sql("select path, reason from failures where name = {name}", name=name))
        sys.exit(SOME_FAILED)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
