"""Telling: what is known of one picture, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.curate.why import tell, tell_copy
from pipeline.look.board import Board
from pipeline.look.queues import DOUBT, number

PLAIN = "plain"
RUNS = 3  # the newest, in sentences


def headline(board: Board, at: int, queue: str = "", predicted: str = "") -> str:
    """One sentence on why a picture is worth a look.

    Args:
        queue: the list in which it is looked at.
        predicted: the class that a run took it for, in a list of such pictures.
    """
    label = board.labels[at]
    filed = f"filed as {label}" if label is not None else "not labelled"
    if board.verdicts[at] is not None:
        said = {"keep": "You keep it", "drop": "You drop it", "relabel": "You gave it its label"}[board.verdicts[at]]
        return f"{said}; {filed}."
    about = board.queues.get(queue)
    is_there = about is not None and at in about.places
    if about is not None and is_there and about.suggest is not None:
        predicted = about.suggest(at) or predicted
    if predicted and predicted != label:
        return f"{_capital(filed)}, taken for {predicted}."
    suggested = board.suggested[at]
    if (about is None or about.key == DOUBT) and suggested not in (None, label):
        return f"Looks like {suggested}, {filed}: {board.evidence[at]}."
    note = about.note(at) if about is not None and is_there else board.note(at)
    return f"{_capital(filed)}{'; ' + note if note else ''}."


def sentences(board: Board, at: int, known: Mapping[str, Any]) -> list[str]:
    """Why a picture is in or out of the plan that is shown, what the newest runs say of it, and its copies."""
    copies = [f"{_capital(tell_copy(row, board.ids[at]))}." for row in known["copies"]]
    return [*_place(board, at), *_said_by_runs(board.labels[at], known), *copies]


def details(known: Mapping[str, Any]) -> list[str]:
    """All of it, as ``coldframe why`` tells it: every plan, score and evaluation."""
    standing = [row for row in known["verdicts"] if row["stands"] and row["verdict"] != "unset"]
    image = {"image_id": known["image"]["image_id"]}  # its facts are shown elsewhere
    return [_capital(line) for line in tell({**known, "image": image, "verdicts": standing})[1:]]


def _place(board: Board, at: int) -> Iterator[str]:
    rule, split = board.rules[at], board.splits[at]
    if rule == "verdict":
        yield "Out: a person dropped it."
    elif rule is not None:
        value, limit = board.values[at], board.thresholds[at]
        measured = f": {number(value)}" if value is not None else ""
        measured += f", where the limit is {number(limit)}" if measured and limit is not None else ""
        yield f"Out by the rule {rule}{measured}."
    elif split is not None:
        yield f"Kept, in the split {split}."
    elif board.plan is None:
        yield "There is no plan yet: 'coldframe filter' or 'coldframe split' makes one."
    else:
        yield f"Not in the plan {board.plan} yet: a replay takes it up."


def _said_by_runs(label: str | None, known: Mapping[str, Any]) -> Iterator[str]:
    plain = [row for row in known["predictions"] if row["evaluation"] == PLAIN and row["probability"] is not None]
    for row in plain[:RUNS]:
        name = row["name"] or row["run_id"]
        share = f"{100 * row['probability']:.0f} %"
        if row["predicted"] == label:
            yield f"The run {name} gets it right, at {share}."
        else:
            own = row["label_probability"]
            less = f", and gives {row['label']} {100 * own:.0f} %" if own is not None else ""
            yield f"The run {name} takes it for {row['predicted']} at {share}{less}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
