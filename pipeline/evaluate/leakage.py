"""Leakage: evaluated rows that the run has already seen, as images with the same bytes."""

from __future__ import annotations

import numpy as np

from pipeline.runs.rows import Rows
from pipeline.runs.runs import HEAD, Run
from pipeline.train import heads
from store.schemas import TRAIN, VALIDATION
from store.store import Snapshot


def rows_seen(snapshot: Snapshot, run: Run, rows: Rows) -> dict[str, int]:
    """How many rows have the bytes of an image that a run was trained on, or of one that chose its epoch or settings."""
    learned = run.kind != HEAD or heads.learns(run.head)
    return {
        "rows_trained_on": _seen(snapshot, run, rows, TRAIN) if learned else 0,
        "rows_selected_on": _seen(snapshot, run, rows, VALIDATION),
    }


def _seen(snapshot: Snapshot, run: Run, rows: Rows, split: str) -> int:
    """Count rows with the bytes of an image that influenced the run from a split: a later plan may have moved them."""
    began_with = Run.of_id(snapshot, run.finetuned_from) if run.finetuned_from else None
    runs = [one for one in (run, began_with) if one is not None]
    ids = [one.run_id for one in runs]
    if split == VALIDATION:
        ids += [chosen_by for one in runs if (chosen_by := one.settings.get("chosen_by"))]
    seen = snapshot.query("steps/evaluate/run_contents", run_ids=ids, split=split)["content_id"].to_pylist()
    return int(np.isin(rows.content_ids, seen).sum())
