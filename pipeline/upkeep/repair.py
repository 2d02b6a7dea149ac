"""Repair: damaged parts are taken out of a store and kept aside, and it is said how their rows are made again.

What can be had from elsewhere in the store exactly is put back: parts that a damaged one was merged from, a feature set's row
out of the record of its embed, a plan's stages and splits out of its record and its curation. What refers to something
that is lost for good is taken out with it. All of it is one commit.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.embed.embed import FEATURE_SET, VIEWS_STEP
from pipeline.runs.evaluations import Evaluation, record_name
from pipeline.runs.runs import is_id, name_in
from pipeline.upkeep import remaking
from store import compaction, files, garbage, manifest, opening, parts
from store.errors import StoreDamaged
from store.manifest import Manifest
from store.parts import Part
from store.rows import json_of
from store.schemas import SCHEMAS, conform
from store.store import Snapshot, Store

FOLDER = "damaged"
LOST = "rows that repair took out"  # among the inputs of a step: it is out of date
Slice = tuple[str, str]


@dataclass
class Outcome:
    """What was found and done, a line each; ``commands`` fill the holes, in order."""

    damaged: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    folder: Path | None = None


@dataclass(frozen=True)
class _Change:
    """Live parts taken out of a dataset, and what takes their place: whole parts, or rows to be written."""

    dataset: str
    key: str
    old: tuple[Part, ...]
    parts: tuple[Part, ...] = ()
    rows: pa.Table | None = None


def repair(store: Store, *, dry_run: bool = False) -> Outcome:
    """Make a store whole again, as far as it can be.

    Killed at any moment it leaves a store no worse than it was; it can be run again.

    Raises:
        Locked: a gc, another repair, or an embed of a set that is to go is running, or another command has changed
            meanwhile what is to be repaired; then nothing is taken out.
    """
    if dry_run:
        return _Repair(store).outcome
    with store.lock("maintenance"):
        found = _Repair(store)
        found.apply(store)
    return found.outcome


def describe(outcome: Outcome) -> list[str]:
    """What ``coldframe repair`` prints."""
    if not outcome.damaged:
        return ["nothing to repair: every part and every manifest is whole"]
    lines = [f"damaged: {line}" for line in outcome.damaged]
    lines += [f"restored: {line}" for line in outcome.restored]
    lines += [f"lost: {line}" for line in outcome.lost]
    lines += [f"set aside: {line}" for line in outcome.set_aside]
    lines += [f"kept aside in {outcome.folder}"] if outcome.folder else []
    if outcome.commands:
        lines += ["to make again what is lost, run:", *(f"  {command}" for command in outcome.commands)]
    return lines


class _Repair:
    """A look at every live part of one moment, and the changes that follow."""

    def __init__(self, store: Store) -> None:
        self.outcome = Outcome()
        self._root = store.root
        self._live = manifest.newest_whole(store.root)
        self._changes: list[_Change] = []
        self._damaged: list[tuple[str, Part]] = []
        self._torn = manifest.torn(store.root)
        self._aside: list[Path] = []  # whole files
        self._replay: set[str] = set()  # plans
        self._sets_out: list[str] = []  # feature sets that go, vectors and all
        for dataset, live in sorted(self._live.datasets.items()):
            for part in live:
                problem = parts.problem_of(store.root, part, deep=True)
                if problem:
                    self._damaged.append((dataset, part))
                    self.outcome.damaged.append(f"{store.root / part.path}: {problem}")
        self._note_torn()
        if self._damaged:
            without = {
                dataset: tuple(part for part in live if (dataset, part) not in self._damaged)
                for dataset, live in self._live.datasets.items()
            }
            # the rest of the store can still be asked
            self._rest = Snapshot(store.root, Manifest(self._live.number, 0, "", "", without))
            self._plan()
            self._rest.connection.close()
        if self._torn or self._aside or self._damaged_files():
            self.outcome.folder = store.root / FOLDER

    def apply(self, store: Store) -> None:
        """Keep a second name of each file in the folder of damaged ones, commit, and only then drop the first."""
        damaged = self._damaged_files()
        with ExitStack() as locks:
            for name in self._sets_out:  # an embed would go on and add vectors that nobody knows the making of
                locks.enter_context(store.lock(f"embed-{name}"))
            for path in (*damaged, *self._torn, *self._aside):
                _keep_aside(store.root, path)
            with store.commit("repair", seen=self._live) as commit:
                for change in self._changes:
                    new = list(change.parts)
                    if change.rows is not None:
                        rows = conform(change.dataset, change.rows)
                        new.append(parts.write_table(store.root, change.dataset, change.key, rows))
                    commit.swap(change.dataset, change.old, new)
        for path in (*damaged, *self._torn):
            files.remove(path)
            files.sync_folder(path.parent)

    def _damaged_files(self) -> list[Path]:
        """The damaged parts that are there as files. A link or a pipe in their place stays: it is not ours to move."""
        return [path for _, part in self._damaged if stat.S_ISREG(_kind(path := self._root / part.path))]

    def _note_torn(self) -> None:
        self.outcome.damaged += [f"{path}: not whole" for path in self._torn]
        newer = [path for path in self._torn if int(path.stem) > self._live.number]
        if newer:
            named = {path for moment in manifest.whole(self._root) for path in garbage.paths_named(moment)}
            self._aside = [path for path in garbage.stray_parts(self._root, named) if path.suffix != ".tmp"]
            for path in newer:
                self.outcome.lost.append(
                    f"moment {int(path.stem)}: the store is as it was at moment {self._live.number}; 'coldframe status' says "
                    "what is out of date, and files that no other manifest names are kept aside"
                )

    def _plan(self) -> None:
        """Decide what to do about each damaged part."""
        lost: dict[Slice, list[Part]] = {}
        sources = compaction.sources(self._root, self._damaged)
        for dataset, part in self._damaged:
            merged = sources.get((dataset, part))
            if not part.rows and dataset in SCHEMAS:
                self._changes.append(_Change(dataset, part.key, (part,), rows=SCHEMAS[dataset].empty_table()))
                self.outcome.restored.append(f"the empty part of {dataset}, which holds its columns")
            elif merged:
                self._changes.append(_Change(dataset, part.key, (part,), parts=merged))
                self.outcome.restored.append(
                    f"{part.rows} rows of {_named(dataset, part.key)}, out of the {len(merged)} parts they were merged from"
                )
            else:
                lost.setdefault((dataset, part.key), []).append(part)
        self._lost = {one: tuple(found) for one, found in lost.items()}
        self._remake_sets()
        self._remake_plans()
        for (dataset, key), old in self._lost.items():
            self._changes.append(_Change(dataset, key, old))
            self.outcome.lost.append(f"{sum(part.rows for part in old)} rows of {_named(dataset, key)}")
        self._tell_verdicts()
        self._catalogue_commands()
        self._embed_commands()
        self._score_commands()
        self._curate_commands()
        self._views_commands()
        self._run_commands()
        self._tell_records()

    def _lost_keys(self, *datasets: str) -> list[str]:
        return sorted({key for dataset, key in self._lost if dataset in datasets})

    def _restore(self, one: Slice, rows: pa.Table, source: str) -> None:
        """Rows in place of a lost slice."""
        self._changes.append(_Change(*one, old=self._lost.pop(one), rows=rows))
        self.outcome.restored.append(f"{_named(*one)}, out of {source}")

    def _take_out(self, dataset: str, key: str, why: str) -> None:
        """Take out a whole slice that means nothing without what is lost."""
        live = self._rest.manifest.parts(dataset, key)
        if live:
            self._changes.append(_Change(dataset, key, live))
            self._aside += [self._root / part.path for part in live]
            rows = sum(part.rows for part in live)
            self.outcome.set_aside.append(f"{rows} rows of {_named(dataset, key)}, since {why}")

    def _command(self, make: Callable[[], str | None], what: str) -> None:
        """Say a command that fills a hole, made of what is recorded; the records of a stranger's store may say nothing."""
        try:
            command = make()
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, StoreDamaged):
            self.outcome.lost.append(f"the command for {what}: coldframe did not write its record")
            return
        if command and command not in self.outcome.commands:
            self.outcome.commands.append(command)

    def _mark(self, step: str, name: str) -> None:
        """Note in the record of a step that it has to be done again."""
        key = f"{step}/{name}"
        old = self._rest.manifest.parts("steps", key)
        rows = self._rest.rows("steps/status/step", step=step, name=name)
        if rows and not any(change.dataset == "steps" and change.key == key for change in self._changes):
            inputs = (_recorded(rows[0]["inputs"]) or {}) | {LOST: str(datetime.now(UTC))}
            row = {**rows[0], "inputs": json.dumps(inputs, sort_keys=True)}
            self._changes.append(_Change("steps", key, old, rows=pa.Table.from_pylist([row], SCHEMAS["steps"])))

    def _remake_sets(self) -> None:
        """Without its row nobody knows how the vectors of a set were made: out of the record, or they go with it."""
        rows = {name: self._set_row(name) for name in self._lost_keys("feature_sets")}
        self._sets = {name: row.to_pylist()[0] if row is not None else None for name, row in rows.items()}
        for name, row in rows.items():
            if row is not None:
                self._restore(("feature_sets", name), row, "the record of its embed")
            else:
                self._take_out("embeddings", name, "how they were made is lost")
                self._sets_out.append(name)

    def _set_row(self, name: str) -> pa.Table | None:
        """The row of a feature set as the record of its embed keeps it, if it does."""
        record = self._rest.rows("steps/status/step", step="embed", name=name)
        kept = _recorded((_recorded(record[0]["inputs"]) or {}).get(FEATURE_SET)) if record else None
        if kept is None or kept.get("embedder") != name:
            return None
        try:
            row = kept | {"created_at": datetime.fromisoformat(kept["created_at"])}
            return pa.Table.from_pylist([row], SCHEMAS["feature_sets"])
        except (ValueError, KeyError, TypeError, pa.ArrowException):  # a stranger's record
            return None

    def _remake_plans(self) -> None:
        """A plan's list of stages, its record and where its units were placed can be had from one another."""
        recorded = [key.removeprefix("curate/") for key in self._lost_keys("steps") if key.startswith("curate/")]
        for plan in sorted({*self._lost_keys("stages", "assignments"), *recorded}):
            settings = self._plan_settings(plan)
            if settings is None:
                continue
            if ("stages", plan) in self._lost:
                self._restore(("stages", plan), _stages(plan, settings), "the record of its last replay")
            if (
                ("assignments", plan) in self._lost
                and not self._lost_keys("images")
                and plan not in self._lost_keys("curation")
            ):
                rows = self._assignments(plan, settings)
                self._restore(
                    ("assignments", plan), rows, "the splits as they are; images out at the moment lose their place"
                )
            if ("steps", f"curate/{plan}") in self._lost:
                self._restore(("steps", f"curate/{plan}"), _curate_record(plan, settings), "its stages")
            self._replay.add(plan)

    def _plan_settings(self, plan: str) -> dict[str, Any] | None:
        """Seed and stages of a plan, from its record or else from its stages and the seed of its splits."""
        record = self._rest.rows("steps/status/step", step="curate", name=plan)
        recorded = _recorded(record[0]["settings"]) if record else None
        if recorded is not None and _is_replay(recorded):
            return recorded
        rows = self._rest.rows("steps/curate/plan_stages", plan=plan)
        seed = self._rest.value("steps/repair/seed", plan=plan)
        if not rows or (seed is None and any(row["kind"] == "split" for row in rows)):
            return None
        stages = [{**(_recorded(row["settings"]) or {}), row["kind"]: row["name"]} for row in rows]
        settings = {"seed": seed or 0, "stages": stages}
        return settings if _is_replay(settings) else None

    def _assignments(self, plan: str, settings: dict[str, Any]) -> pa.Table:
        splits = [one for one in settings["stages"] if "split" in one]
        tables = [SCHEMAS["assignments"].empty_table()]
        for position, one in enumerate(splits, start=1):
            later = [other["split"] for other in splits[position:]]
            place = {"plan": plan, "stage": one["split"], "seed": settings["seed"], "share": one["share"]}
            tables.append(conform("assignments", self._rest.query("steps/repair/assignments", later=later, **place)))
        return pa.concat_tables(tables)

    def _tell_verdicts(self) -> None:
        if self._lost_keys("verdicts"):
            self.outcome.lost.append(
                "verdicts cannot be made again: give them anew with keep and drop, before a plan is replayed; images they "
                "dropped still stand in: coldframe sql \"select image_id from exclusions where rule = 'verdict'\""
            )

    def _catalogue_commands(self) -> None:
        if (
            ("failures", "ingest") in self._lost
            or self._lost_keys("files", "images")
            or "ingest/" in self._lost_keys("steps")
        ):
            self._command(lambda: remaking.ingest_command(self._rest), "the catalogue")
            self._mark("ingest", "")
        if self._lost_keys("images"):
            self.outcome.lost.append(
                "images that were kept though the catalogue no longer has them cannot be made again"
            )

    def _embed_commands(self) -> None:
        failed = [key.removeprefix("embed/") for key in self._lost_keys("failures") if key.startswith("embed/")]
        recorded = [key.removeprefix("embed/") for key in self._lost_keys("steps") if key.startswith("embed/")]
        for name in sorted({*self._lost_keys("embeddings", "feature_sets"), *failed, *recorded}):
            row = self._row_of_set(name)
            self._command(partial(remaking.embed_command, self._rest, name, row), f"the feature set {name}")

    def _views_commands(self) -> None:
        """After the plans, whose training rows have the views."""
        recorded = [
            key.removeprefix(f"{VIEWS_STEP}/") for key in self._lost_keys("steps") if key.startswith(VIEWS_STEP)
        ]
        for name in sorted({*self._lost_keys("embeddings", "feature_sets"), *recorded}):
            row = self._row_of_set(name)
            self._command(partial(remaking.views_command, self._rest, name, row), f"the views of {name}")

    def _row_of_set(self, name: str) -> dict[str, Any] | None:
        rows = self._rest.rows("steps/embed/feature_set", embedder=name)
        return rows[0] if rows else self._sets.get(name)

    def _score_commands(self) -> None:
        for name in self._lost_keys("scores"):
            self._command(partial(remaking.score_command, self._rest, name), f"the scores of {name}")
            self._mark("score", name)

    def _curate_commands(self) -> None:
        for plan in self._lost_keys("stages"):
            self.outcome.lost.append(
                f"the stages of plan {plan} are known to nobody: add them anew, unless coldframe.toml has them"
            )
        for plan in self._lost_keys("assignments"):
            self.outcome.lost.append(
                f"plan {plan} draws its splits anew: images may change sides, so train again as well"
            )
        recorded = [key.removeprefix("curate/") for key in self._lost_keys("steps") if key.startswith("curate/")]
        for plan in sorted({*self._replay, *self._lost_keys("curation", "stages", "assignments"), *recorded}):
            self._command(partial(shlex.join, ["coldframe", "curate", "--plan", plan]), f"plan {plan}")
            self._mark("curate", plan)

    def _run_commands(self) -> None:
        """A run without its model or without the rows it saw cannot be evaluated, and predictions belong to a run."""
        gone = self._lost_keys("runs")
        to_evaluate = self._lost_keys("predictions", "evaluations", "group_evaluations")
        for run_id in gone:
            for dataset in ("models", "run_rows", "predictions", "evaluations", "group_evaluations"):
                live = self._rest.manifest.parts(dataset)
                for key in sorted({part.key for part in live if _run_of(part.key) == run_id}):
                    self._take_out(dataset, key, "its run is lost")
                    to_evaluate += [key] if dataset == "evaluations" else []
        for run_id in self._lost_keys("run_rows"):
            if run_id not in gone:
                self._take_out("models", run_id, "the rows it saw are lost, and it cannot be evaluated honestly")
        for key in self._lost_keys("predictions"):
            if _run_of(key) not in gone:
                self._take_out("evaluations", key, "its predictions are lost")
        unusable = self._lost_keys("runs", "models", "run_rows")
        for run_id in unusable:
            self._command(partial(remaking.train_command, self._rest, run_id), f"the run {run_id}")
            if not is_id(run_id):
                continue
            name = name_in(run_id)
            runs = [part.key for part in self._live.parts("runs") if part.rows and is_id(part.key)]
            newest = max((one for one in runs if name_in(one) == name), default=run_id)
            if run_id == newest:  # an id begins with its time
                for step in ("train", "tune", "finetune"):  # the one that made it has a record
                    self._mark(step, name)
        self._evaluate_commands(to_evaluate, unusable)

    def _evaluate_commands(self, keys: list[str], unusable: list[str]) -> None:
        lost: dict[tuple[str, str, str | None], list[str]] = {}
        for key in keys:
            if key.count("/") < 2 or not is_id(_run_of(key)):  # no key of ours, so nobody could make it again
                continue
            evaluation, split = key.split("/", 1)[1].rsplit("/", 1)
            try:
                plan = Evaluation.parse(evaluation).plan
            except StoreDamaged:
                continue
            lost.setdefault((_run_of(key), split, plan), []).append(evaluation)
        for (run_id, split, plan), evaluations in lost.items():
            name = name_in(run_id)
            run = name if run_id in unusable else run_id
            make = partial(remaking.evaluate_command, self._rest, run, name, split, evaluations)
            self._command(make, f"the evaluations of {run_id}")
            self._mark("evaluate", record_name(name, split, plan))

    def _tell_records(self) -> None:
        for key in self._lost_keys("steps"):
            if key.startswith(("score/", "train/", "tune/", "finetune/", "evaluate/")):
                self.outcome.lost.append(
                    f"the record of {key} is all that is lost of it: only 'coldframe run' would do it again"
                )


def _named(dataset: str, key: str) -> str:
    return f"{dataset} of {key}" if key else dataset


def _recorded(text: Any) -> dict[str, Any] | None:
    """The JSON object in a record; None where a stranger has put something else there."""
    try:
        return json_of(text, "")
    except StoreDamaged:
        return None


def _is_replay(settings: dict[str, Any]) -> bool:
    """Whether a plan's settings are such as a replay keeps."""
    stages, seed = settings.get("stages"), settings.get("seed")
    if type(seed) is not int or not -(2**63) <= seed < 2**63 or not isinstance(stages, list):
        return False
    kinds = [[one.get(kind) for kind in ("rule", "split") if kind in one] for one in stages if isinstance(one, dict)]
    is_named = len(kinds) == len(stages) and all(len(one) == 1 and isinstance(one[0], str) for one in kinds)
    return is_named and all(isinstance(one.get("share"), int | float) for one in stages if "split" in one)


def _run_of(key: str) -> str:
    return key.split("/", 1)[0]


def _stages(plan: str, settings: dict[str, Any]) -> pa.Table:
    """The stages of a plan; how many rows each got and left is not known until it is replayed."""
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
        "step": "curate",
        "name": plan,
        "created_at": datetime.now(UTC),
        "settings": json.dumps(settings, sort_keys=True),
        "inputs": json.dumps({LOST: str(datetime.now(UTC))}),
    }
    return pa.Table.from_pylist([row], SCHEMAS["steps"])


def _keep_aside(root: Path, path: Path) -> None:
    """A second name for a file, under its own path in the folder of damaged ones."""
    target = opening.make_own_folder(root, FOLDER, *path.relative_to(root).parts[:-1]) / path.name
    number = 1
    while os.path.lexists(target) and not os.path.samestat(target.lstat(), path.lstat()):
        number += 1
        target = target.with_stem(f"{path.stem}-{number}")
    if not stat.S_ISREG(_kind(path)):  # a link or a pipe in place of a manifest: moved as it is
        files.rename(path, target)
    elif not os.path.lexists(target):
        files.link(path, target)
    files.sync_folder(target.parent)


def _kind(path: Path) -> int:
    """What there is, as ``st_mode`` says; 0 for nothing."""
    try:
        return path.lstat().st_mode
    except OSError:
        return 0
