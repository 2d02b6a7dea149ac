"""Verdicts: a user keeps or drops an image; this overrides every rule."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from pipeline.curate import replay
from pipeline.curate.plans import Plan, current
from pipeline.ingest.images import find_images
from pipeline.steps.config import Config
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from store.store import Snapshot, Store


@dataclass(frozen=True)
class Outcome:
    """The images judged, and the plans replayed with the new verdicts."""

    images: tuple[str, ...]
    replayed: tuple[str, ...]


def judge(store: Store, config: Config, given: list[str], verdict: str, why: str) -> Outcome:
    """Record a verdict on each image, all or none, then replay every plan the store has.

    Raises:
        Locked: another curation has been running for a minute; nothing is recorded.
        ColdframeError: an image is unknown (nothing is recorded), or a plan cannot be replayed (the verdicts stay recorded).
    """
    with replay.lock(store):
        snapshot = store.snapshot()
        image_ids = find_images(snapshot, given)
        images = snapshot.select("images", "image_id", "content_id").to_pylist()
        contents = {row["image_id"]: row["content_id"] for row in images}
        now = snapshot.value("steps/steps/next_time")
        rows = [
            {"image_id": one, "content_id": contents[one], "verdict": verdict, "why": why, "created_at": now}
            for one in dict.fromkeys(image_ids)
        ]
        with store.commit(verdict) as commit:
            commit.append("verdicts", pa.Table.from_pylist(rows, SCHEMAS["verdicts"]))
        plans = [row["plan"] for row in snapshot.rows("steps/curate/plans")]
        for name in plans:
            try:
                replay.replay_and_commit(store, partial(_plan_in_force, config, name))
            except ColdframeError as error:
                error.args = (f"the verdict is recorded, but plan {name!r} could not be replayed: {error}",)
                raise
    return Outcome(tuple(dict.fromkeys(image_ids)), tuple(plans))


def _plan_in_force(config: Config, name: str, moment: Snapshot) -> Plan:
    return current(config, moment, name) or Plan(name)
