"""Replay: a plan replayed from the top over images, scores and verdicts, committed as one snapshot."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.curate import centroids, rules, scorers, units
from pipeline.curate.plans import Plan, Stage, current, from_store, percentiles
from pipeline.embed import feature_sets
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from store import digests, queries
from store.errors import ColdframeError
from store.matrices import Vectors
from store.rows import json_of
from store.schemas import SCHEMAS, TRAIN, as_text
from store.store import Snapshot, Store

LOCK_WAIT_SECONDS = 60.0

STEP = "curate"


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

    With ``reassign`` the splits forget where units were before.

    Raises:
        ColdframeError: a stage needs scores or embeddings that do not exist, or names a column that does not.
    """
    state = _State(snapshot, plan, reassign=reassign)
    for stage in plan.stages:
        if stage.kind == "rule":
            state.apply_rule(stage)
        else:
            state.carve(stage)
    return Replay(
        plan,
        snapshot.query("steps/curate/curation", plan=plan.name),
        pa.concat_tables([SCHEMAS["assignments"].empty_table(), *state.assignments]),
        state.stage_rows,
        state.notes,
    )


def curate(
    store: Store,
    make_plan: Callable[[Snapshot], Plan],
    *,
    reassign: bool = False,
    before_commit: Callable[[Plan], None] | None = None,
) -> Replay:
    """Replay a plan and commit the outcome as one snapshot.

    ``make_plan`` gets the moment that is replayed, so that two processes cannot lose each other's stages;
    ``before_commit`` is called when the replay has succeeded.

    Raises:
        Locked: another curation has been running for a minute.
    """
    with lock(store):
        return replay_and_commit(store, make_plan, reassign=reassign, before_commit=before_commit)


def lock(store: Store) -> AbstractContextManager[None]:
    """Held by whoever replays a plan or changes what every replay reads."""
    return store.lock("curation", wait=LOCK_WAIT_SECONDS)


def replay_and_commit(
    store: Store,
    make_plan: Callable[[Snapshot], Plan],
    *,
    reassign: bool = False,
    before_commit: Callable[[Plan], None] | None = None,
) -> Replay:
    """:func:`curate` for those who hold :func:`lock` already."""
    started = time.monotonic()
    snapshot = store.snapshot()
    plan = make_plan(snapshot)
    inputs = inputs_read(snapshot, plan)
    result = replay(snapshot, plan, reassign=reassign)
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
        )
    return result


def what_if(snapshot: Snapshot, plan: Plan, *, reassign: bool = False) -> tuple[Replay, pa.Table]:
    """A replay that is not committed, and what it would change: one row per class.

    Compared with the plan as it was last replayed, or with nothing left out where it never was.
    """
    snapshot.materialise("before", "steps/curate/curation_now", plan=plan.name)
    if not snapshot.value("steps/curate/rows_before"):
        snapshot.register("before", replay(snapshot, Plan(plan.name)).curation)
    result = replay(snapshot, plan, reassign=reassign)
    snapshot.register("after", result.curation)
    return result, snapshot.query("steps/curate/class_changes")


def plan_settings(plan: Plan) -> dict[str, Any]:
    """A plan as JSON."""
    return {"seed": plan.seed, "stages": [stage.to_table() for stage in plan.stages]}


def inputs_read(snapshot: Snapshot, plan: Plan) -> dict[str, str]:
    """A digest of each thing a replay of ``plan`` reads: columns of images, verdicts, scores, feature sets."""
    texts = [rules.text(stage.name) for stage in plan.stages if stage.kind == "rule"]
    grouped = {stage.settings.get("by") for stage in plan.stages} - {None}
    columns = [
        name
        for name in snapshot.columns("images")
        if name in ("content_id", "label") or name in grouped or any(queries.uses(text, name) for text in texts)
    ]
    inputs = feature_sets.column_digests(snapshot, columns)
    for stage in plan.stages:
        if stage.kind == "rule":
            inputs[f"the text of rule {stage.name}"] = digests.of_json(rules.text(stage.name))
    inputs["verdicts"] = snapshot.value("steps/curate/verdicts_digest")
    if any(queries.uses(text, "scores") for text in texts):
        inputs["scores"] = snapshot.value("steps/curate/scores_digest")
    for stage in plan.stages:
        if stage.kind == "rule" and queries.uses(rules.text(stage.name), rules.CENTROIDS):
            name = feature_sets.choose(snapshot, stage.settings.get("embedder"))
            inputs[f"embeddings of {name}"] = feature_sets.digest(snapshot, name)
    return inputs


def out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why a plan has to be replayed; None where it need not, or where nobody knows the plan."""
    plan = current(config, moment, name) if moment is not None else None
    record = Record.of(moment, STEP, name)
    if record is None or moment is None:
        return NEVER
    return None if plan is None else record.difference(plan_settings(plan), inputs_read(moment, plan))


def again(plan: str) -> list[str]:
    """The replay of a plan."""
    return [STEP, "--plan", plan]


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


class _State:
    """The images while a plan is replayed, in temporary tables that the SQL of rules and splits reads.

    ``state`` has every ready image and where it stands; ``candidates`` those the stages so far have left, made anew for
    each pass. A rule may also read ``centroid_distances``, and what it selects is ``hits``. A split reads ``groups`` (of
    ``by``), ``units`` (images that stay together), ``assigned`` and ``assigned_elsewhere`` (where they were before), and makes
    ``split_units``, ``split_quotas`` and ``carved``, one after the other.
    """

    def __init__(self, snapshot: Snapshot, plan: Plan, *, reassign: bool) -> None:
        self._snapshot, self._plan, self._reassign = snapshot, plan, reassign
        self._vectors: dict[str, Vectors] = {}
        self.assignments: list[pa.Table] = []
        self.stage_rows: list[tuple[int, int]] = []
        self.notes: list[str] = []
        snapshot.materialise("state", "steps/curate/replay_start")

    def _find_candidates(self) -> int:
        """Make ``candidates`` anew; how many there are."""
        self._snapshot.materialise("candidates", "steps/curate/candidates")
        return self._left()

    def _left(self) -> int:
        """How many images the stages so far have left."""
        return int(self._snapshot.value("steps/curate/candidates_count"))

    def apply_rule(self, stage: Stage) -> None:
        """Take out what a rule hits, pass by pass."""
        rows_in = 0
        for number, percentile in enumerate(percentiles(stage.settings), start=1):
            candidates = self._find_candidates()
            rows_in = rows_in or candidates
            self._prepare(stage, candidates)
            settings = dict(stage.settings) | {rules.PASSES: percentile}
            try:
                self._snapshot.materialise("hits", rules.file(stage.name), **settings)
                self._check_hits(stage)
                self._snapshot.materialise("state", "steps/curate/replay_exclude", rule=stage.name, **{"pass": number})
            except duckdb.Error as error:
                raise ColdframeError(
                    f"rule {stage.name} (sql/{rules.file(stage.name)}.sql) failed: {error}; a rule selects image_id, value, "
                    "threshold"
                ) from error
        self.stage_rows.append((rows_in, self._left()))

    def _prepare(self, stage: Stage, candidates: int) -> None:
        """Provide what a rule's SQL reads besides ``candidates``; scores and vectors that are missing are an error."""
        text = rules.text(stage.name)
        if queries.uses(text, rules.CENTROIDS):
            self._snapshot.register(rules.CENTROIDS, self._centroid_distances(stage))
        if queries.uses(text, "scores"):
            # a rule named after a scorer reads that one; another may read any
            scorer = stage.name if stage.name in scorers.names() else None
            scored = self._snapshot.value("steps/curate/candidates_scored", scorer=scorer)
            if not scored:
                raise ColdframeError(
                    f"rule {stage.name}: no scores yet; run 'coldframe score {scorer or 'NAME'}' first"
                )
            self._note_missing(stage, candidates - scored, "score")

    def _check_hits(self, stage: Stage) -> None:
        for row in self._snapshot.rows("steps/curate/wrong_hits"):
            raise ColdframeError(
                f"rule {stage.name} (sql/{rules.file(stage.name)}.sql) gave {row['image_id']!r} {row['hits']} times"
                f"{'' if row['is_candidate'] else ', which is no candidate'}: a rule gives each candidate at most once"
            )

    def _note_missing(self, stage: Stage, missing: int, what: str) -> None:
        if missing:
            self.notes.append(f"rule {stage.name}: {missing} images have no {what} yet and stay in")

    def _centroid_distances(self, stage: Stage) -> pa.Table:
        """One row per candidate whose class has a centroid: ``image_id, label, split, distance, class_size``."""
        name = feature_sets.choose(self._snapshot, stage.settings.get("embedder"))
        if name not in self._vectors:
            self._vectors[name] = feature_sets.vectors(self._snapshot, name)
        known, candidates = self._vectors[name], self._snapshot.query("steps/curate/candidate_rows")
        rows = known.positions(candidates["content_id"])
        labels = candidates["label"].to_numpy(zero_copy_only=False)
        has_vector = rows >= 0
        self._note_missing(stage, int((~has_vector).sum()), f"embedding in {name}")
        usable = has_vector & np.array([label is not None for label in labels], bool)
        ids, split = candidates["image_id"].to_numpy()[usable], candidates["split"].to_numpy()[usable]
        names, classes = np.unique(labels[usable].astype(str), return_inverse=True)
        rows = rows[usable]
        in_train = split == TRAIN
        means, sizes = centroids.class_centroids(known.matrix, rows[in_train], classes[in_train], len(names))
        distance = centroids.distances(known.matrix, rows, classes, means)
        if stage.settings.get("leave_one_out"):
            # only training rows are part of their centroid
            distance = np.where(in_train, centroids.leave_one_out(distance, sizes[classes]), distance)
        defined = (sizes[classes] > 0) & np.isfinite(distance)
        return pa.table(
            {
                "image_id": pa.array(ids[defined], pa.string()),
                "label": pa.array(names[classes][defined], pa.string()),
                "split": pa.array(split[defined], pa.string()),
                "distance": distance[defined],
                "class_size": sizes[classes][defined],
            }
        )

    def carve(self, stage: Stage) -> None:
        """Move whole units out of train into a split."""
        candidates = self._find_candidates()
        by = stage.settings.get("by")
        self._snapshot.register("groups", self._groups(stage, by))
        links = self._snapshot.query("steps/curate/unit_links")
        self._snapshot.register("units", units.connected(links))
        self._check_same_units(stage)
        place = {"plan": self._plan.name, "stage": stage.name, "seed": self._plan.seed}
        share = float(stage.settings["share"])
        others = [] if self._reassign else [one.name for one in self._plan.stages if one.kind == "split"]
        remembered = {**place, "seed": None} if self._reassign else place
        self._snapshot.materialise("assigned", "steps/curate/assigned", **remembered)
        self._snapshot.materialise("assigned_elsewhere", "steps/curate/assigned_elsewhere", stages=others, **remembered)
        self._snapshot.materialise("split_units", "steps/curate/split_units", share=share)
        self._snapshot.materialise("split_quotas", "steps/curate/split_quotas", share=share, seed=self._plan.seed)
        self._snapshot.materialise("carved", "steps/curate/carve", seed=self._plan.seed)
        self.assignments.append(self._snapshot.query("steps/curate/assignments", share=share, **place))
        for row in self._snapshot.rows("steps/curate/mixed_units"):
            self.notes.append(
                f"split {stage.name}: {row['image_id']} and its copies have several labels ({', '.join(row['labels'])}) and "
                "count for the most frequent"
            )
        shortfall = self._snapshot.value("steps/curate/split_shortfall")
        if shortfall:
            self.notes.append(
                f"split {stage.name}: {shortfall} units short of its share, since units placed before stay: new images fill "
                "it, --reassign draws anew"
            )
        self._snapshot.materialise("state", "steps/curate/replay_split", split=stage.name)
        self.stage_rows.append((candidates, candidates))

    def _check_same_units(self, stage: Stage) -> None:
        """Another ``by`` makes other units: those placed before could not all stay where they are."""
        for row in self._snapshot.rows("steps/curate/plan_stages", plan=self._plan.name):
            if (row["kind"], row["name"]) != ("split", stage.name) or self._reassign or not self._is_same_seed():
                continue
            before, now = (
                json_of(row["settings"], f"the settings of split {stage.name}").get("by"),
                stage.settings.get("by"),
            )
            if before != now:
                raise ColdframeError(
                    f"split {stage.name}: it kept {before or 'nothing but equal files'} together, now {now or 'nothing else'}: "
                    "units placed before would have to move; add --reassign to draw anew"
                )

    def _is_same_seed(self) -> bool:
        before = from_store(self._snapshot, self._plan.name)
        return before is not None and before.seed == self._plan.seed

    def _groups(self, stage: Stage, by: str | None) -> pa.Table:
        """The group of each image for ``--by``: ``image_id, group_value``."""
        columns = self._snapshot.columns("images")
        if by is None:
            return pa.table({"image_id": pa.array([], pa.string()), "group_value": pa.array([], pa.string())})
        if by not in columns:
            raise ColdframeError(
                f"split {stage.name}: no column {by!r} to keep together; columns: {', '.join(columns)}"
            )
        images = self._snapshot.select("images", "image_id", by)
        return pa.table({"image_id": images["image_id"], "group_value": as_text(images[by])})
