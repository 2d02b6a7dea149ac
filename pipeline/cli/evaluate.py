"""``evaluate`` and ``runs``."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli.app import Common, command
from pipeline.cli.options import format_option, pairs, settings_options
from pipeline.evaluate import evaluate as step
from pipeline.evaluate import leaderboard
from pipeline.runs import judgement
from pipeline.runs.evaluations import PLAIN
from pipeline.runtime import output


@command("evaluate")
@click.argument("run", required=False)
@settings_options(step.Settings)
@click.option("--per-class", is_flag=True, help="Print the classes, the worst first.")
@click.option("--confusion", is_flag=True, help="Print the pairs of classes most often confused.")
@format_option
def evaluate(common: Common, run: str | None, per_class: bool, confusion: bool, fmt: str, **flags: Any) -> None:
    """Evaluate a run (an id, the start of one, or a name; the newest if not given) on a split."""
    if per_class + confusion + bool(flags["group_by"]) > 1:
        raise click.UsageError("--per-class, --confusion and --group-by print different tables: ask for one at a time")
    store = common.open()
    settings = common.config.settings(step.Settings, step.STEP, flags=flags)
    done = step.evaluate(store, run, settings, quiet=common.quiet)
    snapshot = store.snapshot()
    key = {"run_id": done[0].run_id, "split": settings.split}
    names = {"evaluations": [one.evaluation for one in done]}
    tables = {
        "steps/evaluate/worst_classes": per_class,
        "steps/evaluate/confused": confusion,
        "steps/evaluate/groups_of": bool(flags["group_by"]),
    }
    table = next((name for name, is_asked in tables.items() if is_asked), "steps/evaluate/evaluations_of")
    output.write(snapshot.query(table, **key, **names), fmt)
    for one in done:
        for note in judgement.describe(one):
            common.say(f"{one.evaluation}: {note}")


@command("runs")
@click.option("--split", default=step.Settings.split, show_default=True, help="The rows whose figures to show.")
@click.option("--evaluation", default=PLAIN, show_default=True, help="plain, masked:COL, tta, folds:N, ….")
@click.option(
    "--sort",
    metavar="COL",
    help=f"Sort by a column, the largest or newest first.  [default: {leaderboard.DEFAULT_SORT}]",
)
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
    snapshot = common.open().snapshot()
    if against is not None:
        if sort or where or seeds:
            raise click.UsageError(
                "--against compares two runs: it can be used with --split, --evaluation and --format only"
            )
        table, notes = leaderboard.compare(snapshot, *against, split=split, evaluation=evaluation)
    else:
        kind = leaderboard.by_seeds if seeds else leaderboard.board
        asked = leaderboard.Selection(pairs("--where", where), sort, ascending)
        table, notes = kind(snapshot, split=split, evaluation=evaluation, selection=asked)
    output.write(table, fmt)
    for note in notes:
        common.say(f"note: {note}")
