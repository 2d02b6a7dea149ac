"""Keep a run: store the result of training as a run, with the record of its step."""

from __future__ import annotations

import importlib.metadata
import io
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.runs import judgement
from pipeline.runs.judgement import Judgement
from pipeline.runs.rows import Rows
from pipeline.runs.runs import name_in
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from store.store import Store

LIBRARIES = ("coldframe", "keras", "tensorflow", "torch", "numpy", "scikit-learn", "duckdb", "pyarrow", "pillow")


@dataclass(frozen=True)
class Made:
    """The result of training.

    Attributes:
        facts: the columns of ``runs`` that only the trainer knows.
        file, suffix: the trained head or network, and its file name suffix in the store.
        settings: the settings that were used, which may be more than those asked for.
        history: for each measure, one value per epoch.
        seen: the rows it learned from, then rows that influenced it in another way.
        seconds: wall time, without the commit.
        judgements: evaluations made during training.
    """

    run_id: str
    created_at: datetime
    facts: Mapping[str, Any]
    file: bytes
    suffix: str
    settings: Mapping[str, Any]
    history: Mapping[str, list[float]]
    seen: Sequence[Rows]
    seconds: float
    judgements: Sequence[Judgement] = ()

    @property
    def train_rows(self) -> int:
        """How many rows it learned from."""
        return len(self.seen[0])

    @property
    def val_rows(self) -> int:
        """How many other rows influenced it."""
        return sum(len(rows) for rows in self.seen[1:])


@dataclass(frozen=True)
class Outcome:
    """A trained run, and its out-of-fold judgement if folds were asked for. ``by_epoch``: the weights are those of its best
    epoch, not its last."""

    run_id: str
    train_rows: int
    val_rows: int
    classes: int
    history: dict[str, list[float]]
    seconds: float
    notes: tuple[str, ...]
    by_epoch: bool = False
    folds: Judgement | None = None

    @classmethod
    def of(cls, made: Made, notes: Iterable[str], *, by_epoch: bool) -> Outcome:
        """The outcome of a run that training has made."""
        return cls(
            made.run_id,
            made.train_rows,
            made.val_rows,
            len(made.facts["classes"]),
            dict(made.history),
            made.seconds,
            tuple(notes),
            by_epoch,
            made.judgements[0] if made.judgements else None,
        )

    @property
    def epochs(self) -> int:
        """Passes over the training rows; 0 for a head that is not trained in epochs."""
        return len(self.history.get("loss", []))

    def kept(self, measure: str) -> float | None:
        """A measure at the epoch whose weights were kept: the least validation loss, or training loss if there is none."""
        values = self.history.get(measure)
        if not values:
            return None
        watched = self.history.get("val_loss", self.history["loss"])
        return values[int(np.argmin(watched)) if self.by_epoch else -1]


def keep(store: Store, step: str, made: Made, *, asked: dict[str, Any], inputs: dict[str, str]) -> None:
    """Commit a run with the record of the step that made it: the settings asked for, and the inputs read.

    Raises:
        ColdframeError: its training diverged: a loss or a weight is not finite.
    """
    _check_finite(made)
    with store.commit(step) as commit:
        commit.add_file("models", made.file, key=made.run_id, suffix=made.suffix)
        commit.append("runs", pa.Table.from_pylist([_row(made)], SCHEMAS["runs"]), key=made.run_id)
        commit.append("run_rows", _rows(made.run_id, made.seen), key=made.run_id)
        for one in made.judgements:
            judgement.keep_judgement(commit, one)
        commit.record_step(
            step,
            name_in(made.run_id),
            settings=asked,
            inputs=inputs,
            seconds=made.seconds,
            rows_in=made.train_rows + made.val_rows,
            rows_out=made.train_rows,
        )


def _check_finite(made: Made) -> None:
    wrong = [name for name in ("loss", "val_loss") if not np.isfinite(made.history.get(name, [])).all()]
    if made.suffix == ".npz":  # a network checks its own
        with np.load(io.BytesIO(made.file)) as held:
            wrong += [
                name.removeprefix("head/")
                for name in held.files
                if held[name].dtype.kind == "f" and not np.isfinite(held[name]).all()
            ]
    if wrong:
        rate = made.settings.get("learning_rate")
        way_out = f"try a learning rate below {rate:g}" if rate else "look at the vectors, and try other settings"
        raise ColdframeError(f"training diverged ({wrong[0]} is not finite), so the run is not stored: {way_out}")


def _row(made: Made) -> dict[str, Any]:
    return {
        **dict.fromkeys(SCHEMAS["runs"].names),
        **made.facts,
        "run_id": made.run_id,
        "created_at": made.created_at,
        "name": name_in(made.run_id),
        "train_rows": made.train_rows,
        "val_rows": made.val_rows,
        "epochs": len(made.history.get("loss", [])),
        "seconds": made.seconds,
        "settings": json.dumps(made.settings, sort_keys=True),
        "history": json.dumps(made.history),
        "versions": json.dumps(_versions()),
    }


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
