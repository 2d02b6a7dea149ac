"""The images while a plan is replayed: rules take them out, splits move them."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa

from pipeline.curate import given_split, rules, scorers, units
from pipeline.curate.plans import Plan, Stage, from_store, percentiles
from pipeline.curate.relations import RELATIONS
from pipeline.embed import feature_sets
from pipeline.steps import hints, names
from store import queries
from store.errors import ColdframeError
from store.matrices import Vectors
from store.rows import json_of
from store.store import Snapshot

MIXED_SHOWN = 3  # images whose copies have other labels, of all that there are


class State:
    """The images while a plan is replayed, in temporary tables that the SQL of rules and splits reads.

    ``state`` has every ready image and its place. ``candidates`` has the images left by the stages so far; it is made anew for
    each pass. A rule may also read the relations of :mod:`relations`; what it selects becomes ``hits``. A split reads
    ``groups`` (of ``by``), ``units`` (images that stay together), ``assigned`` and ``assigned_elsewhere`` (where they were
    before). It makes ``split_units``, ``split_quotas`` and ``carved``, in that order.
    """

    def __init__(self, snapshot: Snapshot, plan: Plan, *, reassign: bool) -> None:
        self._snapshot, self._plan, self._reassign = snapshot, plan, reassign
        self._vectors: dict[str, Vectors] = {}
        self.assignments: list[pa.Table] = []
        self.stage_rows: list[tuple[int, int]] = []
        self.notes: list[str] = []
        snapshot.materialise("state", "steps/curate/replay_start")

    def _find_candidates(self) -> int:
        """Make ``candidates`` anew; return how many there are."""
        self._snapshot.materialise("candidates", "steps/curate/candidates")
        return self._left()

    def _left(self) -> int:
        """How many images the stages so far have left."""
        return int(self._snapshot.value("steps/curate/count_candidates"))

    def apply_rule(self, stage: Stage) -> None:
        """Take out what a rule hits, pass by pass."""
        rows_in = 0
        self.notes += rules.doubts(stage.name, percentiles(stage.settings))
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
        """Provide what a rule's SQL reads besides ``candidates``; missing scores or vectors are an error."""
        text = rules.text(stage.name)
        for relation in rules.relations(stage.name):
            self._make_relation(relation, stage)
        if queries.uses(text, "facts"):
            lacking = self._snapshot.rows("steps/curate/count_without_facts")[0]["without_facts"]
            if lacking:
                self.notes.append(f"rule {stage.name}: {lacking} images have no facts and stay in: {units.READ_AGAIN}")
        if queries.uses(text, "scores"):
            # a rule named after a scorer reads that one; any other rule may read any scorer
            scorer = stage.name if stage.name in scorers.names() else None
            scored = self._snapshot.value("steps/curate/count_scored", scorer=scorer)
            if not scored:
                raise ColdframeError(
                    f"rule {stage.name}: no scores yet; run {hints.command('score', scorer or 'NAME')} first"
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

    def _make_relation(self, relation: str, stage: Stage) -> None:
        name = feature_sets.choose(self._snapshot, stage.settings.get("embedder"))
        if name not in self._vectors:
            self._vectors[name] = feature_sets.vectors(self._snapshot, name)
        known = self._vectors[name]
        candidates = self._snapshot.select("candidates", "image_id", "content_id", "label", "split").sort_by("image_id")
        self._note_missing(stage, int((known.positions(candidates["content_id"]) < 0).sum()), f"embedding in {name}")
        self._snapshot.register(relation, RELATIONS[relation].make(known, candidates, stage.settings))

    def carve(self, stage: Stage) -> None:
        """Move whole units out of train into a split."""
        candidates = self._find_candidates()
        if given_split.is_given(stage):
            given_split.take(self._snapshot, stage)
        else:
            self._draw(stage)
        self._snapshot.materialise("state", "steps/curate/replay_split", split=stage.name)
        self.stage_rows.append((candidates, candidates))

    def _draw(self, stage: Stage) -> None:
        """Choose the units of a share: ``carved``."""
        self._snapshot.register("groups", units.groups(self._snapshot, stage.name, stage.settings))
        self.notes += units.notes_of_bursts(self._snapshot, stage.name, stage.settings)
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
        by = stage.settings.get("by")
        self.notes += [f"split {stage.name}: {note}" for note in _notes_of_split(self._snapshot, by)]

    def _check_same_units(self, stage: Stage) -> None:
        """Check that the units are the same: another ``by`` makes other units, and those placed before could not all stay."""
        for row in self._snapshot.rows("steps/curate/plan_stages", plan=self._plan.name):
            if (row["kind"], row["name"]) != ("split", stage.name) or self._reassign or not self._is_same_seed():
                continue
            settings = json_of(row["settings"], f"the settings of split {stage.name}")
            before, now = (units.told(one) for one in (settings, stage.settings))
            if before != now:
                raise ColdframeError(
                    f"split {stage.name}: it kept {before or 'nothing but copies'} together, now {now or 'nothing but copies'}: "
                    "units placed before would have to move; add --reassign to draw anew"
                )

    def _is_same_seed(self) -> bool:
        before = from_store(self._snapshot, self._plan.name)
        return before is not None and before.seed == self._plan.seed


def _notes_of_split(snapshot: Snapshot, by: str | None) -> Iterator[str]:
    """What to know of a split that was just carved; ``by`` is the column whose values it keeps together."""
    grouped = snapshot.rows("steps/curate/mixed_groups")[0] if by is not None else None
    if grouped is not None and grouped["count_values"]:
        values = ", ".join(map(names.shortened, grouped["examples"]))
        yield (
            f"{grouped['count_values']} values of {by} hold several labels, such as {values}: each group counts for its most "
            "frequent label"
        )
    mixed = snapshot.rows("steps/curate/mixed_units")
    for row in mixed[:MIXED_SHOWN]:
        labels = ", ".join(names.shortened(label) for label in row["labels"][:MIXED_SHOWN])
        labels += f" and {len(row['labels']) - MIXED_SHOWN} others" if len(row["labels"]) > MIXED_SHOWN else ""
        yield f"{row['image_id']} and its copies have several labels ({labels}) and count for the most frequent"
    if len(mixed) > MIXED_SHOWN:
        yield f"{len(mixed) - MIXED_SHOWN} more images and their copies have several labels too"
    joined = snapshot.value("steps/curate/joined")
    if joined:
        rest = "copies" if by is None else f"copies or group of {by}"
        yield (
            f"{joined} images moved here from train, to join their {rest}: train again, since earlier runs have seen them; "
            "--reassign draws the split anew"
        )
    shortfall = snapshot.value("steps/curate/split_shortfall")
    if shortfall:
        yield (
            f"{shortfall} units short of its share, since units placed before stay: new images fill it, --reassign draws anew"
        )
