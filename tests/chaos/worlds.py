"""A tiny catalogue, the steps that are harmed, and the store as each step leaves it when nobody harms it."""

from __future__ import annotations

import fcntl
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.chaos import forks
from tests.support.coldframe import Catalogue, drawn, picture

SET = "mean-colour"
PLAN = """
[plans.default]
stages = [{ rule = "greyscale" }, { split = "test", share = 0.25 }, { split = "val", share = 0.25 }]
"""

# What no two runs of a step agree on, and of trained heads what they need not agree on.
VOLATILE = {
    "files": {"examined_at"},
    "facts": {"examined_at"},
    "feature_sets": {"created_at"},
    "embeddings": {"vector"},
    "verdicts": {"created_at"},
    "steps": {"created_at", "seconds", "settings", "inputs"},  # settings: also how often to commit, and the like
    "runs": {"run_id", "created_at", "seconds", "epochs", "history"},
    "run_rows": {"run_id"},
    "evaluations": {"run_id", "created_at", "accuracy", "f1_micro", "f1_macro", "f1_weighted", "loss", "loss_capped"},
    "predictions": {"run_id", "predicted", "probability", "label_probability", "rank"},
}


@dataclass(frozen=True)
class Step:
    """A command to harm: its arguments behind ``-s STORE``, the exit code it ends with, the step before it.

    It may begin with a part that is damaged; then ``remade`` are the steps that fill the hole again.
    """

    name: str
    arguments: tuple[str, ...]
    after: str = ""
    code: int = 0
    damaged: str = ""
    remade: tuple[str, ...] = ()


@dataclass
class Facts:
    """What a store holds, as far as two stores of the same history agree; and what is wrong with it in itself."""

    rows: dict[str, list[str]]
    vectors: dict[str, npt.NDArray[np.float32]]
    runs: int = 0
    half_runs: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class World:
    """The catalogue and, made when first asked for, the store behind each step."""

    def __init__(self, folder: Path, *, per_class: int = 4) -> None:
        self.folder = folder
        self.catalogue = _catalogue(folder / "catalogue", per_class)
        self.config = folder / "plan.toml"
        self.config.write_text(PLAN)
        metadata, images = str(self.catalogue.metadata), str(self.catalogue.images)
        ingest = ("ingest", metadata, "--images", images, "--id", "id", "--workers", "1", "--commit-seconds", "0")
        often = ("--batch", "2", "--commit-seconds", "0")
        curate = ("-c", str(self.config), "curate")
        train = ("train", "--head", "linear", "--epochs", "1")
        self.steps = {
            step.name: step
            for step in (
                Step("ingest", ingest, code=3),  # one row of the catalogue fails
                Step("embed", ("embed", SET, *often), after="ingest"),
                Step("curate", curate, after="embed"),
                Step("gc", ("gc", "--grace", "0s"), after="curate"),
                Step("repair", ("repair",), after="gc", damaged="embeddings", remade=("embed",)),
                Step("train", train, after="curate"),
                Step("evaluate", ("evaluate",), after="train"),
            )
        }
        self._facts: dict[str, Facts] = {}

    def store_after(self, name: str) -> Path:
        """The store behind a step that nobody harmed."""
        store = self.folder / "whole" / name
        if not store.exists():
            step = self.steps[name]
            self.place(step, store)
            ended = forks.run(self.arguments(step, store))
            if ended.code != step.code:
                raise RuntimeError(f"{name}, undisturbed: exit code {ended.code}: {ended.stderr}")
        return store

    def facts_after(self, name: str) -> Facts:
        """What that store holds."""
        if name not in self._facts:
            store = self.folder / "facts" / name
            shutil.copytree(self.store_after(name), store)
            self._facts[name] = forks.call(examine, store)
            shutil.rmtree(store)
            if self._facts[name].problems:
                raise RuntimeError(f"{name}, undisturbed: {'; '.join(self._facts[name].problems)}")
        return self._facts[name]

    def place(self, step: Step, store: Path) -> None:
        """Put a store there that the step can begin with."""
        store.parent.mkdir(parents=True, exist_ok=True)
        if step.after:
            self.place_after(step.after, store)
        if step.damaged:
            flip(store / forks.call(live_files, store)[step.damaged][-1][0])

    def place_after(self, name: str, store: Path) -> None:
        """Put a copy of the store behind a step there."""
        shutil.copytree(self.store_after(name), store)

    def arguments(self, step: Step, store: Path) -> list[str]:
        """The whole command line behind ``coldframe``."""
        return ["-s", str(store), *step.arguments]

    def run_again(self, step: Step, store: Path) -> list[str]:
        """Run a step that was harmed once more; what is not as if nobody had harmed it."""
        for one in (step, *(self.steps[name] for name in step.remade)):
            ended = forks.run(self.arguments(one, store))
            if ended.code != one.code:
                return [f"{one.name} again: exit code {ended.code}, expected {one.code}: {ended.stderr[-800:]}"]
            if ended.orphans:
                return [f"{one.name} again: it left processes: {ended.orphans}"]
        return differences(forks.call(examine, store), self.facts_after(step.after if step.damaged else step.name))


def _catalogue(folder: Path, per_class: int) -> Catalogue:
    """Some pictures a class, one of them grey, one twice, and a row without its file."""
    catalogue = drawn(folder, per_class)
    catalogue.add("grey", "moth", picture("moth", 1).convert("L"))
    catalogue.add("copy", "finch", picture("finch", 0))
    catalogue.add("missing", "moth")
    catalogue.write()
    return catalogue


def live_files(store: Path) -> dict[str, list[tuple[str, int]]]:
    """Path and rows of each part, by dataset; to be called in a process of its own."""
    from store.store import Store

    moment = Store.open(store).snapshot().manifest
    return {dataset: [(part.path, part.rows) for part in live] for dataset, live in moment.datasets.items()}


def flip(file: Path) -> None:
    """Damage one byte in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def examine(store: Path) -> Facts:
    """Read a store, remove what it needs no more, and check every claim it makes; to be called in a process of its own."""
    from store.store import Store

    opened = Store.open(store)
    facts = _facts(opened)
    again = _facts(_collected(opened))
    facts.problems = [
        *[f"after gc: {one}" for one in differences(replace(again, half_runs=[]), facts)],
        *claims(store),
        *_strays(opened),
        *_locks(store),
    ]
    return facts


def differences(found: Facts, expected: Facts) -> list[str]:
    """What two stores do not agree on, and what is wrong with the first."""
    problems = [*found.problems, *found.half_runs]
    for dataset in sorted(found.rows.keys() | expected.rows.keys()):
        rows, wanted = found.rows.get(dataset, []), expected.rows.get(dataset, [])
        if dataset in ("runs", "run_rows") and found.runs > expected.runs:  # trained again, as nobody saw it had been
            rows, wanted = sorted(set(rows)), sorted(set(wanted))
        if rows != wanted:
            lost, more = sorted(set(wanted) - set(rows)), sorted(set(rows) - set(wanted))
            example = f"lost {lost[:2]}, not expected {more[:2]}"
            problems.append(f"{dataset}: {len(rows)} rows, expected {len(wanted)}: {example}")
    if found.vectors.keys() != expected.vectors.keys():
        problems.append(f"vectors of {len(found.vectors)} contents, expected {len(expected.vectors)}")
    else:
        moved = [
            key for key, vector in expected.vectors.items() if not np.allclose(vector, found.vectors[key], atol=1e-5)
        ]
        if moved:
            problems.append(f"{len(moved)} vectors are not as they were: {moved[:2]}")
    if found.runs < expected.runs:
        problems.append(f"{found.runs} runs, expected {expected.runs}")
    return problems


def _facts(opened: Any) -> Facts:
    # read without DuckDB: quicker, and by another way than the product's own
    from store.schemas import SCHEMAS

    moment = opened.snapshot().manifest
    tables = {dataset: _read(opened.root, moment.parts(dataset)) for dataset in SCHEMAS}
    rows = {
        dataset: sorted(
            repr(sorted((name, value) for name, value in row.items() if name not in VOLATILE.get(dataset, ())))
            for row in table
        )
        for dataset, table in tables.items()
    }
    vectors = {
        f"{row['embedder']}/{row['content_id']}/{row['view']}": np.array(row["vector"], np.float32)
        for row in tables["embeddings"]
    }
    facts = Facts(rows, vectors, len(tables["runs"]))
    for run in tables["runs"]:
        facts.half_runs += _half_run(opened.root, moment, run, tables["run_rows"])
    return facts


def _read(root: Path, live: tuple[Any, ...]) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return [row for part in live for row in pq.ParquetFile(root / part.path).read().to_pylist()]


def _half_run(root: Path, moment: Any, run: dict[str, Any], run_rows: list[dict[str, Any]]) -> list[str]:
    """What a listed run lacks."""
    problems, run_id = [], run["run_id"]
    models = moment.parts("models", run_id)
    if len(models) != 1 or not (root / models[0].path).is_file():
        problems.append(f"run {run_id} has {len(models)} model files")
    if sum(row["run_id"] == run_id for row in run_rows) != run["train_rows"] + run["val_rows"]:
        problems.append(f"run {run_id} does not list the rows it was trained on")
    return problems


def _collected(opened: Any) -> Any:
    """The store after ``gc``."""
    from pipeline.cli.app import cli

    cli.main(["-s", str(opened.root), "-q", "gc", "--grace", "0s"], standalone_mode=False)
    return opened


def claims(store: Path) -> list[str]:
    """What ``verify --deep`` finds; to be called in a process of its own."""
    from pipeline.upkeep.verify import verify
    from store.store import Store

    return [f"{one.check}: {problem}" for one in verify(Store.open(store), deep=True) for problem in one.problems]


def _strays(opened: Any) -> list[str]:
    """Files that no manifest names; nothing may be left half-written."""
    from store import manifest

    numbers = [int(path.stem) for path in (opened.root / manifest.FOLDER).glob("*.json")]
    named = {
        part.path
        for number in numbers
        for live in manifest.read(opened.root, number).datasets.values()
        for part in live
    }
    found = {path.relative_to(opened.root).as_posix() for path in (opened.root / "parts").rglob("*") if path.is_file()}
    half = [path.name for path in (opened.root / manifest.FOLDER).iterdir() if path.suffix != ".json"]
    return [f"no manifest names {stray}" for stray in sorted(found - named) + half]


def _locks(store: Path) -> list[str]:
    """Locks that somebody still holds."""
    held = []
    for path in (store / "locks").glob("*"):
        with path.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                held.append(f"{path.name} is still held")
    return held
