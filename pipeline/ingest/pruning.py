"""How much ``--prune`` may remove: an export that was cut off must not empty a store."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.ingest.settings import Settings
from store.errors import ColdframeError
from store.store import Snapshot

SHARE = 0.1  # of a store's rows, which are removed without being asked for


def check_loss(now: Snapshot, settings: Settings, unlisted: Iterable[str], *, remaining: int) -> None:
    """Check what pruning would remove. Rows whose content the catalogue has elsewhere have only moved.

    Args:
        now: a moment with the views of the wanted catalogue.
        unlisted: folders of the catalogue that could not be listed.
        remaining: rows that the store would have.

    Raises:
        ColdframeError: it is more than a tenth of the rows, or all, or more than ``prune_limit``; or it cannot be known.
    """
    folder = min(unlisted, default=None)
    if folder is not None:
        raise ColdframeError(
            f"{settings.metadata}: the folder {folder!r} cannot be listed, so which of its rows are gone is unknown: make it "
            "readable, or leave out --prune"
        )
    counts = now.rows("steps/ingest/losing")[0]
    before, lost = counts["before"], counts["lost"]
    asked = settings.prune_limit
    most = int(before * SHARE) if asked is None else asked
    if lost > most or (asked is None and lost and not remaining):
        raise ColdframeError(
            f"{settings.metadata}: --prune would remove {lost} of the store's {before} rows, since the catalogue no longer has "
            f"them; {most} is the limit. Nothing was removed. See that the catalogue is whole. To remove them all the same, add "
            f"--prune-limit {lost} (in a recipe: prune_limit = {lost})"
        )
