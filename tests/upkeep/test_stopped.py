"""Compaction, gc and repair stopped before each of their operations on the disk: the store is whole, and the next one ends it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.steps.config import Config
from pipeline.upkeep.gc import gc
from pipeline.upkeep.repair import repair
from pipeline.upkeep.verify import verify
from store import files, garbage
from store.compaction import compact
from store.store import Store
from tests.support.coldframe import Coldframe

pytestmark = [pytest.mark.exhaustive, pytest.mark.slow]

EVERY = pytest.mark.parametrize("every", [15, pytest.param(1, marks=pytest.mark.exhaustive)])
OPERATIONS = ("write", "sync", "sync_folder", "make_folder", "rename", "link", "remove")


class Stopped(BaseException):
    """The process has been killed: it does nothing more."""


def stopping(patch: pytest.MonkeyPatch, after: int) -> None:
    """Let no operation happen after so many, whatever clean-up is tried."""
    done = 0

    def guarded(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            nonlocal done
            if done >= after:
                raise Stopped
            done += 1
            return operation(*arguments)

        return run

    for name in OPERATIONS:
        patch.setattr(files, name, guarded(getattr(files, name)))


def at_operations(
    every: int, whole: Path, folder: Path, act: Callable[[Store], object], check: Callable[[Store], None]
) -> int:
    """Stop ``act`` before every so many-th of its operations on copies of a store, and check each; how many it may have."""
    for after in range(0, 200, every):
        copy = folder / str(after)
        shutil.copytree(whole, copy)
        with pytest.MonkeyPatch.context() as patch:
            stopping(patch, after)
            try:
                act(Store(copy))
            except Stopped:
                was_stopped = True
            else:
                was_stopped = False
        check(Store(copy))
        if not was_stopped:
            return after
        shutil.rmtree(copy)
    raise AssertionError("it never came to its end")


def rows(store: Store) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        store.snapshot().ask("select * from embeddings order by image_id, embedder", {}).to_pylist()
    )
    return found


def damage(store: Store) -> list[str]:
    return [problem for finding in verify(store, deep=True) for problem in finding.problems]


@pytest.fixture
def many(ready: Coldframe) -> Coldframe:
    """A store with a feature set of two parts that could be merged, and with earlier moments."""
    ready("embed", "mean-colour", "--as", "other", "--limit", 5)
    (part,) = ready.store.snapshot().manifest.parts("embeddings", "mean-colour")
    table = pq.read_table(ready.path / part.path)
    with ready.store.commit("test") as commit:
        commit.replace("embeddings", table.slice(0, 10), key="mean-colour")
        commit.append("embeddings", table.slice(10), key="mean-colour")
    return ready


@EVERY
def test_compaction(many: Coldframe, tmp_path: Path, every: int) -> None:
    before = rows(many.store)

    def check(store: Store) -> None:
        assert rows(store) == before
        assert damage(store) == []

    assert (
        at_operations(
            every, many.path, tmp_path / "copies", lambda store: compact(store, "embeddings", "mean-colour"), check
        )
        > 5
    )


@EVERY
def test_gc(many: Coldframe, tmp_path: Path, every: int) -> None:
    before = rows(many.store)

    def collect(store: Store) -> None:
        gc(store, 0, dry_run=False, before_removal=lambda waste: None)

    def check(store: Store) -> None:
        assert rows(store) == before
        assert damage(store) == []
        collect(store)
        assert garbage.find(store.root, time.time()).all_parts() == []
        assert rows(store) == before

    assert at_operations(every, many.path, tmp_path / "copies", collect, check) > 5


@EVERY
def test_repair(many: Coldframe, tmp_path: Path, every: int) -> None:
    moment = many.store.snapshot().manifest
    for part in (
        *moment.parts("embeddings", "other"),
        *moment.parts("feature_sets", "other"),
        *moment.parts("steps", "ingest/"),
    ):
        path = many.path / part.path
        path.write_bytes(path.read_bytes()[:-9])
    found = damage(many.store)

    def check(store: Store) -> None:
        assert [line.split(": ", 1)[1] for line in damage(store)] in ([], [line.split(": ", 1)[1] for line in found])
        repair(store, Config())
        assert damage(store) == []
        assert len(list((store.root / "damaged" / "parts").rglob("*.parquet"))) == 3

    assert at_operations(every, many.path, tmp_path / "copies", lambda store: repair(store, Config()), check) > 5
