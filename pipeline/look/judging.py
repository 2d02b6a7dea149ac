"""Judging: verdicts, taking them back, and the replay of the plan with a look at what it would change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.curate.replay import Replay
from pipeline.look import asked, reviewing
from pipeline.look.board import Board
from pipeline.look.session import Session
from store.errors import ColdframeError

SHOWN_OTHERS = 60
MOST_ANSWERED = 64  # acts that a page may send again
MOST_SHOWN = 200  # rows of an answer


class Conflict(ColdframeError):
    """Something is other than the page showed."""


def judge(session: Session, given: Mapping[str, Any]) -> dict[str, Any]:
    """Record a verdict on the images named, or on all of a list.

    Raises:
        Conflict: the list, or an image, is another one than the page showed.
        ColdframeError: as :meth:`pipeline.look.desk.Desk.judge`.
    """

    def act(board: Board) -> dict[str, Any]:
        positions, queue = _chosen(session, board, given)
        label, why = given.get("label"), given.get("why")
        for name, value in (("label", label), ("why", why)):
            if value is not None and not isinstance(value, str):
                raise ColdframeError(f"{name}: expected a text")
        note = session.desk.judge(positions, asked.needed(given, "verdict"), label, why, queue)
        return {"judged": len(positions), "note": note} | _standing(session, board, positions)

    return _once(session, given, act)


def _chosen(session: Session, board: Board, given: Mapping[str, Any]) -> tuple[list[int], str]:
    whole = given.get("list")
    if whole is None:
        seen = given.get("seen")
        queue = seen.get("queue", "") if isinstance(seen, dict) else ""
        positions = board.positions(asked.ids(given))
        _check_contents(board, positions, given.get("contents"))
        return positions, queue if isinstance(queue, str) else ""
    if not isinstance(whole, dict):
        raise ColdframeError("list: expected an object")
    wanted = asked.wanted(whole)
    found = reviewing.positions(session, board, wanted, whole)
    if given.get("expect") != board.digest(found):
        raise Conflict(f"the list is another one by now, of {len(found):,} pictures: look at it again")
    return [int(at) for at in found], wanted.queue


def _check_contents(board: Board, positions: Sequence[int], contents: Any) -> None:
    """A verdict is on the picture that was seen: after an ingest an id may have another one."""
    if contents is None:
        return
    if not isinstance(contents, list) or len(contents) != len(positions):
        raise ColdframeError("contents: expected one for each id")
    for at, content in zip(positions, contents, strict=True):
        if board.contents[at] != content:
            raise Conflict(f"{board.ids[at]} is another picture by now: look at it again")


def undo(session: Session, given: Mapping[str, Any]) -> dict[str, Any]:
    """Take back the last act of this session."""

    def act(board: Board) -> dict[str, Any]:
        what, positions = session.desk.undo()
        return {"undone": len(positions), "what": what} | _standing(session, board, positions)

    return _once(session, given, act)


def _once(session: Session, given: Mapping[str, Any], act: Callable[[Board], dict[str, Any]]) -> dict[str, Any]:
    """Do an act; answer as before if a page sends it again under the same name, since the answer was lost."""
    name = asked.text(given, "act")
    with session.board() as board:
        if name in session.answered:
            return session.answered[name]
        answer = act(board)
        if name:
            session.answered[name] = answer
            if len(session.answered) > MOST_ANSWERED:
                del session.answered[next(iter(session.answered))]
        return answer


def _standing(session: Session, board: Board, positions: Sequence[int]) -> dict[str, Any]:
    rows = [board.row(at) for at in positions[:MOST_SHOWN]]
    return {"rows": rows, "undo": len(session.desk.acts), "pending": session.desk.ledger.pending}


def choose_plan(session: Session, given: Mapping[str, Any]) -> dict[str, Any]:
    """Show another plan."""
    session.choose(asked.needed(given, "plan"))
    return {}


def replay(session: Session, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a replay of the plan changes; it is committed where ``preview`` is false.

    Raises:
        Conflict: ``expect``, which a preview gave, is not of this plan and this moment of the store.
        ColdframeError: as :meth:`pipeline.look.desk.Desk.preview`.
    """
    is_preview = given.get("preview", True) is not False
    if not is_preview:
        with session.board():
            if given.get("expect") not in (None, _expected(session)):
                raise Conflict("something was judged since, or another plan is shown: look again at what would change")
            session.desk.replay()
            session.renew()
        return {}
    with session.board():
        expected = _expected(session)
    replayed, changes = session.desk.preview()  # without the board: verdicts do not wait for it
    with session.board() as board:
        after = {row["image_id"]: row for row in replayed.curation.select(["image_id", "rule", "split"]).to_pylist()}
        moved = [at for at in range(len(board.ids)) if _is_other(board, at, after.get(board.ids[at]))]
        others = [at for at in moved if board.verdicts[at] is None]
        by_class = [
            {
                "label": row["label"],
                "before": row["kept_before"],
                "after": row["kept_after"],
                "comes": row["comes_back"],
                "goes": row["goes"],
            }
            for row in changes.to_pylist()
            if row["goes"] or row["comes_back"] or row["label"] == "(all)"
        ]
        every = by_class.pop() if by_class else {"before": 0, "after": 0}
        return {
            "expect": expected,
            "plan": board.plan,
            "kept_before": every["before"],
            "kept_after": every["after"],
            "changes": by_class,
            "others": len(others),
            "sentence": _sentence(replayed, len(moved) - len(others), len(others)),
            "rows": [board.row(at) for at in others[:SHOWN_OTHERS]],
        }


def _expected(session: Session) -> str:
    """What a preview holds for: the plan, and the moment of the store."""
    return f"{session.desk.ledger.newest} {session.desk.board.plan}"


def _is_other(board: Board, at: int, after: Mapping[str, Any] | None) -> bool:
    if after is None:
        return False
    return (board.rules[at] is None) != (after["rule"] is None) or board.splits[at] != after["split"]


def _sentence(replayed: Replay, judged: int, others: int) -> str:
    said = f"{judged:,} of the pictures that you judged change place"
    if not others:
        return f"{said}; nothing else does."
    moving = [stage.name for stage in replayed.plan.stages if stage.kind == "rule" and stage.settings.get("percentile")]
    why = (
        f", since the percentile of {moving[0]} is of what is left"
        if moving
        else ", since the rules look at what is left"
    )
    return f"{said}; {others:,} {'other does' if others == 1 else 'others do'} too{why}."
