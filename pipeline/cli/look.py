"""``look`` and ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipeline.cli.app import Common, command
from pipeline.cli.options import settings_options
from pipeline.look.server import Settings
from pipeline.runtime import output, terminal
from store.schemas import DEFAULT_PLAN

REPORT = "coldframe-report.html"


@command("look")
@settings_options(Settings)
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the pages in a browser.")
def look(common: Common, browser: bool, **flags: Any) -> None:
    """Look at pictures in a browser, and judge them: what rules take out, what is doubted, what a run gets wrong.

    The pages are served to this machine alone, until Ctrl-C. Each verdict is in the store at once.
    """
    from pipeline.look import server

    settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    server.serve(
        common.open(), common.config, settings, browser=browser, say=lambda line: terminal.echo(line, err=True)
    )


@command("report")
@click.argument("file", required=False, default=REPORT, metavar="[FILE.html]", type=click.Path(path_type=Path))
@click.option("--plan", help=f"The plan whose rules are shown.  [default: {DEFAULT_PLAN}, or the first]")
@click.option("--all", "everything", is_flag=True, help="Show all pictures, from a folder beside the file.")
@click.option("--force", is_flag=True, help="Replace a file that is no report of coldframe.")
def report(common: Common, file: Path, plan: str | None, everything: bool, force: bool) -> None:
    """Write one HTML file that shows the store: the books, classes, what each rule takes out, mistakes, runs, copies, suspects.

    It opens from disk, runs no script and loads nothing, so it can be mailed. Without FILE it is
    coldframe-report.html.
    """
    from pipeline.look import reporting

    reporting.check(file, everything=everything, force=force)
    made = reporting.report(common.open(), plan=plan, everything=everything, file=file)
    made.save(file, force=force)
    common.say(reporting.told(made, file))
    output.write_line(str(file))
