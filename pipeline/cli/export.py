"""``export``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from pipeline.cli.app import Common, command
from pipeline.cli.options import settings_options
from pipeline.deploy import agreement
from pipeline.deploy import export as step
from pipeline.runtime import output


@command("export")
@click.argument("run", required=False)
@settings_options(step.Settings)
def export(common: Common, run: str | None, **flags: Any) -> None:
    """Write a run as one artefact that needs no store, check it in a fresh process, and evaluate it there."""
    settings = common.config.settings(step.Settings, "export", flags=flags)
    done = step.export(common.open(), run, settings, quiet=common.quiet)
    for note in done.notes:
        common.say(f"note: {note}")
    common.say(
        f"loaded in a fresh process: it gives what the network of {done.run_id} gives in float32 on {done.compared} images, "
        f"within {done.difference:.2g} in probability"
    )
    if done.agreement is not None:
        common.say(agreement.tell(asdict(done.agreement)))
    if done.judgement is not None:
        measures = done.judgement.measures
        common.say(
            f"the artefact itself, on {measures.rows} {settings.split} rows: accuracy {measures.accuracy:.4f}, macro F1 "
            f"{measures.f1_macro:.4f} (evaluation {done.judgement.evaluation}); {done.seconds:.1f} s"
        )
    output.write_line(str(done.folder))
