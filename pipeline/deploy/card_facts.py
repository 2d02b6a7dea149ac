"""The facts about a run, from the store, for the card of an artefact."""

from __future__ import annotations

import importlib.metadata
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.deploy import cards
from pipeline.embed import feature_sets
from pipeline.ingest.pictures import ingested_max_pixels
from pipeline.runs import taxonomy
from pipeline.runs.evaluations import Evaluation
from pipeline.runs.judgement import values_by_id
from pipeline.runs.runs import FINETUNED, Run
from pipeline.train.classifier import Parts
from store.errors import ColdframeError
from store.rows import not_ours
from store.schemas import COMPUTED, FILE_FACTS, TRAIN
from store.store import Snapshot


def facts(snapshot: Snapshot, run: Run, parts: Parts, format: str, columns: Mapping[str, bool]) -> dict[str, Any]:
    """Everything on the card that is known before the artefact is run."""
    row = feature_sets.row_of(snapshot, run.embedders[0])
    weights = json.loads(row["source"]).get("weights") or "imagenet"
    if not isinstance(weights, str):
        raise not_ours(f"the source of the feature set {row['embedder']!r}", "its weights have no name")
    return {
        "coldframe": importlib.metadata.version("coldframe"),
        "format": format,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "run_id": run.run_id,
        "kind": run.kind,
        "head": run.head,
        "network": parts.network,
        "weights": Path(weights).name,
        "finetuned": _finetuned(snapshot, run),
        "size": list(parts.size),
        "max_pixels": min(ingested_max_pixels(snapshot), cards.MOST_PIXELS),
        "classes": list(run.classes),
        "taxonomy": _taxonomy(snapshot, run, columns),
        "training_images": snapshot.query("steps/runs/run_labels", run_id=run.run_id, split=TRAIN).num_rows,
        "evaluations": _evaluations(snapshot, run),
        "image_licences": _licences(snapshot, run),
        "versions": {name: importlib.metadata.version(name) for name in ("keras", "numpy", "pillow")},
    }


def columns_of(snapshot: Snapshot, run: Run, asked: Sequence[str]) -> dict[str, bool]:
    """The catalogue columns that an artefact of a run may carry.

    True for those asked for and those by which evaluations of the run were masked; False for those named like a taxonomic rank.
    No other column leaves the catalogue, because it may have columns about people.

    Raises:
        ColdframeError: a column asked for does not exist.
    """
    ours = {"image_id", "path", "label", *COMPUTED, *(name for name, _ in FILE_FACTS)}
    there = [one for one in snapshot.columns("images") if one not in ours]
    for one in asked:
        if one not in there:
            raise ColdframeError(f"--column {one}: no such column; columns: {', '.join(there) or 'none'}")
    masked = {Evaluation.parse(row["evaluation"]).masked_by for row in _evaluations(snapshot, run)}
    return {
        one: one in asked or one in masked for one in there if one in asked or one in masked or taxonomy.is_rank(one)
    }


def _taxonomy(snapshot: Snapshot, run: Run, columns: Mapping[str, bool]) -> dict[str, taxonomy.ByValue]:
    """For each of some columns, the classes that occur with each value. A column not asked for must group rows to be included."""
    types = snapshot.select("images").schema
    rows = snapshot.query("steps/runs/run_labels", run_id=run.run_id, split=TRAIN).num_rows
    found = {}
    for column, is_asked in columns.items():
        kind = types.field(column).type
        if not is_asked and not (pa.types.is_string(kind) or pa.types.is_boolean(kind)):
            continue
        by_value = taxonomy.of_column(snapshot, run, column)
        is_label = all(labels == [value] for value, labels in by_value.items())
        # a column with more values holds names rather than groups
        if by_value and (is_asked or (2 * len(by_value) <= rows and not is_label)):
            found[column] = by_value
    return found


def _finetuned(snapshot: Snapshot, run: Run) -> dict[str, Any] | None:
    """How fine-tuning changed the figures on validation rows; None for a run that is not fine-tuned."""
    if run.kind != FINETUNED:
        return None
    return snapshot.rows("steps/deploy/finetuned", run_id=run.run_id)[0]


def _evaluations(snapshot: Snapshot, run: Run) -> list[dict[str, Any]]:
    """The run's own figures that the store holds.

    Raises:
        StoreDamaged: one of their rows was not written by an evaluation.
    """
    rows = snapshot.rows("steps/deploy/all_evaluations_of", run_id=run.run_id)
    for row in rows:  # the columns have the right types
        if row["evaluation"] is None or row["split"] is None or row["rows"] is None or row["rows"] < 0:
            raise not_ours(f"the evaluations of the run {run.run_id}", "one is of no split, or of no rows")
    return [row for row in rows if Evaluation.parse(row["evaluation"]).exported_as is None]


def _licences(snapshot: Snapshot, run: Run) -> dict[str, int]:
    """How many training images have each licence, if the catalogue has a column of that name."""
    column = next((one for one in snapshot.columns("images") if one.casefold() in ("license", "licence")), None)
    if column is None:
        return {}
    value_of = values_by_id(snapshot, column)
    trained = snapshot.query("steps/runs/run_labels", run_id=run.run_id, split=TRAIN)["image_id"].to_pylist()
    return dict(sorted(Counter(value_of.get(one) or "not stated" for one in trained).items()))
