"""Verdicts: a user keeps or drops an image, which overrides every rule, or corrects its label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from pipeline.curate import replay
from pipeline.curate.plans import Plan, current
from pipeline.curate.verdict_lists import Judged
from pipeline.ingest.images import find_images
from pipeline.steps.config import Config
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from store.store import Snapshot, Store

RELABEL, UNSET = "relabel", "unset"
MOST_REMARKS = 20  # on new labels one by one, each of which is compared with all labels


@dataclass(frozen=True)
class Outcome:
    """The images judged, the plans replayed with the new verdicts, and remarks for the user."""

    images: tuple[str, ...]
    replayed: tuple[str, ...]
    notes: tuple[str, ...]


def judge(store: Store, config: Config, given: Sequence[Judged], verdict: str) -> Outcome:
    """Record a verdict on each image, all or none, then replay every plan the store has.

    A label is corrected for every image of the same content.

    Raises:
        Locked: another curation has been running for a minute; nothing is recorded.
        ColdframeError: an image is unknown, gets two labels, or has a NUL character in its label or reason: nothing is recorded.
        ColdframeError: a plan cannot be replayed; the verdicts stay recorded.
    """
    for one in given:
        for what, text in (("label", one.label), ("reason", one.why)):
            if text and "\0" in text:  # the catalogue's labels have none either
                raise ColdframeError(f"{one.image}: it has a NUL character in its {what}: remove it")
    with replay.lock(store):
        snapshot = store.snapshot()
        lost = _lost(snapshot, given) if verdict == UNSET else []
        gone = {row["image_id"] for row in lost}
        known = [one for one in given if one.image not in gone]
        image_ids = find_images(snapshot, [one.image for one in known])
        rows = [*_rows(snapshot, image_ids, _as_known(snapshot, known), verdict), *lost]
        with store.commit(verdict) as commit:
            commit.append("verdicts", pa.Table.from_pylist(rows, SCHEMAS["verdicts"]))
        plans = [row["plan"] for row in snapshot.rows("steps/curate/plans")]
        for name in plans:
            try:
                replay.replay_and_commit(store, partial(_plan_in_force, config, name))
            except ColdframeError as error:
                error.args = (f"the verdict is recorded, but plan {name!r} could not be replayed: {error}",)
                raise
    # after the lock is given back: nobody waits for a remark
    return Outcome(tuple(dict.fromkeys([*image_ids, *sorted(gone)])), tuple(plans), tuple(_new_labels(snapshot, rows)))


def _rows(snapshot: Snapshot, image_ids: list[str], given: Sequence[Judged], verdict: str) -> list[dict[str, Any]]:
    """The rows to record: one per image, even if it is named twice, and one per label that is withdrawn elsewhere."""
    images = snapshot.select("images", "image_id", "content_id").to_pylist()
    content_of = {row["image_id"]: row["content_id"] for row in images}
    now = snapshot.value("steps/steps/next_time")
    rows: dict[str, dict[str, Any]] = {}
    labels: dict[str, tuple[str, str | None]] = {}
    for image_id, one in zip(image_ids, given, strict=True):
        content = content_of[image_id]
        first, label = labels.setdefault(content, (image_id, one.label))
        if label != one.label:
            same = "it is" if first == image_id else f"it has the same bytes as {first}, which is"
            raise ColdframeError(f"{image_id}: labelled {one.label!r}, but {same} labelled {label!r}: give one label")
        judged = {"image_id": image_id, "content_id": content, "why": one.why, "label": one.label}
        rows.setdefault(image_id, judged | {"verdict": verdict, "created_at": now})
    if verdict != UNSET:
        return list(rows.values())
    # a label that an image lost with its bytes is withdrawn with the one that it has
    lost = snapshot.rows("steps/curate/lost_labels", image_ids=image_ids)
    return [*rows.values(), *(rows[row["image_id"]] | {"content_id": row["content_id"]} for row in lost)]


def _lost(snapshot: Snapshot, given: Sequence[Judged]) -> list[dict[str, Any]]:
    """The rows that withdraw verdicts which apply to no image any more, of those named by the id that they were given for."""
    why, now = {one.image: one.why for one in given}, snapshot.value("steps/steps/next_time")
    known = set(snapshot.select("images", "image_id")["image_id"].to_pylist())
    return [
        {**{name: row[name] for name in ("image_id", "content_id")}, "verdict": UNSET, "label": None}
        # a label belongs to the bytes, which another image may have: it stays where only a keep or drop is lost
        | {"given_for": None if row["is_label"] else row["image_id"], "why": why[row["image_id"]], "created_at": now}
        for row in snapshot.rows("steps/curate/lost")
        if row["image_id"] in why and row["image_id"] not in known
    ]


def _as_known(before: Snapshot, given: Sequence[Judged]) -> list[Judged]:
    """White space around a label counts where an image has a label with it."""
    if all(one.label is None or one.label == one.label.strip() for one in given):
        return list(given)
    known = {row["label"] for row in before.rows("steps/curate/labels")}
    return [one if one.label is None or one.label in known else replace(one, label=one.label.strip()) for one in given]


def _new_labels(before: Snapshot, rows: list[dict[str, Any]]) -> list[str]:
    """A remark on each label given that no image of the store had before, or on all if they are many: it may be a slip."""
    given = {row["label"] for row in rows if row["label"] is not None}
    known = {row["label"] for row in before.rows("steps/curate/labels")} if given else set()
    new = sorted(given - known)
    if len(new) > MOST_REMARKS:
        return [f"{len(new)} labels are new: no image had them, such as {new[0]!r}"]
    before.register("new_labels", pa.table({"label": pa.array(new, pa.string())}))
    meant = {row["label"]: row["known"] for row in before.rows("steps/curate/like_labels")} if new else {}
    notes = []
    for label in new:
        told = f"; did you mean {meant[label]!r}?" if label in meant else ""
        notes.append(f"{label!r} is a new label: no image had it{told}")
    return notes


def _plan_in_force(config: Config, name: str, moment: Snapshot) -> Plan:
    return current(config, moment, name) or Plan(name)
