"""Keep a run: put what training has made into a commit."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.runs import judgement
from pipeline.runs.judgement import Judgement
from pipeline.runs.rows import Rows
from pipeline.runs.runs import name_in
from store.schemas import SCHEMAS
from store.store import Commit

LIBRARIES = ("coldframe", "keras", "tensorflow", "torch", "numpy", "scikit-learn", "duckdb", "pyarrow", "pillow")


@dataclass(frozen=True)
class Outcome:
    """A trained run, and its out-of-fold judgement if folds were asked for; ``by_epoch``: the weights are those of its best
    epoch, not of its last."""

    run_id: str
    train_rows: int
    val_rows: int
    classes: int
    history: dict[str, list[float]]
    seconds: float
    notes: tuple[str, ...]
    by_epoch: bool = False
    folds: Judgement | None = None

    @property
    def epochs(self) -> int:
        """Passes over the training rows; 0 for a head that is not trained so."""
        return len(self.history.get("loss", []))

    def kept(self, measure: str) -> float | None:
        """A measure at the epoch whose weights were kept: that of the least validation loss, or training loss without it."""
        values = self.history.get(measure)
        if not values:
            return None
        watched = self.history.get("val_loss", self.history["loss"])
        return values[int(np.argmin(watched)) if self.by_epoch else -1]


def keep(
    commit: Commit,
    run_id: str,
    created_at: datetime,
    facts: Mapping[str, Any],
    *,
    file: bytes,
    suffix: str,
    settings: Mapping[str, Any],
    history: Mapping[str, list[float]],
    seen: Sequence[Rows],
    judgements: Sequence[Judgement] = (),
) -> None:
    """Put a run into a commit.

    Args:
        facts: the columns of ``runs`` that only its maker knows.
        file: the trained head or network.
        seen: the rows it learned from, then those that had another say in it.
        judgements: evaluations that came with its making.
    """
    row = {
        **dict.fromkeys(SCHEMAS["runs"].names),
        **facts,
        "run_id": run_id,
        "created_at": created_at,
        "name": name_in(run_id),
        "train_rows": len(seen[0]),
        "val_rows": sum(len(rows) for rows in seen[1:]),
        "epochs": len(history.get("loss", [])),
        "settings": json.dumps(settings, sort_keys=True),
        "history": json.dumps(history),
        "versions": json.dumps(_versions()),
    }
    commit.add_file("models", file, key=run_id, suffix=suffix)
    commit.append("runs", pa.Table.from_pylist([row], SCHEMAS["runs"]), key=run_id)
    commit.append("run_rows", _rows(run_id, seen), key=run_id)
    for one in judgements:
        judgement.keep_judgement(commit, one)


def _rows(run_id: str, seen: Sequence[Rows]) -> pa.Table:
    columns = {
        name: np.concatenate([getattr(rows, attribute) for rows in seen]).tolist()
        for name, attribute in (
            ("image_id", "image_ids"),
            ("content_id", "content_ids"),
            ("label", "labels"),
            ("split", "splits"),
        )
    }
    return pa.table({"run_id": [run_id] * len(columns["image_id"]), **columns}, SCHEMAS["run_rows"])


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}
