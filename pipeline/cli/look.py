"""``look``."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli.app import Common, command
from pipeline.cli.options import settings_options
from pipeline.look import server
from pipeline.look.server import Settings
from pipeline.runtime import terminal


@command("look")
@settings_options(Settings)
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the pages in a browser.")
def look(common: Common, browser: bool, **flags: Any) -> None:
    """Look at pictures in a browser, and judge them: what rules take out, what is doubted, what a run gets wrong.

    The pages are served to this machine alone, until Ctrl-C. Each verdict is in the store at once.
    """
    settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    server.serve(
        common.open(), common.config, settings, browser=browser, say=lambda line: terminal.echo(line, err=True)
    )
