"""The desk: what a person says of pictures, recorded at once, taken back, and taken up by the plan when asked for.

Each act is a commit of verdicts, on disk before it is answered. Plans are not replayed after each: that takes longer than
judging, and may move other pictures.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.curate import replay
from pipeline.curate.plans import Plan, current
from pipeline.look.board import Board
from pipeline.look.ledger import RELABEL, UNSET, VERDICTS, Entry, Ledger, Standing
from pipeline.steps.config import Config
from store.errors import ColdframeError
from store.store import Snapshot, Store

MOST_TEXT = 1000  # characters of a label or a reason
ERRORS = ("misclassified", "cell", "compare")  # lists of what runs get wrong
LOOKED_AT, ERROR_OF_TEST = "looked at", "seen because a run got it wrong, in a split that measures runs"
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Act:
    """One act of this session: what stood before it and after it, by image, and the content that was judged."""

    what: str
    before: dict[str, Standing]
    after: dict[str, Standing]
    contents: dict[str, str]


class Desk:
    """The acts of one session.

    Attributes:
        acts: those that can be taken back, the latest last.
        ledger: where they are written.
    """

    def __init__(self, store: Store, config: Config, board: Board) -> None:
        self.acts = list[Act]()
        self.ledger = Ledger(store, board)
        self._store, self._config = store, config
        self._lock = threading.Lock()
        self._see(board)

    def sit_at(self, board: Board) -> None:
        """Go on with another board, of a later moment."""
        self.ledger.turn_to(board)
        self._see(board)

    def _see(self, board: Board) -> None:
        self.board = board
        rows = board.snapshot.rows("steps/look/judged_errors", why=ERROR_OF_TEST)
        self._errors = {row["image_id"] for row in rows}

    @property
    def errors_judged(self) -> int:
        """Pictures of a split that measures runs that were judged because a run erred: a score on the rest flatters."""
        place, verdicts = self.board.place, self.board.verdicts
        return sum(one in place and verdicts[place[one]] is not None for one in self._errors)

    def judge(self, positions: Sequence[int], verdict: str, label: str | None, why: str | None, queue: str) -> str:
        """Record a verdict on images; a remark for the person, empty if there is none.

        Raises:
            ColdframeError: there is no such verdict, no image, or a label where none can be, or none where one must be.
        """
        self._check(positions, verdict, label, why)
        board = self.board
        is_error = queue in ERRORS
        erred = {at for at in positions if is_error and board.splits[at] not in (None, "train", "val")}
        with self._lock:
            chosen = list(dict.fromkeys(positions))
            before = {board.ids[at]: self.ledger.standing(at) for at in chosen}
            reason = why or LOOKED_AT
            reasons = {at: ERROR_OF_TEST if at in erred else reason for at in chosen}
            self.ledger.record([Entry(at, verdict, label, reasons[at], board.contents[at]) for at in chosen])
            self._errors |= {board.ids[at] for at in erred}
            after = {board.ids[at]: self.ledger.standing(at) for at in chosen}
            contents = {board.ids[at]: board.contents[at] for at in chosen}
            self.acts.append(Act(f"{verdict} of {_pictures(len(before))}", before, after, contents))
        if not erred:
            return ""
        return (
            f"{_pictures(len(erred))} of the split that measures runs judged because a run erred: a score on what is left "
            "flatters the run"
        )

    def undo(self) -> tuple[str, list[int]]:
        """Take back the last act of this session: what it was, and the images. What somebody else has said of one since stays.

        Raises:
            ColdframeError: there is nothing to take back.
        """
        with self._lock:
            if not self.acts:
                raise ColdframeError(
                    "nothing to take back: what was judged before this session is changed picture by picture"
                )
            act = self.acts[-1]
            was_of = {self.board.place[one]: was for one, was in act.before.items() if self._stands(act, one)}
            contents = self.board.contents
            entries = [Entry(at, UNSET, None, "taken back", contents[at]) for at in was_of]
            for at, was in was_of.items():
                if was.label is not None:
                    entries.append(Entry(at, RELABEL, was.label, "as before", contents[at]))
                if was.judgement is not None:
                    entries.append(Entry(at, was.judgement, None, "as before", was.content))
            if entries:  # none where the images are gone from the catalogue
                self.ledger.record(entries)
            self.acts.pop()
        others = len(act.before) - len(was_of)
        what = act.what if not others else f"{act.what}, but for {others:,} judged by somebody else since, or gone"
        return what, list(was_of)

    def _stands(self, act: Act, image_id: str) -> bool:
        """Whether an image still has the content that was judged, and what was said of it; nobody else said the same since."""
        at = self.board.place.get(image_id)
        if at is None or self.board.contents[at] != act.contents[image_id]:
            return False
        return self.ledger.standing(at) == act.after[image_id] and self.ledger.is_ours(at)

    def preview(self) -> tuple[replay.Replay, pa.Table]:
        """What a replay of the plan would give now, and its changes by class; nothing is committed.

        Raises:
            ColdframeError: there is no plan, or it cannot be replayed.
        """
        snapshot = self._store.snapshot()
        try:
            return replay.what_if(snapshot, self._plan(snapshot))
        finally:
            snapshot.close()

    def replay(self) -> replay.Replay:
        """Replay the plan and commit it.

        Raises:
            ColdframeError: there is no plan, or it cannot be replayed.
        """
        return replay.curate(self._store, self._plan)

    def _plan(self, snapshot: Snapshot) -> Plan:
        if self.board.plan is None:
            raise ColdframeError("there is no plan yet: make one with 'coldframe filter' or 'coldframe split'")
        return current(self._config, snapshot, self.board.plan) or Plan(self.board.plan)

    def _check(self, positions: Sequence[int], verdict: str, label: str | None, why: str | None) -> None:
        if verdict not in VERDICTS:
            raise ColdframeError(f"{verdict}: no verdict; expected one of {', '.join(VERDICTS)}")
        if not positions:
            raise ColdframeError("no picture is chosen")
        if (verdict == RELABEL) != (label is not None):
            raise ColdframeError("a label goes with 'relabel', and only with it")
        for text in (label, why):
            if text is not None and (not text.strip() or len(text) > MOST_TEXT or _NO_TEXT.search(text)):
                raise ColdframeError(
                    f"a label or a reason has 1 to {MOST_TEXT} characters, none of them NUL or half a character"
                )
        if label is not None and label != label.strip() and label not in self.board.labels:
            raise ColdframeError(f"{label!r}: a new class neither begins nor ends with a blank")


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"
