"""``predict``. An artefact's process is started before anything heavy is imported here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pipeline.cli.app import SOME_FAILED, Common, command
from pipeline.cli.options import format_option, pairs, settings_options
from pipeline.deploy import model_process
from pipeline.deploy.asking import Settings


@command("predict")
@click.argument("model", metavar="RUN|ARTEFACT")
@click.argument("pictures", metavar="IMAGE|FOLDER|-...", nargs=-1, required=True)
@click.option(
    "--where",
    metavar="COL=VALUE",
    multiple=True,
    help="Only classes that occur with this value in training, such as phylum=chordata; repeatable.",
)
@settings_options(Settings)
@format_option
def predict(
    common: Common,
    model: str,
    pictures: tuple[str, ...],
    where: tuple[str, ...],
    fmt: str,
    **flags: Any,
) -> None:
    """Predict the classes of pictures: files, folders of them, or - for standard input (a picture, or paths, one a line)."""
    if Path(model, "card.json").is_file():
        model_process.start_early(Path(model))
    from pipeline.deploy import predict as step
    from pipeline.deploy.sources import expand
    from pipeline.runtime import output

    sources = expand(pictures)
    settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    opened = step.open_model(model, store=common.root, max_seconds=settings.max_seconds)
    for note in opened.notes:
        common.say(f"note: {note}")
    asked = [pair for one in where for pair in pairs("--where", (one,)).items()]
    answers = opened.predict(sources, top=settings.top, where=asked, neighbours=settings.neighbours)
    failed: list[step.Answer] = []
    output.write_all(step.to_tables(answers, failed.append), fmt)
    for one in failed:
        common.say(f"{one.path}: {one.failed}")
    if failed:
        sys.exit(SOME_FAILED)
