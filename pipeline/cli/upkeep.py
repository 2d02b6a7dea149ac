"""``status``, ``verify``, ``repair`` and ``gc``."""

from __future__ import annotations

import sys

import click

from pipeline.cli.app import Common, coldframe, command
from pipeline.embed import feature_sets
from pipeline.runtime import output, terminal
from pipeline.steps.settings import LARGEST_COUNT
from pipeline.upkeep import gc as removal
from pipeline.upkeep import recompute as recomputing
from pipeline.upkeep import repair as mending
from pipeline.upkeep import status as books
from pipeline.upkeep import verify as checks
from store.errors import CheckFailed, StoreDamaged
from store.garbage import Waste


@command("status")
@click.option(
    "--format", "fmt", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print it."
)
def status(common: Common, fmt: str) -> None:
    """Show the books (catalogue = ready + failed, ready = kept + out), coverage, and what is out of date."""
    now = books.status(common.open().snapshot(), common.config)
    tables = {"books": now.books, "splits": now.splits, "coverage": now.coverage, "steps": now.steps}
    if fmt != "table":
        whole = {name: table.to_pylist() for name, table in tables.items()}
        output.write_json({"moment": now.moment, **whole, "stale": now.stale, "notes": now.notes}, indent=1)
        return
    terminal.echo(f"{common.root}, moment {now.moment}")
    terminal.echo("")
    for table in tables.values():
        terminal.echo_lines(output.as_text(table) + "\n")
    for note in now.notes:
        terminal.echo(note)
    for step_name, reason in now.stale:
        terminal.echo(common.pasted(f"out of date: {step_name}: {reason}"))
    if not now.stale:
        more = "; a coldframe.toml says which feature sets, runs and files that scores depend on to look at as well"
        unseen = "" if common.config.path else more
        terminal.echo(f"everything is up to date{unseen}")


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
        raise click.UsageError("--embedder needs --recompute")
    if deep or not recompute:
        _check(common, deep=deep)
    if recompute:
        _recompute(common, recompute, embedder)


def _check(common: Common, *, deep: bool) -> None:
    try:
        store = common.open()
    except StoreDamaged as error:
        raise CheckFailed(str(error)) from error
    findings = checks.verify(store, deep=deep)
    for finding in findings:
        terminal.echo(f"{'FAILED' if finding.problems else 'ok':<7}{finding.check}")
        for line in (*finding.problems, finding.way_out if finding.problems else "", finding.note):
            if line:
                terminal.echo(common.pasted(f"       {line}"))
    failed = sum(bool(finding.problems) for finding in findings)
    terminal.echo(f"{len(findings) - failed} of {len(findings)} checks hold")
    if failed:
        raise CheckFailed(f"{failed} checks do not hold: see above")


def _recompute(common: Common, count: int, embedder: str | None) -> None:
    store = common.open()
    if embedder is None:
        sets = feature_sets.names(store.snapshot())
        if len(sets) > 1:
            # one process each: two frameworks in one process cause trouble
            codes = [coldframe(common, ["verify", "--recompute", str(count), "--embedder", one]) for one in sets]
            sys.exit(max(codes))
    name = feature_sets.choose(store.snapshot(), embedder)
    found = recomputing.recompute(store, name, count)
    terminal.echo(
        f"{name} ({found.backend}, {found.precision}): worst cosine to the reference in float32 {found.worst_cosine:.6f} of "
        f"{found.images} images, {found.worst_path}" + (f"; {found.unreadable} unreadable" if found.unreadable else "")
    )
    if not found.worst_cosine >= recomputing.LEAST_COSINE:  # nan fails this test too
        raise CheckFailed(
            f"{name}: vectors are not what its network gives, expected at least {recomputing.LEAST_COSINE}"
        )


@command("repair")
@click.option("--dry-run", is_flag=True, help="Print what would be done; change nothing.")
def repair(common: Common, dry_run: bool) -> None:
    """Take damaged files out of the store, keep them aside, and say how to make again what they held."""
    for line in mending.describe(mending.repair(common.open(), common.config, flags=common.given(), dry_run=dry_run)):
        terminal.echo(line)
    if dry_run:
        common.say("nothing was changed")


@command("gc")
@click.option(
    "--grace",
    metavar="DURATION",
    default=removal.GRACE,
    show_default=True,
    help="How long a moment stays readable once it is replaced: 30m, 2h, 7d. With 0s no other command may run meanwhile.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be removed; remove nothing.")
def gc(common: Common, grace: str, dry_run: bool) -> None:
    """Remove earlier moments of the store, and files that nothing names any more."""
    seconds = removal.parse_duration(grace)
    if seconds is None:
        raise click.UsageError(f"--grace {grace}: expected a number and s, m, h or d, such as 30m or 7d")

    def tell(waste: Waste) -> None:
        for line in removal.describe(waste) or ["nothing"]:
            terminal.echo(f"{'would remove' if dry_run else 'removes'} {line}")

    removal.gc(common.open(), seconds, dry_run=dry_run, before_removal=tell)
