"""Replay: run a plan from its first stage over images, scores and verdicts, and commit the result as one snapshot."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipeline.curate import given_split, rules, units
from pipeline.curate.plans import Plan, current
from pipeline.curate.state import State
from pipeline.embed import feature_sets
from pipeline.ingest import identity
from pipeline.steps.again import operand
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from store import digests, queries
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from store.store import Snapshot, Store

LOCK_WAIT_SECONDS = 60.0
MOST_TRIES = 3  # of a replay beside which verdicts are given

STEP = "curate"

# The text of a rule as this version has it, and as 0.2.0 had it: both take out the same while no near copies are known.
# (0.2.0 recorded the text with its comments, so that one without them would be another.)
SAME_WITHOUT_COPIES = {"e10fbe7b44d84ab1": "dbd75833f75178f4"}


@dataclass
class Replay:
    """A plan replayed over one moment of the store; nothing is written."""

    plan: Plan
    curation: pa.Table
    assignments: pa.Table
    stage_rows: list[tuple[int, int]]
    notes: list[str] = field(default_factory=list)


def replay(snapshot: Snapshot, plan: Plan, *, reassign: bool = False) -> Replay:
    """Run every stage of ``plan`` in order.

    With ``reassign``, the splits ignore where units were before.

    Raises:
        ColdframeError: a stage needs scores or embeddings that do not exist, or names a column that does not exist.
    """
    state = State(snapshot, plan, reassign=reassign)
    for stage in plan.stages:
        if stage.kind == "rule":
            state.apply_rule(stage)
        else:
            state.carve(stage)
    leaks = [
        note for stage in plan.stages if given_split.is_given(stage) for note in given_split.leaks(snapshot, stage)
    ]
    return Replay(
        plan,
        snapshot.query("steps/curate/curation", plan=plan.name),
        pa.concat_tables([SCHEMAS["assignments"].empty_table(), *state.assignments]),
        state.stage_rows,
        state.notes + leaks + identity.notes(snapshot),
    )


def curate(
    store: Store,
    make_plan: Callable[[Snapshot], Plan],
    *,
    reassign: bool = False,
    before_commit: Callable[[Plan], None] | None = None,
) -> Replay:
    """Replay a plan and commit the outcome as one snapshot.

    ``make_plan`` gets the snapshot that is replayed, so that two processes cannot lose each other's stages.
    ``before_commit`` is called once the replay has succeeded.

    Raises:
        Locked: another curation has been running for a minute.
    """
    with lock(store):
        return replay_and_commit(store, make_plan, reassign=reassign, before_commit=before_commit)


def lock(store: Store) -> AbstractContextManager[None]:
    """The lock for replaying a plan, or changing what every replay reads."""
    return store.lock("curation", wait=LOCK_WAIT_SECONDS)


def replay_and_commit(
    store: Store,
    make_plan: Callable[[Snapshot], Plan],
    *,
    reassign: bool = False,
    before_commit: Callable[[Plan], None] | None = None,
) -> Replay:
    """:func:`curate` for callers that already hold :func:`lock`.

    A page records verdicts without the lock, so that nobody waits. If some come meanwhile, the plan is replayed again, at most
    :data:`MOST_TRIES` times in all. The replay is dated by when it read the store, so verdicts that it missed count as waiting.
    """
    started = time.monotonic()
    for _ in range(MOST_TRIES):
        read_at = datetime.now(UTC)
        snapshot = store.snapshot()
        plan = make_plan(snapshot)
        result = replay(snapshot, plan, reassign=reassign)
        if store.snapshot().manifest.parts("verdicts") == snapshot.manifest.parts("verdicts"):
            break
    inputs = inputs_read(snapshot, plan)  # not before: a condition that cannot be answered would be waited for twice
    if before_commit:
        before_commit(plan)
    kept = result.curation["rule"].null_count
    with store.commit("curate") as commit:
        commit.replace("curation", result.curation, key=plan.name)
        commit.replace("assignments", result.assignments, key=plan.name)
        commit.replace("stages", _stages_table(plan, result.stage_rows), key=plan.name)
        commit.record_step(
            STEP,
            plan.name,
            settings=plan_settings(plan),
            inputs=inputs,
            seconds=time.monotonic() - started,
            rows_in=len(result.curation),
            rows_out=kept,
            read_at=read_at,
        )
    return result


def what_if(snapshot: Snapshot, plan: Plan, *, reassign: bool = False) -> tuple[Replay, pa.Table]:
    """Replay a plan without committing it; also return what it would change, one row per class.

    The comparison is with the plan as last replayed, or with nothing left out if it never was.
    """
    snapshot.materialise("before", "steps/curate/curation_now", plan=plan.name)
    if not snapshot.value("steps/curate/count_before"):
        snapshot.register("before", replay(snapshot, Plan(plan.name)).curation)
    result = replay(snapshot, plan, reassign=reassign)
    snapshot.register("after", result.curation)
    return result, snapshot.query("steps/curate/class_changes")


def plan_settings(plan: Plan) -> dict[str, Any]:
    """A plan as JSON."""
    return {"seed": plan.seed, "stages": [stage.to_table() for stage in plan.stages]}


def inputs_read(snapshot: Snapshot, plan: Plan) -> dict[str, str]:
    """A digest of each input of a replay of ``plan``: columns of images, verdicts, scores, feature sets."""
    texts = [rules.text(stage.name) for stage in plan.stages if stage.kind == "rule"]
    grouped = {stage.settings.get("by") for stage in plan.stages} - {None}
    columns = [
        name
        for name in snapshot.columns("images")
        if name in ("content_id", "label") or name in grouped or any(queries.uses(text, name) for text in texts)
    ]
    inputs = feature_sets.column_digests(snapshot, columns)
    near_copies = snapshot.value("steps/curate/copies/digest")
    for stage in plan.stages:
        if stage.kind == "rule":
            text = digests.of_json(rules.text(stage.name))
            inputs[f"the text of rule {stage.name}"] = text if near_copies else SAME_WITHOUT_COPIES.get(text, text)
        elif given_split.is_given(stage):
            inputs[f"the rows of split {stage.name}"] = given_split.digest(snapshot, stage)
    inputs["verdicts"] = snapshot.value("steps/curate/verdicts_digest")
    if any(queries.uses(text, "corrections") for text in texts):
        inputs["corrections"] = snapshot.value("steps/curate/corrections_digest")
    if near_copies and any(
        stage.kind == "split" or queries.uses(rules.text(stage.name), "copies") for stage in plan.stages
    ):
        inputs["near copies"] = near_copies
    if any(queries.uses(text, "facts") for text in texts) or (units.BURST in grouped and units.BURST not in columns):
        inputs["facts of pictures"] = snapshot.value("steps/curate/facts_digest")
    if any(queries.uses(text, "scores") for text in texts):
        inputs["scores"] = snapshot.value("steps/curate/scores_digest")
    for stage in plan.stages:
        if stage.kind == "rule" and rules.relations(stage.name):
            name = feature_sets.choose(snapshot, stage.settings.get("embedder"))
            inputs[f"embeddings of {name}"] = feature_sets.digest(snapshot, name)
    return inputs


def out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why a plan has to be replayed; None if it need not be, or if the plan is unknown."""
    plan = current(config, moment, name) if moment is not None else None
    record = Record.of(moment, STEP, name)
    if record is None or moment is None:
        return NEVER
    if plan is None:
        return None
    try:
        inputs = inputs_read(moment, plan)
    except ColdframeError as error:  # such as a condition that cannot be answered
        return str(error)
    return record.difference(plan_settings(plan), inputs)


def again(plan: str) -> list[str]:
    """The command that replays a plan."""
    return [STEP, "--plan", operand(plan)]


def _stages_table(plan: Plan, stage_rows: list[tuple[int, int]]) -> pa.Table:
    rows = [
        {
            "plan": plan.name,
            "position": position,
            "kind": stage.kind,
            "name": stage.name,
            "settings": json.dumps(dict(stage.settings)),
            "rows_in": rows_in,
            "rows_out": rows_out,
        }
        for position, (stage, (rows_in, rows_out)) in enumerate(zip(plan.stages, stage_rows, strict=True), start=1)
    ]
    return pa.Table.from_pylist(rows, SCHEMAS["stages"])
