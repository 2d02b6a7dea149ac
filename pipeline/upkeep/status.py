"""Status: a store's row counts by plan, the coverage of its feature sets, and what is out of date."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from pipeline import recipe
from pipeline.embed import feature_sets, rules_of_now
from pipeline.embed.made import Made
from pipeline.ingest.pictures import read_otherwise
from pipeline.steps import hints
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
    notes: tuple[str, ...]


def status(snapshot: Snapshot, config: Config) -> Status:
    """Everything ``coldframe status`` prints."""
    return Status(
        snapshot.manifest.number,
        snapshot.query("steps/upkeep/books"),
        snapshot.query("steps/upkeep/splits"),
        snapshot.query("steps/upkeep/coverage"),
        snapshot.query("steps/upkeep/steps"),
        recipe.stale(snapshot, config),
        (*read_otherwise(snapshot), *_redrawn(snapshot)),
    )


def _redrawn(snapshot: Snapshot) -> list[str]:
    """A sentence for each feature set with vectors of pictures that look different now."""
    counts = {
        name: rules_of_now.redrawn(snapshot, Made.of(snapshot, name)).num_rows for name in feature_sets.names(snapshot)
    }
    return [
        f"{count} pictures look different under the present decoding rules: {hints.command('embed', name)} makes their "
        "vectors anew"
        for name, count in counts.items()
        if count
    ]
