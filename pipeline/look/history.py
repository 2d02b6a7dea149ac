"""History and questions: verdicts and moments; and SQL of the person's own."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

from pipeline.look import asked
from pipeline.look.board import Board
from pipeline.look.session import Session
from store import manifest, queries
from store.errors import ColdframeError

MOST_VERDICTS, MOST_MOMENTS = 1000, 500
MOST_ANSWERED = 2000  # rows of an answer to a query
SECONDS, MEMORY = 20.0, 2_000_000_000
MOST_BYTES = 32 << 20  # of what a page shows
MOST_SQL, MOST_CELL = 100_000, 2000  # characters

# What a step did, in words.
STEPS = {
    "create": "The store was made",
    "ingest": "The catalogue was read",
    "embed": "Vectors were made",
    "score": "Pictures were scored",
    "copies": "Near copies were looked for",
    "curate": "A plan was replayed",
    "keep": "Pictures were kept",
    "drop": "Pictures were dropped",
    "relabel": "Labels were corrected",
    "unset": "Verdicts were taken back",
    "train": "A head was trained",
    "tune": "Settings were searched",
    "evaluate": "A run was evaluated",
    "finetune": "Last layers were trained",
    "export": "A run was exported",
    "compact": "Files were merged",
    "repair": "Damaged files were set aside",
}

MERGED = "compact"
JUDGING = ("keep", "drop", "relabel", "unset", MERGED)


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
            "moments": _told(reversed(moments)),
        }


def _told(newest_first: Iterable[manifest.Manifest]) -> list[dict[str, Any]]:
    """Moments in words; verdicts that follow each other, each a moment of its own, are one line with the last of them."""
    told: list[dict[str, Any]] = []
    for is_judging, group in groupby(newest_first, lambda one: one.step in JUDGING):
        ones = list(group)
        for part in [ones] if is_judging else [[one] for one in ones]:
            told.append(
                {"number": part[0].number, "when": str(part[0].created_at), "what": _what([one.step for one in part])}
            )
    return told


def _what(steps: Sequence[str]) -> str:
    verdicts = [step for step in steps if step != MERGED]  # the parts of many verdicts are merged meanwhile
    if not verdicts:
        return STEPS[MERGED]
    what = STEPS.get(verdicts[0], verdicts[0]) if len(set(verdicts)) == 1 else "Pictures were judged"
    return what if len(verdicts) == 1 else f"{what}, {len(verdicts)} times"


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
    shown = found.slice(0, MOST_ANSWERED)
    names = shown.column_names
    if shown.nbytes > MOST_BYTES:
        raise ColdframeError(
            f"the answer has {shown.nbytes:,} bytes, more than the {MOST_BYTES:,} that a page can show: ask for fewer columns"
        )
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
        "truncated": len(found) > MOST_ANSWERED,
        "images": images,
        "seconds": round(time.monotonic() - started, 3),
    }


def _cell(value: Any) -> Any:
    """A value as JSON can say it."""
    if isinstance(value, Decimal):  # as a sum of whole numbers is
        value = int(value) if value == value.to_integral_value() else float(value)
    if value is None or isinstance(value, bool | str) or (isinstance(value, int) and abs(value) < 2**53):
        return value if not isinstance(value, str) else value[:MOST_CELL]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime | date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    return str(value)[:MOST_CELL]
