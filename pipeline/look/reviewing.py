"""Reviewing: the lists of pictures, and one picture with all that is known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.curate.why import story
from pipeline.embed import feature_sets
from pipeline.look import asked, choosing, figures, telling
from pipeline.look.board import Board, Wanted
from pipeline.look.session import Session
from store.errors import ColdframeError

SEARCHED = 200
# Of what is known of a picture; its place among all suspects is what the queues are for.
TOLD = ("copies", "verdicts", "scores", "plans", "predictions")
# Columns that are shown elsewhere, or that say nothing to a person.
NOT_FACTS = {"image_id", "content_id", "phash", "label", "given_label", "path", "is_grey", "chroma"}
OF_FILE = ("format", "mode", "width", "height", "frames", "bytes")  # which coldframe found, and are told in one line


def state(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """What there is: queues and classes with their counts, plans, sets, and what was judged."""
    with session.board() as board:
        judged = Counter(one for one in board.verdicts if one is not None)
        moment = board.snapshot.manifest
        return {
            "store": session.store.root.name,
            "identity": session.identity,
            "images": len(board.ids),
            "moment": {"number": session.desk.ledger.newest, "when": str(moment.created_at), "what": moment.step},
            "plan": board.plan,
            "plans": choosing.plans_of(board.snapshot),
            "feature_sets": feature_sets.names(board.snapshot),
            "preferred_set": choosing.feature_set(board.snapshot),
            "has_text": session.text_set() is not None,
            "labels": _labels(board),
            "splits": _counted(board.splits, "split"),
            "rules": _counted(board.rules, "rule"),
            "queues": _queues(board),
            "runs": [{"run": row["run_id"], "name": row["name"]} for row in board.snapshot.rows("steps/look/runs")],
            "judged": {name: judged[name] for name in ("keep", "drop", "relabel")}
            | {"test_after_error": session.desk.errors_judged},
            "pending": session.desk.ledger.pending,
            "undo": len(session.desk.acts),
        }


def _labels(board: Board) -> list[dict[str, Any]]:
    every, kept = Counter(board.labels), Counter(board.labels[board.rules == None])  # noqa: E711 (one by one)
    return [
        {"label": label, "images": every[label], "kept": kept[label]}
        for label in sorted(one for one in every if one is not None)
    ]


def _counted(column: Any, name: str) -> list[dict[str, Any]]:
    return [{name: value, "images": n} for value, n in Counter(one for one in column if one is not None).most_common()]


def _queues(board: Board) -> list[dict[str, Any]]:
    shown = []
    for one in board.queues.values():
        left = int(sum(board.verdicts[at] is None for at in one.positions))
        about = {"key": one.key, "title": one.title, "about": one.about}
        shown.append(about | {"images": len(one.positions), "left": left})
    if board.failures:
        about = {
            "key": "failures",
            "title": "Failures",
            "about": "Files that gave no picture, and why.",
        }
        shown.append(about | {"images": len(board.failures), "left": 0})
    judged = int(sum(one is not None for one in board.verdicts))
    if judged:
        about = {"key": "judged", "title": "Judged", "about": "What a person said, the latest first."}
        shown.append(about | {"images": judged, "left": 0})
    left = len(board.ids) - judged
    about = {"key": "all", "title": "All pictures", "about": "Every picture of the store."}
    return [*shown, about | {"images": len(board.ids), "left": left}]


def listed(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """A window of a list."""
    start = asked.count(given, "start", 0, 10**9)
    count = asked.count(given, "count", 120, asked.MOST_LISTED)
    wanted = asked.wanted(given)
    with session.board() as board:
        if wanted.queue == "failures":
            rows = _failures(board, wanted.text)
            return {"total": len(rows), "left": 0, "which": "", "rows": rows[start : start + count]}
        notes = _of_runs(board, wanted, given)
        found = board.found(wanted) if notes is None else board.narrowed(list(notes), wanted)
        left = int(sum(board.verdicts[at] is None for at in found))
        rows = [board.row(int(at), wanted.queue) for at in found[start : start + count]]
        if notes is not None:
            rows = [row | {"note": notes[row["id"]]} for row in rows]
        return {"total": len(found), "left": left, "which": board.digest(found), "rows": rows}


def _failures(board: Board, text: str) -> list[dict[str, Any]]:
    """Files that gave no picture, as lists show them."""
    wanted = text.casefold()
    none = dict.fromkeys(("content", "label", "given", "suggested", "split", "rule", "verdict"))
    return [
        {"id": one["image_id"], "path": one["path"], **none}
        | {"note": f"{one['step']} {one['name']}".strip() + f": {one['reason']}"}
        for one in board.failures
        if wanted in f"{one['image_id']}\n{one['path']}".casefold()
    ]


def positions(session: Session, board: Board, wanted: Wanted, given: Mapping[str, Any]) -> Any:
    """The images of a list, also of one that is a cell of a confusion matrix or where two runs differ."""
    notes = _of_runs(board, wanted, given)
    return board.found(wanted) if notes is None else board.narrowed(list(notes), wanted)


def _of_runs(board: Board, wanted: Wanted, given: Mapping[str, Any]) -> dict[str, str] | None:
    """The images of a list of what runs say, each with that; None where it is no such list."""
    find = {"cell": figures.cell, "compare": figures.difference}.get(wanted.queue)
    return None if find is None else find(board, given)


def image(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """One picture: its story, its facts, typical pictures of its class, and its nearest."""
    image_id = asked.needed(given, "id")
    queue, predicted = asked.text(given, "queue"), asked.text(given, "predicted")
    with session.board() as board:
        board.positions([image_id])
    with session.telling() as snapshot:  # without the board: verdicts do not wait for it
        known = story(snapshot, image_id, TOLD)
    with session.board() as board:
        (at,) = board.positions([image_id])
        similar = session.similar(asked.text(given, "set") or None)
        label, suggested = board.labels[at], predicted or board.suggested_for(at, queue)
        typical = similar.typical(label) if similar and label is not None else []
        of_suggested = similar.typical(suggested) if similar and suggested not in (None, label) else []
        nearest = similar.nearest(at) if similar else []
        said_above = {image_id, board.paths[at]}
        facts = [
            [name, str(value)]
            for name, value in known["image"].items()
            if name not in {*NOT_FACTS, *OF_FILE} and value is not None and str(value) not in said_above
        ]
        return {
            "row": board.row(at, queue) | {"suggested": suggested},
            "path": board.paths[at],
            "headline": telling.headline(board, at, queue, predicted),
            "story": telling.sentences(board, at, known),
            "details": telling.details(known),
            "facts": [["file", _file(known["image"])], *facts],
            "typical": [board.row(one) for one in typical if one != at],
            "typical_suggested": [board.row(one) for one in of_suggested],
            "nearest": [board.row(one) | {"similarity": round(cosine, 4)} for one, cosine in nearest],
            "boxes": [],
        }


def _file(found: Mapping[str, Any]) -> str:
    """What is known of the file of an image: ``JPEG, RGB, 500 × 333, 38,583 bytes``."""
    size = f"{found.get('width')} × {found.get('height')}"
    frames = found.get("frames") or 1
    parts = [found.get("format"), found.get("mode"), size, f"{frames} frames" if frames > 1 else None]
    return ", ".join([*(str(one) for one in parts if one), f"{found.get('bytes') or 0:,} bytes"])


def search(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """Pictures that a text describes, by a CLIP set, the most like it first."""
    words = asked.needed(given, "text")
    with session.board():
        name = asked.text(given, "set") or session.text_set()
    if name is None:
        raise ColdframeError("searching by words needs a CLIP set: make one with 'coldframe embed clip'")
    (vector,) = session.reader(name)([words])
    with session.board() as board:
        similar = session.similar(name)
        cosines = similar.like(vector) if similar else []
        return {"rows": [board.row(at) | {"similarity": round(value, 4)} for at, value in cosines[:SEARCHED]]}
