"""Queues: lists of pictures that are worth a look, each in an order, with a line on each picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pipeline.look.board import Board

Positions = npt.NDArray[np.int64]

LEAST_WANTED = 0.5  # of the probability of all ImageNet classes: a picture with less is off topic
DOUBT = "doubt"
KEYS = (DOUBT, "off-topic", "misclassified", "narrowly-in", "narrowly-out", "copies")
RULE = "rule:"  # before the name of a rule, for the queue of what it takes out
NARROW = 200  # pictures on each side of a threshold, at most
NEAR = 0.25  # the share of what a rule takes out that counts as close to its threshold


@dataclass(frozen=True)
class Queue:
    """A list of pictures.

    Attributes:
        note: a line on the picture at a position.
        stack_of: by position, for a list in which pictures that belong together follow each other.
        suggest: the class that the picture at a position may belong to.
    """

    key: str
    title: str
    about: str
    positions: Positions
    note: Callable[[int], str]
    stack_of: Mapping[int, int] = field(default_factory=dict)
    suggest: Callable[[int], str | None] | None = None

    @cached_property
    def places(self) -> frozenset[int]:
        """The positions, to be looked up."""
        return frozenset(self.positions.tolist())

    @property
    def stacks(self) -> bool:
        """Whether pictures that belong together follow each other."""
        return bool(self.stack_of)


def queues(board: Board, columns: Mapping[str, npt.NDArray[np.object_]]) -> Iterator[Queue]:
    """The queues that have pictures, in the order in which they are worth a look."""
    distances = _near(board)
    made = [
        _doubted(board),
        _off_topic(board, columns),
        _misclassified(board),
        _narrowly_in(board, distances),
        _narrowly_out(board, distances),
        *_by_rule(board),
        _copies(board),
    ]
    yield from (one for one in made if one is not None and len(one.positions))


def number(value: Any) -> str:
    """A number as a person reads it."""
    return f"{value:.3g}"


def _doubted(board: Board) -> Queue:
    has = [at for at, one in enumerate(board.suggested) if one is not None and board.doubts[at] is not None]
    order = sorted(has, key=lambda at: (-board.doubts[at], board.ids[at]))
    return Queue(
        DOUBT,
        "Neighbours disagree",
        "The pictures most like it are filed under another class. The most doubtful come first.",
        np.array(order, np.int64),
        lambda at: board.evidence[at] or "",
    )


def _off_topic(board: Board, columns: Mapping[str, npt.NDArray[np.object_]]) -> Queue:
    wanted, quality = columns["imagenet"], columns["clip_quality"]

    def worst(at: int) -> float:
        return min(
            (1.0 if wanted[at] is None else wanted[at] / LEAST_WANTED),
            1.0 if quality[at] is None else 1.0 + quality[at],
        )

    def note(at: int) -> str:
        parts = [] if wanted[at] is None else [f"ImageNet sees {100 * wanted[at]:.0f} % wanted"]
        return ", ".join([*parts, *([] if quality[at] is None else [f"CLIP quality {number(quality[at])}"])])

    return Queue(
        "off-topic",
        "Off topic",
        "The networks see something other than the catalogue's subject. The surest come first.",
        np.array(
            sorted((at for at in range(len(board.ids)) if worst(at) < 1.0), key=lambda at: (worst(at), board.ids[at])),
            np.int64,
        ),
        note,
    )


def _misclassified(board: Board) -> Queue | None:
    newest = board.snapshot.rows("steps/look/newest_evaluation")
    if not newest:
        return None
    rows = board.snapshot.rows("steps/look/misclassified", **newest[0])
    said = {board.place[row["image_id"]]: row for row in rows if row["image_id"] in board.place}
    return Queue(
        "misclassified",
        "Misclassified",
        "The newest run that was evaluated gets them wrong. The surest errors come first.",
        np.array(list(said), np.int64),
        lambda at: f"{100 * said[at]['probability']:.0f} % {said[at]['predicted']}",
        suggest=lambda at: str(said[at]["predicted"]),
    )


def _narrowly_in(board: Board, distances: Mapping[str, float]) -> Queue | None:
    if board.plan is None:
        return None
    rows = board.snapshot.rows("steps/look/near_threshold", plan=board.plan, most=NARROW)
    said: dict[int, str] = {}
    for row in rows:
        at = board.place.get(row["image_id"])
        if at is not None and abs(row["value"] - row["threshold"]) <= distances.get(row["rule"], 0.0):
            said.setdefault(at, f"{number(row['value'])}, the limit of {row['rule']} is {number(row['threshold'])}")
    return Queue(
        "narrowly-in",
        "Narrowly in",
        "Kept, but close to the limit of a rule that goes by scores. The closest come first.",
        np.array(list(said), np.int64),
        said.__getitem__,
    )


def _narrowly_out(board: Board, distances: Mapping[str, float]) -> Queue:
    near: dict[int, float] = {}
    for at in range(len(board.ids)):
        if board.values[at] is not None and board.thresholds[at] is not None:
            distance, most = _beyond(board, at), distances[str(board.rules[at])]
            if distance <= most:
                near[at] = distance / most if most else 0.0
    order = sorted(near, key=lambda at: (near[at], board.ids[at]))
    return Queue(
        "narrowly-out",
        "Narrowly out",
        "Taken out, but close to the limit of the rule. The closest come first.",
        np.array(order[:NARROW], np.int64),
        lambda at: _by_how_much(board, at),
    )


def _near(board: Board) -> dict[str, float]:
    """By rule, how far from its threshold still counts as close: as far as the closest quarter of what it takes out."""
    beyond: dict[str, list[float]] = {}
    for at, rule in enumerate(board.rules):
        if rule is not None and board.values[at] is not None and board.thresholds[at] is not None:
            beyond.setdefault(rule, []).append(_beyond(board, at))
    return {rule: float(np.quantile(distances, NEAR)) for rule, distances in beyond.items()}


def _by_rule(board: Board) -> Iterator[Queue]:
    rules = sorted({one for one in board.rules if one is not None and one != "verdict"})
    for rule in rules:
        of_rule = [at for at in range(len(board.ids)) if board.rules[at] == rule]
        order = sorted(of_rule, key=lambda at: (-_beyond(board, at), board.ids[at]))
        is_ranked = len({_beyond(board, at) for at in of_rule}) > 1
        yield Queue(
            f"{RULE}{rule}",
            f"Out by {rule}",
            f"What the rule {rule} takes out.{' The worst come first.' if is_ranked else ''}",
            np.array(order, np.int64),
            lambda at: _by_how_much(board, at),
        )


def _beyond(board: Board, at: int) -> float:
    if board.values[at] is None or board.thresholds[at] is None:
        return 0.0
    return float(abs(board.values[at] - board.thresholds[at]))


def _by_how_much(board: Board, at: int) -> str:
    if board.values[at] is None:
        return f"{board.rules[at]}"
    if board.thresholds[at] is None:
        return f"{board.rules[at]} {number(board.values[at])}"
    return f"{number(board.values[at])}, the limit of {board.rules[at]} is {number(board.thresholds[at])}"


def _copies(board: Board) -> Queue:
    kinds: dict[int, str] = {}
    stack_of: dict[int, int] = {}
    stacks: dict[str, int] = {}
    for row in board.snapshot.rows("steps/look/copies"):
        at = board.place.get(row["image_id"])
        if at is None or at in stack_of:
            continue
        stack_of[at] = stacks.setdefault(row["original_id"], len(stacks))
        alike = "" if row["correlation"] is None else f", {100 * row['correlation']:.0f} % alike"
        kinds[at] = "the best of the stack" if row["kind"] == "best" else f"{row['kind']} copy{alike}"
    return Queue(
        "copies",
        "Near copies",
        "Pictures that show the same, in stacks. The best of each stack comes first.",
        np.array(list(stack_of), np.int64),
        kinds.__getitem__,
        stack_of,
    )
