"""``ingest`` and ``inspect``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pipeline.cli.app import SOME_FAILED, Common, command
from pipeline.cli.options import format_option, settings_options
from pipeline.embed import contact_sheet
from pipeline.ingest import ingest as step
from pipeline.ingest import inspection
from pipeline.ingest.settings import Settings, wanted
from pipeline.runtime import output, terminal


@command("ingest")
@click.argument("metadata", required=False, type=click.Path())
@settings_options(Settings)
def ingest(common: Common, **flags: Any) -> None:
    """Read a catalogue (text, JSON, Parquet, an archive or a folder) and look at every image once."""
    settings = wanted(common.config, flags)
    reading = step.read(settings)  # before there is a store: a wrong name should not leave a store behind
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
    flag_value=contact_sheet.FILE,
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Instead, draw some images and their augmented views into FILE (.png or .jpg).  [default: {contact_sheet.FILE}]",
)
@click.option(
    "--embedder",
    metavar="SET",
    help="With --views: the feature set whose settings to use.  [default: the one with views]",
)
@format_option
def inspect(common: Common, section: str | None, sheet: Path | None, embedder: str | None, fmt: str) -> None:
    """Show classes, imbalance, sizes, modes, copies and failures; SECTION for one of them in any format."""
    if sheet is not None:
        if section is not None:
            raise click.UsageError(f"--views draws a sheet and shows no section: leave out {section!r}")
        return _draw_views(common, sheet, embedder)
    if embedder is not None:
        raise click.UsageError("--embedder needs --views")
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
    sheet = contact_sheet.contact_sheet(common.open().snapshot(), embedder)
    contact_sheet.save(sheet, file)
    common.say(f"{file}: views {contact_sheet.describe(sheet)}")
