"""The leaderboard: runs side by side, or two of them compared on the rows that both have predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.curate import units
from pipeline.runs import metrics
from pipeline.runs.evaluations import Evaluation
from pipeline.runs.runs import Run
from pipeline.steps import hints
from pipeline.train import heads
from store.errors import ColdframeError
from store.schemas import as_text
from store.store import Snapshot

DEFAULT_SORT = "created_at"
Texts = npt.NDArray[np.str_]
SEEN_COLUMNS = ("rows_trained_on", "rows_selected_on")


@dataclass(frozen=True)
class Selection:
    """Which rows of a leaderboard, in which order. Rows are kept if they have these values, compared as text. Rows without a
    value of ``sort`` come last."""

    where: Mapping[str, str] = field(default_factory=dict)
    sort: str | None = None
    ascending: bool = False

    def of(self, table: pa.Table) -> pa.Table:
        """The selected rows of a table.

        Raises:
            ColdframeError: there is no such column.
        """
        for column in (*self.where, *([self.sort] if self.sort else [])):
            if column not in table.column_names:
                raise ColdframeError(f"runs have no column {column!r}; columns: {', '.join(table.column_names)}")
        for column, value in self.where.items():
            table = table.filter(pc.equal(as_text(table[column]), value))
        key = (self.sort or DEFAULT_SORT, "ascending" if self.ascending else "descending", "at_end")
        return table.take(pc.sort_indices(table, sort_keys=[key]))


def board(snapshot: Snapshot, *, split: str, evaluation: str, selection: Selection) -> tuple[pa.Table, list[str]]:
    """One row per run with its figures of one evaluation on a split, and notes on them."""
    table = selection.of(snapshot.query("steps/evaluate/leaderboard", split=split, evaluation=evaluation))
    notes = [
        f"{_figures(split, evaluation)}; _low and _high are {metrics.METHOD}. Evaluations by an earlier version keep the "
        "intervals they were made with: evaluate again",
        *_too_optimistic(table),
    ]
    without = table["accuracy"].null_count
    if without:
        notes.append(f"{without} runs have no such evaluation: {hints.command('evaluate', 'RUN', '--split', split)}")
    return table, notes


def by_seeds(snapshot: Snapshot, *, split: str, evaluation: str, selection: Selection) -> tuple[pa.Table, list[str]]:
    """One row per settings, with mean and spread over its seeds (each seed is one measurement), and notes on them."""
    undrawn = [name for name in heads.names() if not heads.draws(name)]
    name = "steps/evaluate/leaderboard_by_seeds"
    table = selection.of(snapshot.query(name, split=split, evaluation=evaluation, undrawn=undrawn))
    notes = [
        _figures(split, evaluation),
        "deviation and range are between seeds on the same rows, so seeds are no larger sample",
        *_too_optimistic(table),
    ]
    if any(head in undrawn for head in table["head"].to_pylist()):
        notes.append(
            f"{', '.join(undrawn)} draw nothing at random: their seeds are one measurement, without a deviation"
        )
    differing = int(pc.sum(pc.greater(table["row_sets"], 1)).as_py() or 0)
    if differing:
        notes.append(
            f"{differing} of these have seeds evaluated on other rows or labels (column row_sets above 1): evaluate them "
            "again before comparing seeds"
        )
    return table, notes


def _figures(split: str, evaluation: str) -> str:
    return f"figures of {evaluation} on {split}; macro F1 is over the f1_classes classes that occur among its rows"


def _too_optimistic(table: pa.Table) -> list[str]:
    trained, selected = (int(pc.sum(pc.greater(table[name].fill_null(0), 0)).as_py() or 0) for name in SEEN_COLUMNS)
    if not trained + selected:
        return []
    return [
        f"{trained} runs were trained on some of these rows and {selected} chose their epoch or settings by some: their figures "
        "are too optimistic (columns rows_trained_on, rows_selected_on)"
    ]


def compare(snapshot: Snapshot, first: str, second: str, *, split: str, evaluation: str) -> tuple[pa.Table, list[str]]:
    """Two runs compared on the rows that both have predicted, and notes on the table.

    The table gives the figures of each, and their paired differences (the first less the second) with intervals.

    Raises:
        ColdframeError: there is no such run, or no rows in common.
    """
    runs = [Run.find(snapshot, name) for name in (first, second)]
    common = _in_common(snapshot, runs, split=split, evaluation=evaluation)
    plan = Evaluation.parse(evaluation).plan or runs[0].plan
    unit = units.of_rows(snapshot, plan, common.image_ids)
    found = metrics.paired(common.labels, *common.predicted, unit)
    notes = [
        f"first is {runs[0].run_id}, second {runs[1].run_id}; {evaluation} on {found.rows} common rows of {split}, "
        f"macro F1 over {found.classes} classes",
        f"only the first is right on {found.only_first_right} rows, only the second on {found.only_second_right}; McNemar's "
        f"exact p = {found.p_value:.3g}, which takes rows for independent; the intervals are of "
        f"units that plan {plan!r} keeps together",
    ]
    for run in runs:
        key = {"run_id": run.run_id, "split": split, "evaluations": [evaluation]}
        for row in snapshot.rows("steps/evaluate/evaluations_of", **key):
            for name, what in zip(SEEN_COLUMNS, ("it was trained on", "chose its epoch or settings"), strict=True):
                if row[name]:
                    notes.append(
                        f"{row[name]} rows of {run.run_id} are rows that {what}: its figures are too optimistic"
                    )
    if common.of_one:
        notes.append(f"{common.of_one} rows that only one of them predicted are left out")
    if common.relabelled:
        notes.append(f"{common.relabelled} rows had another label when the other run was evaluated and are left out")
    return _differences(common, found), notes


@dataclass(frozen=True)
class _Common:
    """Rows that two runs have predicted with the same label, and how many other rows each of them has."""

    image_ids: Texts
    labels: Texts
    predicted: tuple[Texts, Texts]
    of_one: int
    relabelled: int


def _in_common(snapshot: Snapshot, runs: Sequence[Run], *, split: str, evaluation: str) -> _Common:
    """Raises:
    ColdframeError: a run has no such predictions, or the two have no rows, or none with the same label, in common.
    """
    both = []
    for run in runs:
        rows = snapshot.query("steps/evaluate/predictions_of", run_id=run.run_id, evaluation=evaluation, split=split)
        if not len(rows):
            raise ColdframeError(
                f"{run.run_id} has no predictions of {evaluation} on {split}: "
                f"{hints.command('evaluate', run.run_id, '--split', split)} makes them"
            )
        both.append(rows)
    ids, labels, predicted = ([_texts(rows, name) for rows in both] for name in ("image_id", "label", "predicted"))
    common, *at = np.intersect1d(ids[0], ids[1], return_indices=True)
    if not len(common):
        raise ColdframeError(f"{runs[0].run_id} and {runs[1].run_id} have predicted no row of {split} in common")
    labels, predicted = (
        [column[places] for column, places in zip(one, at, strict=True)] for one in (labels, predicted)
    )
    same = labels[0] == labels[1]
    if not same.any():
        raise ColdframeError(
            f"all {len(common)} rows of {split} that both have predicted had another label when the other was evaluated: "
            "'coldframe evaluate' both again"
        )
    return _Common(
        common[same],
        labels[0][same],
        (predicted[0][same], predicted[1][same]),
        of_one=len(ids[0]) + len(ids[1]) - 2 * len(common),
        relabelled=int((~same).sum()),
    )


def _texts(rows: pa.Table, name: str) -> Texts:
    values: Texts = rows[name].to_numpy(zero_copy_only=False).astype(str)
    return values


def _differences(common: _Common, found: metrics.Paired) -> pa.Table:
    """A row for each measure: the first run's value, the second's, and the difference with its interval."""
    accuracy = [float(np.mean(one == common.labels)) for one in common.predicted]
    f1 = [found.f1_macro_first, found.f1_macro_first - found.f1_macro_difference]
    rows = (
        ("accuracy", accuracy, found.accuracy_difference, found.accuracy),
        ("f1_macro", f1, found.f1_macro_difference, found.f1_macro),
    )
    return pa.Table.from_pylist(
        [
            {
                "measure": measure,
                "first": of_each[0],
                "second": of_each[1],
                "difference": difference,
                "difference_low": None if interval is None else interval.low,
                "difference_high": None if interval is None else interval.high,
            }
            for measure, of_each, difference, interval in rows
        ]
    )
