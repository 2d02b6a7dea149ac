"""``copies``."""

from __future__ import annotations

import sys
from typing import Any

from pipeline.cli.app import SOME_FAILED, Common, command
from pipeline.cli.options import settings_options
from pipeline.curate import copies as step
from pipeline.curate.copies import Settings


@command("copies")
@settings_options(Settings)
def copies(common: Common, **flags: Any) -> None:
    """Find near copies: pictures that show the same as another, resized, recompressed, cropped, mirrored or marked.

    Stored vectors and hashes tell which pictures to compare; each of those is decoded once. Splits keep near copies together from
    the next replay on.
    """
    settings = common.config.settings(Settings, step.STEP, flags=flags)
    outcome = step.find(common.open(), settings, quiet=common.quiet)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.kinds.items()))
    found = f"{sum(outcome.kinds.values())} pairs of near copies in {outcome.groups} groups" + (
        f" ({kinds})" if kinds else ""
    )
    common.say(f"{outcome.contents} contents, {outcome.compared} pairs compared: {found}")
    if outcome.failed:
        common.say(
            f"{outcome.failed} contents could not be read: coldframe sql \"from failures where step = 'copies'\""
        )
        sys.exit(SOME_FAILED)
