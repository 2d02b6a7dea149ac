"""The board: every image of one moment in memory, with what a person needs to find and judge it, and lists of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.look.queues import KEYS, RULE, Positions, Queue, queues
from store import digests
from store.errors import ColdframeError
from store.store import Snapshot

Objects = npt.NDArray[np.object_]

SORTS = ("", "label", "id", "value")
NOT_JUDGED = "none"


@dataclass(frozen=True)
class Wanted:
    """Which list a page asks for: a queue, narrowed by its filters, in an order. Empty texts do not narrow."""

    queue: str = "all"
    label: str = ""
    split: str = ""
    rule: str = ""
    text: str = ""
    verdict: str = ""
    sort: str = ""


class Board:
    """All images of a moment. Verdicts that are given here are shown at once; what they change is seen after the next replay."""

    def __init__(self, snapshot: Snapshot, plan: str | None) -> None:
        self.snapshot, self.plan = snapshot, plan
        table = snapshot.query("steps/look/images", plan=plan or "")
        columns = {name: np.array(table[name].to_pylist(), object) for name in table.column_names}
        self.ids, self.contents, self.paths = columns["image_id"], columns["content_id"], columns["path"]
        self.labels, self.given = columns["label"], columns["given_label"]
        self.splits, self.rules, self.verdicts = columns["split"], columns["rule"], columns["verdict"]
        self.judged_at, self.reasons = columns["judged_at"], columns["why"]
        self.suggested, self.evidence = columns["suggested"], columns["evidence"]
        self.values, self.thresholds, self.doubts = columns["value"], columns["threshold"], columns["doubt"]
        self.place = {image_id: at for at, image_id in enumerate(self.ids)}
        self._of_content: dict[str, list[int]] = {}
        for at, content in enumerate(self.contents):
            self._of_content.setdefault(content, []).append(at)
        self.failures = snapshot.rows("steps/look/failures")
        self.queues: dict[str, Queue] = {one.key: one for one in queues(self, columns)}
        self._searched = [
            f"{i}\n{p}\n{w or ''}".casefold() for i, p, w in zip(self.ids, self.paths, self.labels, strict=True)
        ]
        self._lists: dict[Wanted, Positions] = {}
        self._digest = digests.of_json([self.ids.tolist(), self.contents.tolist()])

    def positions(self, image_ids: Sequence[str]) -> list[int]:
        """Where images are.

        Raises:
            ColdframeError: one is none of the store.
        """
        unknown = [one for one in image_ids if one not in self.place]
        if unknown:
            raise ColdframeError(f"{unknown[0]}: no image of the store has this id")
        return [self.place[one] for one in image_ids]

    def copies_of(self, position: int) -> list[int]:
        """The images with the same bytes, itself too."""
        return self._of_content[self.contents[position]]

    def first_of(self, content_id: str) -> int | None:
        """The first image with this content."""
        return self._of_content.get(content_id, [None])[0]

    def has_content(self, content_id: str) -> bool:
        """Whether an image of the store has this content."""
        return content_id in self._of_content

    def found(self, wanted: Wanted) -> Positions:
        """The images of a list, in its order.

        Raises:
            ColdframeError: there is no such list.
        """
        if wanted not in self._lists:
            if len(self._lists) > 50:
                self._lists.clear()
            self._lists[wanted] = self._find(wanted)
        return self._lists[wanted]

    def _find(self, wanted: Wanted) -> Positions:
        return self._narrowed(self._of_queue(wanted.queue), wanted)

    def narrowed(self, image_ids: Sequence[str], wanted: Wanted) -> Positions:
        """Those of some images that the filters of a list leave, in its order; images that are gone are left out."""
        there = [self.place[one] for one in image_ids if one in self.place]
        return self._narrowed(np.array(there, np.int64), wanted)

    def _narrowed(self, at: Positions, wanted: Wanted) -> Positions:
        for column, value in ((self.labels, wanted.label), (self.splits, wanted.split), (self.rules, wanted.rule)):
            if value:
                at = at[column[at] == value]
        if wanted.verdict == NOT_JUDGED:
            at = at[self.verdicts[at] == None]  # noqa: E711 (one by one)
        elif wanted.verdict:
            at = at[self.verdicts[at] == wanted.verdict]
        if wanted.text:
            text = wanted.text.casefold()
            at = at[[text in self._searched[one] for one in at]] if len(at) else at
        return self._sorted(at, wanted.sort)

    def _of_queue(self, key: str) -> Positions:
        if key == "all":
            return np.arange(len(self.ids))
        if key == "judged":
            judged = np.flatnonzero(self.verdicts != None)  # noqa: E711
            return judged[sorted(range(len(judged)), key=lambda at: self.judged_at[judged[at]], reverse=True)]
        if key in self.queues:
            return self.queues[key].positions
        if key in KEYS or key.startswith(RULE):  # a queue that is empty, perhaps since the last replay
            return np.array([], np.int64)
        raise ColdframeError(f"{key}: no such list")

    def _sorted(self, at: Positions, sort: str) -> Positions:
        if not sort:
            return at
        if sort not in SORTS:
            raise ColdframeError(f"{sort}: no order; expected one of label, id, value")
        column = {"label": self.labels, "id": self.ids, "value": self.values}[sort]
        keys = [(column[one] is None, column[one] if column[one] is not None else 0, self.ids[one]) for one in at]
        return at[sorted(range(len(at)), key=keys.__getitem__)]

    def row(self, position: int, queue: str = "") -> dict[str, Any]:
        """An image as lists show it."""
        where = self.queues.get(queue)
        is_in_queue = where is not None and position in where.places
        shown = {
            "id": self.ids[position],
            "content": self.contents[position],
            "label": self.labels[position],
            "given": self.given[position] if self.given[position] != self.labels[position] else None,
            "suggested": self.suggested_for(position, queue),
            "split": self.splits[position],
            "rule": self.rules[position],
            "verdict": self.verdicts[position],
            "note": where.note(position) if where and is_in_queue else self.note(position),
        }
        if where and where.stacks and is_in_queue:
            shown["stack"] = where.stack_of[position]
        return shown

    def suggested_for(self, position: int, queue: str) -> str | None:
        """The class that an image may belong to, by what puts it into a queue, else by its neighbours."""
        where = self.queues.get(queue)
        if where is not None and where.suggest is not None and position in where.places:
            return where.suggest(position)
        suggested: str | None = self.suggested[position]
        return suggested

    def note(self, position: int) -> str:
        """Where an image is, in a few words."""
        if self.rules[position] is not None:
            return f"out by {self.rules[position]}"
        return f"in {self.splits[position]}" if self.splits[position] is not None else ""

    def digest(self, positions: Positions) -> str:
        """What a list holds, in its order, in a few characters."""
        return hashlib.blake2b(positions.tobytes(), digest_size=16, key=self._digest.encode()).hexdigest()

    def has_changed(self) -> None:
        """Forget the lists that depend on verdicts and labels."""
        self._lists = {
            wanted: at
            for wanted, at in self._lists.items()
            if not (wanted.verdict or wanted.label or wanted.queue == "judged" or wanted.sort == "label")
        }
