"""Figures: runs, their confusion matrices, and where two of them differ."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.look import asked
from pipeline.look.board import Board
from pipeline.look.groups import groups_of_labels, in_order
from pipeline.look.page import interval
from pipeline.look.session import Session
from store.errors import ColdframeError

MOST_CELLS = 5000
TYPICAL = 8
NO_FIGURES = {"images": 0, "recall": None, "precision": None, "f1": None}  # of a class that is only predicted
CURVES = ("epoch", "loss", "val_loss", "accuracy", "val_accuracy")


def runs(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """Every run, with its figures and its curves of training."""
    with session.board() as board:
        return {"runs": [_run(row) for row in board.snapshot.rows("steps/look/runs")]}


def _run(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run": row["run_id"],
        "name": row["name"],
        "kind": row["kind"],
        "head": row["head"],
        "embedder": row["embedder"],
        "plan": row["plan"],
        "created": str(row["created_at"]),
        "train_rows": row["train_rows"],
        "split": row["split"],
        "rows": row["rows"],
        "accuracy": _finite(row["accuracy"]),
        "interval": interval(row["accuracy_low"], row["accuracy_high"]),
        "f1": _finite(row["f1_macro"]),
        "history": _history(row["history"]),
    }


def _history(text: str | None) -> list[dict[str, float | None]]:
    """The curves of a run; none where they cannot be read, as in a store made by something else."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return []
    if isinstance(found, dict):
        lengths = [len(one) for one in found.values() if isinstance(one, list)]
        found = [
            {name: values[at] for name, values in found.items() if isinstance(values, list) and at < len(values)}
            for at in range(max(lengths, default=0))
        ]
    if not isinstance(found, list):
        return []
    epochs = [one for one in found if isinstance(one, dict)]
    return [
        {"epoch": at + 1} | {name: _finite(one[name]) for name in CURVES if name in one}
        for at, one in enumerate(epochs)
    ]


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def confusion(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """The confusion matrix of an evaluation of a run, and its figures by class."""
    with session.board() as board:
        run_id, chosen, every = _evaluation(board, given)
        where = {"run_id": run_id, "evaluation": chosen["evaluation"], "split": chosen["split"]}
        cells = board.snapshot.rows("steps/look/cells", **where)
        figures = {row["label"]: row for row in board.snapshot.rows("steps/look/per_class", **where)}
        labels = {*figures, *(row["predicted"] for row in cells)}
        groups = groups_of_labels(board.snapshot, sorted(labels))
        is_in = board.rules == None  # noqa: E711 (one by one)
        in_all, kept = Counter(board.labels[is_in]), Counter(board.labels[is_in & (board.splits == "train")])
        classes = [
            {
                "label": row["label"],
                "group": groups.of_label.get(row["label"]),
                "images": row["images"],
                "recall": _finite(row["recall"]),
                "precision": _finite(row["precision"]),
                "f1": _finite(row["f1"]),
                "train": kept[row["label"]],
                "kept": in_all[row["label"]],
            }
            for row in (figures.get(label, NO_FIGURES | {"label": label}) for label in in_order(sorted(labels), groups))
        ]
        return {
            "run": run_id,
            "evaluation": chosen["evaluation"],
            "split": chosen["split"],
            "rows": chosen["rows"],
            "accuracy": _finite(chosen["accuracy"]),
            "interval": interval(chosen["accuracy_low"], chosen["accuracy_high"]),
            "f1": _finite(chosen["f1_macro"]),
            "groups": sorted(set(groups.of_label.values())),
            "group_by": groups.column,
            "classes": classes,
            "cells": cells[:MOST_CELLS],
            "evaluations": list(dict.fromkeys(row["evaluation"] for row in every)),
        }


def _evaluation(board: Board, given: Mapping[str, Any]) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """The run and the evaluation that are asked for, and all of that run."""
    run_id = asked.text(given, "run")
    if not run_id:
        newest = board.snapshot.rows("steps/look/newest_evaluation")
        if not newest:
            raise ColdframeError("no run was evaluated yet: 'coldframe train', then 'coldframe evaluate'")
        run_id = newest[0]["run_id"]
    every = board.snapshot.rows("steps/look/evaluations", run_id=run_id)
    name, split = asked.text(given, "evaluation"), asked.text(given, "split")
    fitting = [row for row in every if name in ("", row["evaluation"]) and split in ("", row["split"])]
    if not fitting:
        raise ColdframeError(f"{run_id}: no such evaluation: 'coldframe evaluate' makes one")
    return run_id, fitting[0], every


def cell(board: Board, given: Mapping[str, Any]) -> dict[str, str]:
    """The images of one cell of a confusion matrix, with what the run says of each."""
    run_id, chosen, _ = _evaluation(board, given)
    where = {"run_id": run_id, "evaluation": chosen["evaluation"], "split": chosen["split"]}
    pair = {"label": asked.text(given, "label"), "predicted": asked.text(given, "predicted")}
    rows = board.snapshot.rows("steps/look/cell", **where, **pair)
    return {row["image_id"]: _said(row["predicted"], row["probability"], row["is_right"]) for row in rows}


def _said(predicted: str, probability: float | None, is_right: bool) -> str:
    """What a run says of a picture, in a few words; the figure first, since a caption may be cut."""
    sure = "" if probability is None else f"{100 * probability:.0f} %: "
    return f"{sure}found right" if is_right else f"{sure}taken for {predicted}"


def compare(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """How many pictures two runs get right: both, one alone, neither."""
    with session.board() as board:
        rows = _compared(board, given)
        counts = Counter((row["a_is_right"], row["b_is_right"]) for row in rows)
        return {
            "rows": len(rows),
            "both": counts[True, True],
            "only_a": counts[True, False],
            "only_b": counts[False, True],
            "neither": counts[False, False],
        }


def typical(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """Typical pictures of a class; without vectors, the first that the plan keeps."""
    label = asked.needed(given, "label")
    with session.board() as board:
        similar = session.similar(None)
        found = similar.typical(label) if similar else np.flatnonzero((board.labels == label) & (board.splits != None))  # noqa: E711
        return {"rows": [board.row(int(at)) for at in found[:TYPICAL]]}


def difference(board: Board, given: Mapping[str, Any]) -> dict[str, str]:
    """The images that one of two runs alone gets right, or neither, or both, with what the runs say of each."""
    kinds = {"both": (True, True), "only_a": (True, False), "only_b": (False, True), "neither": (False, False)}
    which = asked.needed(given, "which")
    if which not in kinds:
        raise ColdframeError(f"{which}: expected one of {', '.join(kinds)}")
    rows = _compared(board, given)
    found = [row for row in rows if (row["a_is_right"], row["b_is_right"]) == kinds[which]]
    return {row["image_id"]: _both_said(row) for row in found}


def _both_said(row: Mapping[str, Any]) -> str:
    """What two runs say of a picture: the error, where one of them alone errs."""
    first, second = (
        _said(row[f"{one}_predicted"], row[f"{one}_probability"], row[f"{one}_is_right"]) for one in ("a", "b")
    )
    if row["a_is_right"] != row["b_is_right"]:
        return second if row["a_is_right"] else first
    return first if first == second else f"{first}; {second}"


def _compared(board: Board, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    both = {name: asked.needed(given, name) for name in ("a", "b")}
    return board.snapshot.rows("steps/look/compared", **both)
