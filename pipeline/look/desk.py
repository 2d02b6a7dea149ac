"""The desk: what a person says of pictures, recorded at once, taken back, and taken up by the plan when asked for.

Each act is a commit of verdicts, on disk before it is answered. Plans are not replayed after each: that takes longer than
judging, and may move other pictures.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from pipeline.curate import replay
from pipeline.curate.plans import Plan, current
from pipeline.look.board import Board
from pipeline.steps.config import Config
from store import compaction, manifest
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from store.store import Snapshot, Store

KEEP, DROP, RELABEL, UNSET = VERDICTS = ("keep", "drop", "relabel", "unset")
JUDGEMENTS = (KEEP, DROP)
MERGE_EVERY = 32  # commits: a small part each
MOST_TEXT = 1000  # characters of a label or a reason
MOST_SHOWN = 200  # rows of an answer
LOOKED_AT, ERROR_OF_TEST = "looked at", "looked at as an error of a run, in a split that measures it"


@dataclass(frozen=True)
class Standing:
    """What was said of an image: ``keep`` or ``drop``, and the label that a person gave its content."""

    judgement: str | None
    label: str | None


@dataclass(frozen=True)
class Act:
    """One act of this session, and what stood before it."""

    what: str
    before: dict[str, Standing]


@dataclass
class Desk:
    """The acts of one session on one board."""

    store: Store
    config: Config
    board: Board
    acts: list[Act] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._commits = 0
        self.newest = 0
        self.sit_at(self.board)

    def sit_at(self, board: Board) -> None:
        """Go on with another board, of a later moment."""
        self.board, self.newest = board, board.snapshot.manifest.number
        self._corrected = {row["content_id"]: row["label"] for row in board.snapshot.rows("steps/look/corrections")}
        last = board.snapshot.rows("steps/look/last_verdict", plan=board.plan or "")[0]
        self._latest: datetime | None = last["latest"]
        self.pending: int = last["pending"]

    @property
    def errors_judged(self) -> int:
        """Pictures of a split that measures runs that were judged because a run erred: a score on the rest flatters."""
        return int(sum(one == ERROR_OF_TEST for one in self.board.reasons))

    def judge(self, positions: Sequence[int], verdict: str, label: str | None, why: str | None, queue: str) -> str:
        """Record a verdict on images; a remark for the person, empty if there is none.

        Raises:
            ColdframeError: there is no such verdict, no image, or a label where none can be, or none where one must be.
        """
        self._check(positions, verdict, label, why)
        board = self.board
        erred = {at for at in positions if queue == "misclassified" and board.splits[at] not in (None, "train", "val")}
        with self._lock:
            chosen = list(dict.fromkeys(positions))
            before = {board.ids[at]: self._standing(at) for at in chosen}
            self._record([(at, verdict, label, ERROR_OF_TEST if at in erred else why or LOOKED_AT) for at in chosen])
            self.acts.append(Act(f"{verdict} of {_pictures(len(before))}", before))
        if not erred:
            return ""
        return (
            f"{_pictures(len(erred))} of the split that measures runs judged because a run erred: a score on what is left "
            "flatters the run"
        )

    def undo(self) -> tuple[str, list[int]]:
        """Take back the last act of this session: what it was, and the images.

        Raises:
            ColdframeError: there is nothing to take back.
        """
        with self._lock:
            if not self.acts:
                raise ColdframeError(
                    "nothing to take back: what was judged before this session is changed picture by picture"
                )
            act = self.acts[-1]
            was_of = {self.board.place[one]: was for one, was in act.before.items() if one in self.board.place}
            rows: list[tuple[int, str, str | None, str]] = [(at, UNSET, None, "taken back") for at in was_of]
            for at, was in was_of.items():
                if was.label is not None:
                    rows.append((at, RELABEL, was.label, "as before"))
                if was.judgement is not None:
                    rows.append((at, was.judgement, None, "as before"))
            self._record(rows)
            self.acts.pop()
        return act.what, list(was_of)

    def preview(self) -> tuple[replay.Replay, pa.Table]:
        """What a replay of the plan would give now, and its changes by class; nothing is committed.

        Raises:
            ColdframeError: there is no plan, or it cannot be replayed.
        """
        snapshot = self.store.snapshot()
        try:
            return replay.what_if(snapshot, self._plan(snapshot))
        finally:
            snapshot.close()

    def replay(self) -> replay.Replay:
        """Replay the plan and commit it.

        Raises:
            ColdframeError: there is no plan, or it cannot be replayed.
        """
        return replay.curate(self.store, self._plan)

    def _plan(self, snapshot: Snapshot) -> Plan:
        if self.board.plan is None:
            raise ColdframeError("there is no plan yet: make one with 'coldframe filter' or 'coldframe split'")
        return current(self.config, snapshot, self.board.plan) or Plan(self.board.plan)

    def _check(self, positions: Sequence[int], verdict: str, label: str | None, why: str | None) -> None:
        if verdict not in VERDICTS:
            raise ColdframeError(f"{verdict}: no verdict; expected one of {', '.join(VERDICTS)}")
        if not positions:
            raise ColdframeError("no picture is chosen")
        if (verdict == RELABEL) != (label is not None):
            raise ColdframeError("a label goes with 'relabel', and only with it")
        for text in (label, why):
            if text is not None and (not text.strip() or len(text) > MOST_TEXT or "\0" in text):
                raise ColdframeError(f"a label or a reason has 1 to {MOST_TEXT} characters, and none that is NUL")

    def _standing(self, at: int) -> Standing:
        verdict = self.board.verdicts[at]
        return Standing(verdict if verdict in JUDGEMENTS else None, self._corrected.get(self.board.contents[at]))

    def _record(self, rows: Sequence[tuple[int, str, str | None, str]]) -> None:
        """Commit verdicts, each later than the one before, and show them."""
        board = self.board
        moment = datetime.now(UTC)
        if self._latest is not None and self._latest >= moment:  # a clock may have been ahead
            moment = self._latest + timedelta(microseconds=1)
        listed = []
        for position, verdict, label, why in rows:
            given = {"image_id": board.ids[position], "content_id": board.contents[position], "label": label}
            listed.append(given | {"verdict": verdict, "why": why, "created_at": moment})
            moment += timedelta(microseconds=1)
        with self.store.commit(rows[0][1]) as commit:
            commit.append("verdicts", pa.Table.from_pylist(listed, SCHEMAS["verdicts"]))
        self._note_moment()
        self._latest = moment
        self.pending += len(rows)
        self._show(rows, moment)
        self._commits += 1
        if self._commits % MERGE_EVERY == 0:
            compaction.compact(self.store, "verdicts", "", more_to_come=True)
            self._note_moment()

    def _note_moment(self) -> None:
        """Know the moment that was just made as our own; not where somebody else made another one meanwhile."""
        if max(manifest.numbers(self.store.root), default=0) == self.newest + 1:
            self.newest += 1

    def _show(self, rows: Sequence[tuple[int, str, str | None, str]], moment: datetime) -> None:
        board = self.board
        judgements: dict[int, str | None] = {}
        reasons: dict[int, str | None] = {}
        for position, verdict, label, why in rows:
            content = board.contents[position]
            reasons[position] = None if verdict == UNSET else why
            if verdict in JUDGEMENTS:
                judgements[position] = verdict
            elif verdict == RELABEL:
                self._corrected[content] = label
            else:
                judgements[position] = None
                self._corrected.pop(content, None)
        everyone = {other for position, *_ in rows for other in board.copies_of(position)}
        for at in everyone:
            before = board.verdicts[at] if board.verdicts[at] in JUDGEMENTS else None
            judgement = judgements.get(at, before)
            corrected = self._corrected.get(board.contents[at])
            board.verdicts[at] = judgement or (RELABEL if corrected is not None else None)
            board.judged_at[at] = moment if board.verdicts[at] is not None else None
            board.labels[at] = board.given[at] if corrected is None else corrected
            board.reasons[at] = reasons.get(at, board.reasons[at])
        board.has_changed()


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"
