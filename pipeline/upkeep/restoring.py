"""Restoring: rows of a damaged part that exist exactly elsewhere in the store."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipeline.curate import replay
from pipeline.embed.made import FEATURE_SET
from pipeline.embed.settings import STEP as EMBED
from pipeline.upkeep.mending import LOST, Mending, recorded
from store.schemas import SCHEMAS, conform
from store.store import Snapshot


def restore_sets(mending: Mending) -> dict[str, dict[str, Any] | None]:
    """Put back the rows of feature sets from the records of their embeds.

    Without its row, nothing tells how the vectors of a set were made, so they are removed too. The result has each set whose row
    was lost, with the row put back or None.
    """
    rows = {name: _set_row(mending.rest, name) for name in mending.lost_keys("feature_sets")}
    for name, row in rows.items():
        if row is not None:
            mending.restore(("feature_sets", name), row, "the record of its embed")
        else:
            mending.take_out("embeddings", name, "how they were made is lost")
    return {name: None if row is None else row.to_pylist()[0] for name, row in rows.items()}


def restore_plans(mending: Mending) -> set[str]:
    """Put back the stages, the record and the splits of plans from one another; return the plans that changed."""
    touched = set()
    for plan in sorted({*mending.lost_keys("stages", "assignments"), *mending.lost_records(replay.STEP)}):
        settings = _plan_settings(mending.rest, plan)
        if settings is None:
            continue
        if ("stages", plan) in mending.lost:
            mending.restore(("stages", plan), _stages(plan, settings), "the record of its last replay")
        is_known_where = not mending.lost_keys("images") and plan not in mending.lost_keys("curation")
        if ("assignments", plan) in mending.lost and is_known_where:
            rows = _assignments(mending.rest, plan, settings)
            mending.restore(
                ("assignments", plan), rows, "the splits as they are; images out at the moment lose their place"
            )
        if ("steps", f"{replay.STEP}/{plan}") in mending.lost:
            mending.restore(("steps", f"{replay.STEP}/{plan}"), _curate_record(plan, settings), "its stages")
        touched.add(plan)
    return touched


def _set_row(rest: Snapshot, name: str) -> pa.Table | None:
    """The row of a feature set from its embed's record, if the record has it."""
    record = rest.rows("steps/steps/step", step=EMBED, name=name)
    kept = recorded((recorded(record[0]["inputs"]) or {}).get(FEATURE_SET)) if record else None
    if kept is None or kept.get("embedder") != name:
        return None
    try:
        row = kept | {"created_at": datetime.fromisoformat(kept["created_at"])}
        return pa.Table.from_pylist([row], SCHEMAS["feature_sets"])
    except (ValueError, KeyError, TypeError, pa.ArrowException):  # the record is a stranger's
        return None


def _plan_settings(rest: Snapshot, plan: str) -> dict[str, Any] | None:
    """Seed and stages of a plan, from its record, or else from its stages and the seed of its splits."""
    record = rest.rows("steps/steps/step", step=replay.STEP, name=plan)
    settings = recorded(record[0]["settings"]) if record else None
    if settings is not None and _is_replay(settings):
        return settings
    rows = rest.rows("steps/curate/plan_stages", plan=plan)
    seed = rest.value("steps/upkeep/seed", plan=plan)
    if not rows or (seed is None and any(row["kind"] == "split" for row in rows)):
        return None
    stages = [{**(recorded(row["settings"]) or {}), row["kind"]: row["name"]} for row in rows]
    settings = {"seed": seed or 0, "stages": stages}
    return settings if _is_replay(settings) else None


def _is_replay(settings: dict[str, Any]) -> bool:
    """Whether a plan's settings have the form that a replay keeps."""
    stages, seed = settings.get("stages"), settings.get("seed")
    if type(seed) is not int or not -(2**63) <= seed < 2**63 or not isinstance(stages, list):
        return False
    kinds = [[one.get(kind) for kind in ("rule", "split") if kind in one] for one in stages if isinstance(one, dict)]
    is_named = len(kinds) == len(stages) and all(len(one) == 1 and isinstance(one[0], str) for one in kinds)
    return is_named and all(isinstance(one.get("share"), int | float) for one in stages if "split" in one)


def _assignments(rest: Snapshot, plan: str, settings: dict[str, Any]) -> pa.Table:
    splits = [one for one in settings["stages"] if "split" in one]
    tables = [SCHEMAS["assignments"].empty_table()]
    for position, one in enumerate(splits, start=1):
        later = [other["split"] for other in splits[position:]]
        place = {"plan": plan, "stage": one["split"], "seed": settings["seed"], "share": one["share"]}
        tables.append(conform("assignments", rest.query("steps/upkeep/assignments", later=later, **place)))
    return pa.concat_tables(tables)


def _stages(plan: str, settings: dict[str, Any]) -> pa.Table:
    """The stages of a plan; how many rows each got and left is unknown until it is replayed."""
    rows = []
    for position, stage in enumerate(settings["stages"], start=1):
        kind = "rule" if "rule" in stage else "split"
        own = {key: value for key, value in stage.items() if key != kind}
        rows.append(
            {"plan": plan, "position": position, "kind": kind, "name": stage[kind], "settings": json.dumps(own)}
        )
    return pa.Table.from_pylist(rows, SCHEMAS["stages"])


def _curate_record(plan: str, settings: dict[str, Any]) -> pa.Table:
    """The record of a replay, marked as out of date."""
    row = {
        "step": replay.STEP,
        "name": plan,
        "created_at": datetime.now(UTC),
        "settings": json.dumps(settings, sort_keys=True),
        "inputs": json.dumps({LOST: str(datetime.now(UTC))}),
    }
    return pa.Table.from_pylist([row], SCHEMAS["steps"])
