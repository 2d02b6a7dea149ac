"""Status: a store's row counts by plan, the coverage of its feature sets, and what is out of date."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from pipeline import recipe
from pipeline.steps.config import Config
from store.store import Snapshot


@dataclass(frozen=True)
class Status:
    """``books``: one row per plan; ``coverage``: one per feature set; ``steps``: when each last finished; ``stale``."""

    moment: int
    books: pa.Table
    splits: pa.Table
    coverage: pa.Table
    steps: pa.Table
    stale: list[tuple[str, str]]


def status(snapshot: Snapshot, config: Config) -> Status:
    """Everything ``coldframe status`` prints."""
    return Status(
        snapshot.manifest.number,
        snapshot.query("steps/upkeep/books"),
        snapshot.query("steps/upkeep/splits"),
        snapshot.query("steps/upkeep/coverage"),
        snapshot.query("steps/upkeep/steps"),
        recipe.stale(snapshot, config),
    )
