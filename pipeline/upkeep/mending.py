"""Mending: what is damaged in a store, and the changes that take it out and put something in its place."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from store import compaction, files, garbage, manifest, opening, parts
from store.commits import Commit
from store.errors import StoreDamaged
from store.manifest import Manifest
from store.parts import Part
from store.rows import json_of
from store.schemas import SCHEMAS, conform
from store.store import Snapshot, Store

FOLDER = "damaged"
LOST = "rows that repair took out"  # a key among the inputs of a step that marks it as out of date
Slice = tuple[str, str]  # a dataset, and a key in it


@dataclass
class Outcome:
    """What was found and done, one line each; ``commands`` fill the holes, in order."""

    damaged: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    folder: Path | None = None


@dataclass(frozen=True)
class Change:
    """Live parts to take out of a dataset, and their replacement: whole parts, or rows to write."""

    dataset: str
    key: str
    old: tuple[Part, ...]
    parts: tuple[Part, ...] = ()
    rows: pa.Table | None = None

    def put_into(self, commit: Commit, root: Path) -> None:
        """Add the change to a commit."""
        new = list(self.parts)
        if self.rows is not None:
            new.append(parts.write_table(root, self.dataset, self.key, conform(self.dataset, self.rows)))
        commit.swap(self.dataset, self.old, new)


class Damage:
    """The damage found in every live part and every manifest of a store.

    Attributes:
        live: the newest intact manifest.
        damaged: live parts that have changed since they were written, each with its dataset.
        torn: manifests that are incomplete.
        rest: a snapshot of the store without its damaged parts, for queries.
    """

    def __init__(self, store: Store, outcome: Outcome) -> None:
        self.root = store.root
        self.live = manifest.newest_whole(store.root)
        self.torn = manifest.torn(store.root)
        self.damaged: list[tuple[str, Part]] = []
        for dataset, live in sorted(self.live.datasets.items()):
            for part in live:
                problem = parts.problem_of(store.root, part, deep=True)
                if problem:
                    self.damaged.append((dataset, part))
                    outcome.damaged.append(f"{store.root / part.path}: {problem}")
        outcome.damaged += [f"{path}: damaged or incomplete" for path in self.torn]
        without = {
            dataset: tuple(part for part in live if (dataset, part) not in self.damaged)
            for dataset, live in self.live.datasets.items()
        }
        self.rest = Snapshot(store.root, Manifest(self.live.number, 0, "", "", without))

    @property
    def files(self) -> list[Path]:
        """The damaged parts that are regular files. A link or a pipe in their place stays: it is not ours to move."""
        return [path for _, part in self.damaged if stat.S_ISREG(kind_of(path := self.root / part.path))]

    def newer(self) -> list[Path]:
        """Torn manifests of moments after the newest intact one."""
        return [path for path in self.torn if int(path.stem) > self.live.number]

    def strays(self) -> list[Path]:
        """Parts that no intact manifest names; a torn one may have named them."""
        named = {path for moment in manifest.whole(self.root) for path in garbage.paths_named(moment)}
        return [path for path in garbage.stray_parts(self.root, named) if path.suffix != ".tmp"]


class Mending:
    """The changes that make a store whole, while they are being decided.

    Attributes:
        lost: the slices whose rows are lost for good, with their damaged parts.
        aside: intact files that are put aside.
    """

    def __init__(self, found: Damage, outcome: Outcome) -> None:
        self.found, self.rest, self.outcome = found, found.rest, outcome
        self.changes: list[Change] = []
        self.aside: list[Path] = []
        lost: dict[Slice, list[Part]] = {}
        sources = compaction.sources(found.root, found.damaged)
        for dataset, part in found.damaged:
            merged = sources.get((dataset, part))
            if not part.rows and dataset in SCHEMAS:
                self.changes.append(Change(dataset, part.key, (part,), rows=SCHEMAS[dataset].empty_table()))
                outcome.restored.append(f"the empty part of {dataset}, which holds its columns")
            elif merged:
                self.changes.append(Change(dataset, part.key, (part,), parts=merged))
                outcome.restored.append(
                    f"{part.rows} rows of {named(dataset, part.key)}, out of the {len(merged)} parts they were merged from"
                )
            else:
                lost.setdefault((dataset, part.key), []).append(part)
        self.lost = {one: tuple(found) for one, found in lost.items()}

    def lost_keys(self, *datasets: str) -> list[str]:
        """The keys of some datasets that have lost rows."""
        return sorted({key for dataset, key in self.lost if dataset in datasets})

    def lost_records(self, step: str) -> list[str]:
        """The names of a step whose record is lost."""
        return [key.removeprefix(f"{step}/") for key in self.lost_keys("steps") if key.startswith(f"{step}/")]

    def restore(self, one: Slice, rows: pa.Table, source: str) -> None:
        """Replace a lost slice with rows."""
        self.changes.append(Change(*one, old=self.lost.pop(one), rows=rows))
        self.outcome.restored.append(f"{named(*one)}, out of {source}")

    def take_out(self, dataset: str, key: str, why: str) -> None:
        """Take out a whole slice that is meaningless without what is lost."""
        live = self.rest.manifest.parts(dataset, key)
        if live:
            self.changes.append(Change(dataset, key, live))
            self.aside += [self.found.root / part.path for part in live]
            rows = sum(part.rows for part in live)
            self.outcome.set_aside.append(f"{rows} rows of {named(dataset, key)}, since {why}")

    def take_out_lost(self) -> None:
        """Take out the damaged parts whose rows are lost."""
        for (dataset, key), old in self.lost.items():
            self.changes.append(Change(dataset, key, old))
            self.outcome.lost.append(f"{sum(part.rows for part in old)} rows of {named(dataset, key)}")

    def mark(self, step: str, name: str) -> None:
        """Mark a step in its record as out of date."""
        key = f"{step}/{name}"
        old = self.rest.manifest.parts("steps", key)
        rows = self.rest.rows("steps/steps/step", step=step, name=name)
        if rows and not any(change.dataset == "steps" and change.key == key for change in self.changes):
            inputs = (recorded(rows[0]["inputs"]) or {}) | {LOST: str(datetime.now(UTC))}
            row = {**rows[0], "inputs": json.dumps(inputs, sort_keys=True)}
            self.changes.append(Change("steps", key, old, rows=pa.Table.from_pylist([row], SCHEMAS["steps"])))


def named(dataset: str, key: str) -> str:
    """A slice's name for use in a sentence."""
    return f"{dataset} of {key}" if key else dataset


def recorded(text: Any) -> dict[str, Any] | None:
    """The JSON object in a record; None if a stranger has put something else there."""
    try:
        return json_of(text, "")
    except StoreDamaged:
        return None


def keep_aside(root: Path, paths: Sequence[Path]) -> None:
    """Give each file a second name, under its own path, in the folder of damaged files."""
    for path in paths:
        _keep_aside(root, path)


def _keep_aside(root: Path, path: Path) -> None:
    target = opening.make_own_folder(root, FOLDER, *path.relative_to(root).parts[:-1]) / path.name
    number = 1
    while os.path.lexists(target) and not os.path.samestat(target.lstat(), path.lstat()):
        number += 1
        target = target.with_stem(f"{path.stem}-{number}")
    if not stat.S_ISREG(kind_of(path)):  # a link or a pipe in place of a manifest: move it as it is
        files.rename(path, target)
    elif not os.path.lexists(target):
        files.link(path, target)
    files.sync_folder(target.parent)


def kind_of(path: Path) -> int:
    """The kind of a file, as in ``st_mode``; 0 if it does not exist."""
    try:
        return path.lstat().st_mode
    except OSError:
        return 0
