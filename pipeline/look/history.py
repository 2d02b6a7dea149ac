"""History and questions: verdicts, moments and what changed between two; and SQL of the person's own."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from pipeline.look import asked
from pipeline.look.board import Board
from pipeline.look.session import Session, plans_of
from store import manifest, queries
from store.errors import ColdframeError

MOST_VERDICTS, MOST_MOMENTS = 1000, 500
MOST_ROWS = 2000
SECONDS, MEMORY = 20.0, 2_000_000_000
SHOWN = 60
MOST_SQL, MOST_CELL = 100_000, 2000  # characters

# What a step did, in words.
STEPS = {
    "create": "the store was made",
    "ingest": "the catalogue was read",
    "embed": "vectors were made",
    "score": "pictures were scored",
    "copies": "near copies were looked for",
    "curate": "a plan was replayed",
    "keep": "a picture was kept",
    "drop": "a picture was dropped",
    "relabel": "a label was corrected",
    "unset": "a verdict was taken back",
    "train": "a head was trained",
    "tune": "settings were searched",
    "evaluate": "a run was evaluated",
    "finetune": "last layers were trained",
    "compact": "files were merged",
    "repair": "damaged files were set aside",
}


def history(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """The latest verdicts, and the moments of the store."""
    with session.board() as board:
        snapshot = session.store.snapshot()
        try:
            verdicts = snapshot.rows("steps/look/verdicts", count=MOST_VERDICTS)
        finally:
            snapshot.close()
        shown = [_verdict(board, row) for row in verdicts]
        moments = [manifest.read(session.store.root, number) for number in _numbers(session)[-MOST_MOMENTS:]]
        return {
            "verdicts": shown,
            "moments": [
                {"number": one.number, "when": str(one.created_at), "what": STEPS.get(one.step, one.step)}
                for one in reversed(moments)
            ],
        }


def _numbers(session: Session) -> list[int]:
    return sorted(manifest.numbers(session.store.root))


def _verdict(board: Board, row: Mapping[str, Any]) -> dict[str, Any]:
    at = board.place.get(row["image_id"])
    return {
        "id": row["image_id"],
        "content": row["content_id"] if board.has_content(row["content_id"]) else None,
        "verdict": row["verdict"],
        "label": row["label"],
        "why": row["why"],
        "when": str(row["created_at"]),
        "stands": at is not None and row["is_latest"] and board.verdicts[at] is not None,
    }


def between(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """What changed between two moments: which images came into a plan and which went."""
    first, last = sorted(asked.count(given, name, 0, 10**9) for name in ("a", "b"))
    with session.board() as board:
        for number in (first, last):
            if number not in manifest.numbers(session.store.root):
                raise ColdframeError(f"moment {number} is not kept any more")
        before, after = (_kept(session, number) for number in (first, last))
        plans, sentences = [], []
        for plan in sorted({*before, *after}):
            was, now = before.get(plan, set()), after.get(plan, set())
            came, went = sorted(now - was), sorted(was - now)
            plans.append(
                {"plan": plan, "came_count": len(came), "went_count": len(went)}
                | {"came": _rows(board, came), "went": _rows(board, went)}
            )
            sentences.append(
                f"Plan {plan}: {len(came):,} pictures came in, {len(went):,} went out, {len(now):,} are in."
            )
        return {"sentences": sentences, "plans": plans}


def _kept(session: Session, number: int) -> dict[str, set[str]]:
    snapshot = session.store.snapshot(number)
    try:
        kept: dict[str, set[str]] = {plan: set() for plan in plans_of(snapshot)}
        for row in snapshot.rows("steps/look/kept"):
            kept.setdefault(row["plan"], set()).add(row["image_id"])
        return kept
    finally:
        snapshot.close()


def _rows(board: Board, image_ids: list[str]) -> list[dict[str, Any]]:
    return [board.row(board.place[one]) for one in image_ids if one in board.place][:SHOWN]


def views(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """The views that SQL can ask, with their columns."""
    with session.board() as board:
        shown = []
        for name, text in sorted(queries.views()):
            types = board.snapshot.types(name)
            about = text.splitlines()[0].removeprefix("-- ")
            shown.append(
                {"name": name, "about": about, "columns": [f"{column} {kind}" for column, kind in types.items()]}
            )
        return {"views": shown}


def ask(session: Session, given: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of a query of the person's own, through the gate that every such query passes: it can only read the store."""
    sql = asked.text(given, "sql", most=MOST_SQL)
    if not sql.strip():
        raise ColdframeError("write a query first, such as: from suspects limit 20")
    started = time.monotonic()
    snapshot = session.store.snapshot()
    try:
        found = snapshot.ask(sql, {}, timeout=SECONDS, memory=MEMORY)
    finally:
        snapshot.close()
    shown = found.slice(0, MOST_ROWS)
    names = shown.column_names
    try:
        columns = [column.to_pylist() for column in shown.columns]
    except (ValueError, OverflowError) as error:  # as of a time before the year 1
        raise ColdframeError(f"the result cannot be shown ({error}): cast the column with ::varchar") from error
    with session.board() as board:
        ids = columns[names.index("image_id")] if names.count("image_id") == 1 else []
        known = [one for one in ids if isinstance(one, str) and one in board.place]
        images = [board.row(board.place[one]) for one in dict.fromkeys(known)]
    return {
        "columns": [{"name": field.name, "type": str(field.type)} for field in shown.schema],
        "rows": [[_cell(value) for value in row] for row in zip(*columns, strict=True)] if columns else [],
        "total": len(found),
        "truncated": len(found) > MOST_ROWS,
        "images": images,
        "seconds": round(time.monotonic() - started, 3),
    }


def _cell(value: Any) -> Any:
    """A value as JSON can say it."""
    if value is None or isinstance(value, bool | str) or (isinstance(value, int) and abs(value) < 2**53):
        return value if not isinstance(value, str) else value[:MOST_CELL]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime | date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    return str(value)[:MOST_CELL]
