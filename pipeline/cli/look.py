"""``report``."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.app import Common, command
from pipeline.look import report as make
from pipeline.look.report import FILE, check, told
from pipeline.runtime import output
from store.schemas import DEFAULT_PLAN


@command("report")
@click.argument("file", required=False, default=FILE, metavar="[FILE.html]", type=click.Path(path_type=Path))
@click.option("--plan", help=f"The plan whose rules are shown.  [default: {DEFAULT_PLAN}, or the first]")
@click.option("--all", "everything", is_flag=True, help="Show all pictures, from a folder beside the file.")
@click.option("--force", is_flag=True, help="Replace a file that is no report of coldframe.")
def report(common: Common, file: Path, plan: str | None, everything: bool, force: bool) -> None:
    """Write one HTML file that shows the store: the books, classes, what each rule takes out, mistakes, runs, copies, suspects.

    It opens from disk, runs no script and loads nothing, so it can be mailed. Without FILE it is
    coldframe-report.html.
    """
    check(file, beside=everything, force=force)
    made = make(common.open(), plan=plan, everything=everything, file=file)
    made.save(file, force=force)
    common.say(told(made, file))
    output.write_line(str(file))
