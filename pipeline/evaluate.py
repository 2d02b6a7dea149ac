"""Evaluate: a run on the rows of a split, as it is and masked by what is known of each row."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import feature_sets, features, metrics
from pipeline.features import Rows
from pipeline.frameworks import load_keras
from pipeline.plans import TRAIN, VALIDATION
from store.errors import ColdframeError
from store.schemas import SCHEMAS, as_text
from store.store import Snapshot, Store

PLAIN = "plain"
PREDICT_BATCH = 1024


@dataclass(frozen=True)
class Settings:
    """Which split, and the columns of the catalogue to mask by, each an evaluation of its own."""

    split: str = "test"
    mask_by: tuple[str, ...] = ()
    plan: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """Measures of a run on a split, with what has to be known to read them."""

    run_id: str
    evaluation: str
    split: str
    measures: metrics.Measures
    label_masked: int
    label_unseen: int
    rows_unmasked: int
    rows_trained_on: int
    without_vector: int


def find_run(snapshot: Snapshot, run_id: str | None) -> dict[str, Any]:
    """The run of an id or of the start of one, the newest of a name, or the newest of all.

    Raises:
        ColdframeError: no such run, or none yet.
    """
    runs = snapshot.rows("steps/train/runs")
    if not runs:
        raise ColdframeError("no run yet; 'coldframe train --head mlp' makes one")
    chosen = [run for run in runs if run_id is None or run["run_id"] == run_id]
    chosen = chosen or [run for run in runs if run["name"] == run_id or run["run_id"].startswith(run_id or "")]
    if not chosen:
        recent = ", ".join(run["run_id"] for run in runs[:5])
        raise ColdframeError(f"no run {run_id!r}; the newest are: {recent}")
    return chosen[0]


def evaluate(store: Store, run_id: str | None, settings: Settings) -> list[Evaluation]:
    """Predict every row of a split and store predictions and measures, plain and once per mask.

    Raises:
        ColdframeError: no such run, no rows in the split, or no such column.
    """
    started = time.monotonic()
    snapshot = store.snapshot()
    run = find_run(snapshot, run_id)
    plan = settings.plan or run["plan"]
    rows, missing = features.load(snapshot, plan, run["embedder"], [settings.split])
    if not len(rows):
        known = ", ".join(row["split"] for row in snapshot.rows("steps/train/split_sizes", plan=plan))
        raise ColdframeError(
            f"plan {plan!r} has no labelled rows with vectors in split {settings.split!r}; splits: {known}"
        )
    classes = np.array(run["classes"])
    probabilities = predict(snapshot, run, rows)
    trained_on = _trained_on(snapshot, run, rows) if settings.split != TRAIN else 0
    done: list[Evaluation] = []
    with store.commit("evaluate") as commit:
        for column in (None, *settings.mask_by):
            name = f"masked:{column}" if column else PLAIN
            masked = _mask(snapshot, run, rows, classes, probabilities, column)
            table, found = _predictions(run, name, rows, classes, masked.probabilities)
            measures = metrics.measure(
                rows.labels, table["predicted"].to_numpy(zero_copy_only=False).astype(str), found
            )
            one = Evaluation(
                run["run_id"],
                name,
                settings.split,
                measures,
                label_masked=masked.label_masked,
                label_unseen=int((~np.isin(rows.labels, classes)).sum()),
                rows_unmasked=masked.rows_unmasked,
                rows_trained_on=trained_on,
                without_vector=missing,
            )
            key = f"{run['run_id']}/{name}/{settings.split}"
            commit.replace("predictions", table, key=key)
            commit.replace("evaluations", _evaluation_row(one), key=key)
            done.append(one)
        commit.record_step(
            "evaluate",
            f"{run['name']}/{settings.split}",
            settings={**asdict(settings), "plan": plan},
            inputs=inputs_read(snapshot, run, settings),
            seconds=time.monotonic() - started,
            rows_in=len(rows),
            rows_out=len(rows),
        )
    return done


def inputs_read(snapshot: Snapshot, run: dict[str, Any], settings: Settings) -> dict[str, str]:
    """The run, and a digest of each column of the rows evaluated and of each column masked by."""
    plan = settings.plan or run["plan"]
    rows = snapshot.rows("steps/train/labelled_rows_digests", plan=plan, splits=[settings.split])
    inputs = {f"{row['name']} of plan {plan}": row["digest"] for row in rows}
    return inputs | {"run": run["run_id"]} | feature_sets.column_digests(snapshot, list(settings.mask_by))


def predict(snapshot: Snapshot, run: dict[str, Any], rows: Rows) -> metrics.Probabilities:
    """Class probabilities of each row, shape (n, classes), float64."""
    keras = load_keras()

    model = keras.saving.load_model(snapshot.file("models", run["run_id"]), compile=False)
    if model.input_shape[-1] != rows.matrix.shape[1]:
        raise ColdframeError(
            f"{run['run_id']} takes vectors of {model.input_shape[-1]} numbers, {run['embedder']} has {rows.matrix.shape[1]}: "
            "the feature set was made anew; train again"
        )
    return np.asarray(model.predict(rows.matrix, batch_size=PREDICT_BATCH, verbose=0), np.float64)


def _trained_on(snapshot: Snapshot, run: dict[str, Any], rows: Rows) -> int:
    """Rows with the bytes of an image the run was trained on: a later plan may have moved them."""
    seen = snapshot.query("steps/train/run_contents", run_id=run["run_id"], split=TRAIN)["content_id"].to_pylist()
    return int(np.isin(rows.content_ids, seen).sum())


@dataclass(frozen=True)
class _Masked:
    """Probabilities under a mask; rows whose label it rules out, and rows whose group training has not seen."""

    probabilities: metrics.Probabilities
    label_masked: int = 0
    rows_unmasked: int = 0


def _mask(
    snapshot: Snapshot,
    run: dict[str, Any],
    rows: Rows,
    classes: npt.NDArray[np.str_],
    probabilities: metrics.Probabilities,
    column: str | None,
) -> _Masked:
    """Rule out the classes that never occur with a row's value of ``column`` among the rows trained on."""
    if column is None:
        return _Masked(probabilities)
    columns = snapshot.columns("images")
    if column not in columns:
        raise ColdframeError(f"no column {column!r} to mask by; columns: {', '.join(columns)}")
    images = snapshot.select("images", "image_id", column)
    group_of = dict(zip(images["image_id"].to_pylist(), as_text(images[column]).to_pylist(), strict=True))
    trained = snapshot.query("steps/train/run_labels", run_id=run["run_id"], split=TRAIN)
    pairs = {
        (group_of[image_id], label)
        for image_id, label in zip(trained["image_id"].to_pylist(), trained["label"].to_pylist(), strict=True)
        if group_of.get(image_id) is not None
    }
    names = sorted({group for group, _ in pairs})
    number = {group: position for position, group in enumerate(names)}
    allowed = np.zeros((len(names), len(classes)), bool)
    for group, label in pairs:
        allowed[number[group], np.searchsorted(classes, label)] = True
    groups = np.array([number.get(group_of.get(image_id), -1) for image_id in rows.image_ids.tolist()], np.int64)
    targets = _targets(rows, classes)
    judged = (groups >= 0) & (targets >= 0)
    label_masked = int((~allowed[groups[judged], targets[judged]]).sum())
    return _Masked(metrics.mask(probabilities, groups, allowed), label_masked, int((groups < 0).sum()))


def _targets(rows: Rows, classes: npt.NDArray[np.str_]) -> metrics.Indices:
    found = np.searchsorted(classes, rows.labels).clip(max=len(classes) - 1)
    return np.where(classes[found] == rows.labels, found, -1)


def _predictions(
    run: dict[str, Any],
    name: str,
    rows: Rows,
    classes: npt.NDArray[np.str_],
    probabilities: metrics.Probabilities,
) -> tuple[pa.Table, metrics.Probabilities]:
    targets = _targets(rows, classes)
    found = metrics.probability_of(probabilities, targets)
    ranks = metrics.rank_of(probabilities, targets)
    table = pa.table(
        {
            "run_id": [run["run_id"]] * len(rows),
            "evaluation": [name] * len(rows),
            "image_id": rows.image_ids.tolist(),
            "split": rows.splits.tolist(),
            "label": rows.labels.tolist(),
            "predicted": classes[probabilities.argmax(axis=1)].tolist(),
            "probability": probabilities.max(axis=1),
            "label_probability": found,
            "rank": pa.array(ranks, pa.int32(), mask=ranks == 0),
        }
    )
    return table, found


def _evaluation_row(one: Evaluation) -> pa.Table:
    row = {**asdict(one), **asdict(one.measures), "created_at": datetime.now(UTC)}
    return pa.Table.from_pylist([{name: row[name] for name in SCHEMAS["evaluations"].names}], SCHEMAS["evaluations"])


def describe(one: Evaluation) -> list[str]:
    """What has to be said beside the figures, a sentence each."""
    notes = [f"F1 is over the {one.measures.classes} classes present in the {one.measures.rows} rows evaluated"]
    if one.measures.loss_capped:
        notes.append(f"{one.measures.loss_capped} rows gave their label almost no probability: their loss is capped")
    if one.label_unseen:
        notes.append(f"{one.label_unseen} rows are of classes without a training row: counted as errors")
    if one.label_masked:
        notes.append(f"{one.label_masked} rows have a label that the mask rules out: counted as errors, loss capped")
    if one.rows_unmasked:
        notes.append(f"{one.rows_unmasked} rows have a value not seen in training: left unmasked")
    if one.rows_trained_on:
        notes.append(
            f"{one.rows_trained_on} rows have the bytes of an image this run was trained on: the figures flatter"
        )
    if one.without_vector:
        notes.append(f"{one.without_vector} rows of the split have no vector and are not evaluated")
    if one.split == VALIDATION:
        notes.append("validation rows were carved out after filtering, so they are cleaner than test rows")
    return notes
