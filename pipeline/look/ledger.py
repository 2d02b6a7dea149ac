"""The ledger: verdicts are committed to the store, and shown on the board at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from pipeline.look.board import Board
from store import compaction, manifest
from store.schemas import SCHEMAS
from store.store import Store

KEEP, DROP, RELABEL, UNSET = VERDICTS = ("keep", "drop", "relabel", "unset")
JUDGEMENTS = (KEEP, DROP)
MERGE_EVERY = 32  # commits: a small part each


@dataclass(frozen=True)
class Entry:
    """A verdict on the image at a position of the board, and on the content that it has or had."""

    position: int
    verdict: str
    label: str | None
    why: str
    content: str


@dataclass(frozen=True)
class Standing:
    """What was said of an image: ``keep`` or ``drop``, the label that a person gave its content, and the content judged."""

    judgement: str | None
    label: str | None
    content: str


class Ledger:
    """Writes verdicts of one session, for the board that is shown.

    Attributes:
        newest_file: the manifest of the newest moment that the board knows of, as :func:`store.manifest.newest_file` tells it.
    """

    def __init__(self, store: Store, board: Board) -> None:
        self._store = store
        self._commits = 0
        self._replayed: datetime | None = None
        self._stood: dict[str, Standing | None] = {}
        self._given_at: set[datetime] = set()  # of verdicts of this session
        self.turn_to(board)

    def turn_to(self, board: Board) -> None:
        """Go on with another board, of a later moment."""
        self._board, number = board, board.snapshot.manifest.number
        found = manifest.newest_file(self._store.root)
        self.newest_file = found if found[0] == number else (number, 0, 0)  # there is a newer one already
        self._stale = {row["image_id"]: row["content_id"] for row in board.snapshot.rows("steps/look/stale_judgements")}
        self._corrected = {row["content_id"]: row["label"] for row in board.snapshot.rows("steps/look/corrections")}
        last = board.snapshot.rows("steps/look/last_verdict", plan=board.plan or "")[0]
        self._latest: datetime | None = last["latest"]
        if last["replayed"] != self._replayed:
            self._stood.clear()
        self._replayed = last["replayed"]
        for row in board.snapshot.rows("steps/look/judged_since", plan=board.plan or ""):
            self._stood.setdefault(row["image_id"], None)  # judged by somebody else: as what, is not known

    @property
    def newest(self) -> int:
        """The number of the newest moment that the board knows of."""
        return self.newest_file[0]

    @property
    def pending(self) -> int:
        """Images that stand otherwise than when the plan was last replayed: what was taken back does not count."""
        place = self._board.place
        return sum(one in place and self.standing(place[one]) != was for one, was in self._stood.items())

    def standing(self, position: int) -> Standing:
        """What stands of an image."""
        verdict, content = self._board.verdicts[position], self._board.contents[position]
        judged = self._stale.get(self._board.ids[position], content)
        return Standing(verdict if verdict in JUDGEMENTS else None, self._corrected.get(content), judged)

    def is_ours(self, position: int) -> bool:
        """Whether what was last said of an image was said in this session, or has been withdrawn."""
        judged_at = self._board.judged_at[position]
        return judged_at is None or judged_at in self._given_at

    def record(self, entries: Sequence[Entry]) -> None:
        """Commit verdicts, each later than the one before, and show them."""
        board = self._board
        moment = datetime.now(UTC)
        if self._latest is not None and self._latest >= moment:  # a clock may have been ahead
            moment = self._latest + timedelta(microseconds=1)
        listed = []
        stood: dict[str, Standing | None] = {}
        for one in entries:
            given = {
                "image_id": board.ids[one.position],
                "content_id": one.content,
                "label": one.label,
            }
            listed.append(given | {"verdict": one.verdict, "why": one.why, "created_at": moment})
            stood.setdefault(board.ids[one.position], self.standing(one.position))
            moment += timedelta(microseconds=1)
        with self._store.commit(entries[0].verdict) as commit:
            commit.append("verdicts", pa.Table.from_pylist(listed, SCHEMAS["verdicts"]))
        self._note_moment()
        self._latest = moment
        self._stood = stood | self._stood
        given_at = [row["created_at"] for row in listed]
        self._given_at.update(given_at)
        self._show(entries, given_at)
        self._commits += 1
        if self._commits % MERGE_EVERY == 0:
            compaction.compact(self._store, "verdicts", "", more_to_come=True)
            self._note_moment()

    def _note_moment(self) -> None:
        """Know the moment that was just made as our own; not where somebody else made another one meanwhile."""
        found = manifest.newest_file(self._store.root)
        if found[0] == self.newest + 1:
            self.newest_file = found

    def _show(self, entries: Sequence[Entry], given_at: Sequence[datetime]) -> None:
        board = self._board
        at_image = {one.position: moment for one, moment in zip(entries, given_at, strict=True)}
        at_content = {board.contents[at]: moment for at, moment in at_image.items()}
        judgements: dict[int, str | None] = {}
        reasons: dict[int, str | None] = {}
        for one in entries:
            content = board.contents[one.position]
            reasons[one.position] = None if one.verdict == UNSET else one.why
            if one.verdict != RELABEL:
                self._stale.pop(board.ids[one.position], None)
            if one.verdict in JUDGEMENTS:
                judgements[one.position] = one.verdict
                if one.content != content:
                    self._stale[board.ids[one.position]] = one.content
            elif one.verdict == RELABEL:
                self._corrected[content] = one.label
            else:
                judgements[one.position] = None
                self._corrected.pop(content, None)
        everyone = {other for one in entries for other in board.copies_of(one.position)}
        for at in everyone:
            before = board.verdicts[at] if board.verdicts[at] in JUDGEMENTS else None
            judgement = judgements.get(at, before)
            corrected = self._corrected.get(board.contents[at])
            board.verdicts[at] = judgement or (RELABEL if corrected is not None else None)
            moment = at_image.get(at, at_content[board.contents[at]])
            board.judged_at[at] = moment if board.verdicts[at] is not None else None
            board.labels[at] = board.given[at] if corrected is None else corrected
            board.reasons[at] = reasons.get(at, board.reasons[at])
        board.has_changed()
