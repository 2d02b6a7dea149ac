"""``finetune``."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli.app import Common, command
from pipeline.cli.options import Name, settings_options
from pipeline.finetune import finetune as step
from pipeline.finetune.settings import STEP, Settings
from pipeline.runtime import output


@command("finetune")
@click.argument("run", required=False)
@click.option(
    "--as",
    "as_name",
    type=Name("a run"),
    metavar="NAME",
    default="finetuned",
    show_default=True,
    help="Name of the new run.",
)
@settings_options(Settings)
def finetune(common: Common, run: str | None, as_name: str, **flags: Any) -> None:
    """Fine-tune the last backbone layers with a run's head (an id, the start of one, or a name; the newest if not given)."""
    settings = common.config.settings(Settings, STEP, as_name, flags={**flags, "run": run})
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
