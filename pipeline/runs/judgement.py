"""Judgement: turns class probabilities of rows into predictions, figures, and the notes needed to read them."""

from __future__ import annotations

import difflib
import unicodedata
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.runs import metrics
from pipeline.runs.rows import Rows
from store.commits import Commit
from store.errors import ColdframeError
from store.schemas import SCHEMAS, TRAIN, VALIDATION, as_text
from store.store import Snapshot

SHOWN = 5  # classes that a note names
CLOSE = 0.75  # how alike two names are, of 1, if one may be a slip for the other


@dataclass(frozen=True)
class Judgement:
    """An evaluation of a run on the rows of a split: figures, predictions, and the notes that belong with them.

    ``rows_trained_on`` and ``rows_selected_on`` count rows with the same bytes as an image that the run learned from, or that
    chose its epoch or settings. ``classes_absent`` are classes that the run knows but no row has.
    """

    run_id: str
    evaluation: str
    split: str
    measures: metrics.Measures
    intervals: metrics.Intervals
    top5: float
    calibration_error: float
    predictions: pa.Table
    label_masked: int
    label_unseen: int
    labels_unseen: str
    rows_unmasked: int
    rows_trained_on: int
    rows_selected_on: int
    without_vector: dict[str, int]
    without_view: int
    classes_absent: tuple[str, ...]

    @property
    def key(self) -> str:
        """The key of the store's slice that holds it."""
        return f"{self.run_id}/{self.evaluation}/{self.split}"

    def row(self) -> dict[str, Any]:
        """The row for ``evaluations``."""
        return {
            **{name: getattr(self, name) for name in SCHEMAS["evaluations"].names if hasattr(self, name)},
            **asdict(self.measures),
            **_intervals(self.intervals),
            "created_at": datetime.now(UTC),
        }


def targets(labels: npt.NDArray[np.str_], classes: npt.NDArray[np.str_]) -> metrics.Indices:
    """The position of each label in ``classes``, which ascend; -1 if it is not there."""
    found = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    return np.where(classes[found] == labels, found, -1)


def unseen(labels: npt.NDArray[np.str_], classes: npt.NDArray[np.str_]) -> str:
    """Some of ``labels`` (n,), each with the class that is written the most like it, if one is."""
    names = np.unique(labels).tolist()
    by_key = {_spelt(one): one for one in classes.tolist()} if names else {}
    told = []
    for name in names[:SHOWN]:
        close = difflib.get_close_matches(_spelt(name), by_key, 1, CLOSE)
        told.append(f"{name} (did you mean {by_key[close[0]]}?)" if close else name)
    return ", ".join(told) + (f", … ({len(names)} in all)" if len(names) > SHOWN else "")


def _spelt(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()


def judge(
    run_id: str,
    evaluation: str,
    rows: Rows,
    units: metrics.Indices,
    classes: npt.NDArray[np.str_],
    probabilities: metrics.Probabilities,
    *,
    label_masked: int = 0,
    rows_unmasked: int = 0,
    rows_trained_on: int = 0,
    rows_selected_on: int = 0,
) -> Judgement:
    """Evaluate probabilities (n, classes) of rows of one split.

    Raises:
        ColdframeError: one is no finite number.
    """
    usable = np.isfinite(probabilities).all(axis=1)
    if not usable.all():
        raise ColdframeError(
            f"{run_id}: its model gives {int((~usable).sum())} of {len(rows)} rows probabilities that are not finite, such as "
            f"{rows.image_ids[~usable][0]}: the numbers in the model, or in the vectors, are too large; train again"
        )
    own = targets(rows.labels, classes)
    of_label, ranks = metrics.probability_of(probabilities, own), metrics.rank_of(probabilities, own)
    predicted, best = classes[probabilities.argmax(axis=1)], probabilities.max(axis=1)
    table = pa.table(
        {
            "run_id": [run_id] * len(rows),
            "evaluation": [evaluation] * len(rows),
            "image_id": rows.image_ids.tolist(),
            "split": rows.splits.tolist(),
            "label": rows.labels.tolist(),
            "predicted": predicted.tolist(),
            "probability": best,
            "label_probability": of_label,
            "rank": pa.array(ranks, pa.int32(), mask=ranks == 0),
        }
    )
    return Judgement(
        run_id=run_id,
        evaluation=evaluation,
        split=str(rows.splits[0]),
        measures=metrics.measure(rows.labels, predicted, of_label),
        intervals=metrics.intervals(rows.labels, predicted, units),
        top5=metrics.top_k(ranks),
        calibration_error=metrics.calibration_error(best, predicted == rows.labels),
        predictions=table,
        label_masked=label_masked,
        label_unseen=int((own < 0).sum()),
        labels_unseen=unseen(rows.labels[own < 0], classes),
        rows_unmasked=rows_unmasked,
        rows_trained_on=rows_trained_on,
        rows_selected_on=rows_selected_on,
        without_vector=rows.without_vector,
        without_view=rows.without_view,
        classes_absent=tuple(classes[~np.isin(classes, rows.labels)].tolist()),
    )


def keep_judgement(commit: Commit, judgement: Judgement) -> None:
    """Add a judgement to a commit; it replaces an earlier one of the same run, evaluation and split."""
    commit.replace("predictions", judgement.predictions, key=judgement.key)
    commit.replace("evaluations", pa.Table.from_pylist([judgement.row()], SCHEMAS["evaluations"]), key=judgement.key)


def by_group(
    snapshot: Snapshot, judgement: Judgement, rows: Rows, units: metrics.Indices, column: str
) -> list[dict[str, Any]]:
    """The figures for each value of a catalogue column, in the form of ``group_evaluations``. F1 covers the classes present among
    a value's rows."""
    values = values_of(snapshot, rows, column)
    predictions = judgement.predictions
    predicted = predictions["predicted"].to_numpy(zero_copy_only=False).astype(str)
    best, of_label = predictions["probability"].to_numpy(), predictions["label_probability"].to_numpy()
    ranks = predictions["rank"].fill_null(0).to_numpy()
    found = []
    for value in sorted(set(values), key=lambda value: (value is None, value or "")):
        here = np.array([one == value for one in values])
        measures = metrics.measure(rows.labels[here], predicted[here], of_label[here])
        found.append(
            {
                "run_id": judgement.run_id,
                "evaluation": judgement.evaluation,
                "split": judgement.split,
                "column": column,
                "value": value,
                **{name: getattr(measures, name) for name in ("rows", "classes", "accuracy", "f1_macro", "loss")},
                **_intervals(metrics.intervals(rows.labels[here], predicted[here], units[here])),
                "top5": metrics.top_k(ranks[here]),
                "calibration_error": metrics.calibration_error(best[here], (predicted == rows.labels)[here]),
            }
        )
    return found


def values_of(snapshot: Snapshot, rows: Rows, column: str) -> list[str | None]:
    """The value of a catalogue column for each row, as text."""
    value_of = values_by_id(snapshot, column)
    return [value_of.get(image_id) for image_id in rows.image_ids.tolist()]


def values_by_id(snapshot: Snapshot, column: str) -> dict[str, str | None]:
    """The values of a catalogue column, as text, by image id."""
    images = snapshot.select("images", "image_id", column)
    return dict(zip(images["image_id"].to_pylist(), as_text(images[column]).to_pylist(), strict=True))


def _intervals(found: metrics.Intervals) -> dict[str, float | None]:
    f1 = found.f1_macro
    return {
        "accuracy_low": found.accuracy.low,
        "accuracy_high": found.accuracy.high,
        "f1_macro_low": None if f1 is None else f1.low,
        "f1_macro_high": None if f1 is None else f1.high,
    }


def describe(one: Judgement) -> list[str]:
    """The notes that belong with the figures, one sentence each."""
    measures = one.measures
    notes = [
        f"F1 is over the {measures.classes} classes present in the {measures.rows} rows evaluated; {metrics.METHOD}"
    ]
    if one.intervals.f1_macro is None:
        notes.append("macro F1 has no interval: these rows do not show how it would vary")
    if one.classes_absent:
        shown = ", ".join(one.classes_absent[:5]) + (", …" if len(one.classes_absent) > 5 else "")
        notes.append(f"{len(one.classes_absent)} classes of the run have no row here and are in no figure: {shown}")
    if measures.loss_capped:
        notes.append(f"{measures.loss_capped} rows gave their label almost no probability: their loss is capped")
    if one.label_unseen:
        notes.append(
            f"{one.label_unseen} rows are of classes without a training row, counted as errors: {one.labels_unseen}"
        )
    if one.label_masked:
        notes.append(f"{one.label_masked} rows have a label that the mask rules out: counted as errors, loss capped")
    if one.rows_unmasked:
        notes.append(f"{one.rows_unmasked} rows have a value not seen in training: left unmasked")
    if one.rows_trained_on:
        notes.append(
            f"{one.rows_trained_on} rows have the bytes of an image this run was trained on: the figures are too optimistic"
        )
    if one.rows_selected_on:
        notes.append(
            f"{one.rows_selected_on} rows have the bytes of an image that chose this run's epoch or settings: the figures are "
            "too optimistic"
        )
    for name, count in one.without_vector.items():
        notes.append(f"{count} rows of the split have no vector in {name} and are not evaluated")
    if one.without_view:
        notes.append(f"{one.without_view} rows lack augmented views: the original image is used for those")
    if one.split == VALIDATION:
        notes.append("validation rows were carved out after filtering, so they are cleaner than test rows")
    if one.split == TRAIN and one.evaluation.startswith("folds"):
        notes.append(
            "each row was predicted by a head that had not seen its unit; training rows are filtered, so cleaner than test rows"
        )
    return notes
