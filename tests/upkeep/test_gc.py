"""Garbage collection: what nobody needs goes, what somebody may need stays, and the store is whole at every step."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.upkeep.gc import parse_duration
from store import garbage, manifest
from store.compaction import compact
from store.schemas import SCHEMAS
from store.store import Store
from tests.support.coldframe import Coldframe

HOUR = 3600.0


def age(folder: Path, hours: float) -> None:
    """Let every file of a store be so many hours older."""
    for path in folder.rglob("*"):
        if path.is_file():
            moment = path.stat().st_mtime - hours * HOUR
            os.utime(path, (moment, moment))


def moments(cf: Coldframe) -> list[int]:
    return manifest.numbers(cf.path)


def strays(store: Store) -> list[Path]:
    return garbage.stray_parts(store.root, garbage.paths_named(store.snapshot().manifest))


def test_earlier_moments_go_once_they_have_been_replaced_for_long_enough(ready: Coldframe) -> None:
    ready("split", "test", 0.25)
    ready("split", "test", 0.5)
    age(ready.path, 2)
    latest = moments(ready)[-1]
    ready("drop", "moth-00", "--why", "x")  # two commits, a moment ago
    said = ready("gc").stdout
    assert moments(ready)[0] == latest, "replaced a moment ago, so somebody may be reading it"
    assert f"removes {latest - 1} manifests of earlier moments" in said
    assert "removes 1 parts of curation, 0.0 MB" in said
    assert ready.value("select count(*) from kept") == 23
    assert ready.rows("select count(*) n from kept", "--at", latest) == [{"n": 24}]
    assert f"no moment 1 to look back at (kept: {latest} to" in ready("sql", "select 1", "--at", 1, code=1).stderr
    assert "FAILED" not in ready("verify", "--deep").stdout


def test_young_garbage_is_left_until_its_grace_is_over(ready: Coldframe) -> None:
    before = sorted(ready.path.rglob("*"))
    assert ready("gc").stdout == "removes nothing\n"
    age(ready.path, 0.4)
    assert ready("gc", "--grace", "30m").stdout == "removes nothing\n"
    assert sorted(path for path in ready.path.rglob("*") if path.parent.name != "locks") == [
        path for path in before if path.parent.name != "locks"
    ]
    assert "manifests of earlier moments" in ready("gc", "--grace", "0.3h").stdout


def test_a_dry_run_says_the_same_and_removes_nothing(ready: Coldframe) -> None:
    before = sorted(ready.path.rglob("*"))
    said = ready("gc", "--grace", "0s", "--dry-run").stdout
    assert said.startswith("would remove ")
    assert sorted(ready.path.rglob("*")) == before
    assert ready("gc", "--grace", "0s").stdout == said.replace("would remove", "removes")
    assert moments(ready) == [ready.store.snapshot().manifest.number]
    assert strays(ready.store) == []


def test_files_that_nothing_names_and_remains_of_broken_writes_go(ready: Coldframe) -> None:
    left = [
        ready.path / "parts" / "embeddings" / f"{'0' * 32}.parquet",
        ready.path / "parts" / "embeddings" / f"{'1' * 32}.parquet.tmp",
        ready.path / "manifests" / f"{'2' * 32}.tmp",
    ]
    for path in left:
        path.write_bytes(b"x" * 100_000)
    aside = ready.path / "damaged" / "parts" / "embeddings" / "3.parquet"
    aside.parent.mkdir(parents=True)
    aside.touch()
    ready("gc")
    assert all(path.exists() for path in left), "a commit may be about to name them"
    age(ready.path, 2)
    said = ready("gc").stdout
    assert "removes 1 parts of embeddings, 0.1 MB" in said
    assert "removes 2 temporary files, 0.2 MB" in said
    assert not any(path.exists() for path in left)
    assert aside.exists()


@pytest.mark.exhaustive
def test_killed_between_manifests_and_parts_it_leaves_a_whole_store(ready: Coldframe) -> None:
    ready("split", "test", 0.25)
    ready("split", "test", 0.5)
    waste = garbage.find(ready.path, time.time())
    garbage.remove_manifests(ready.path, waste)
    assert "FAILED" not in ready("verify", "--deep").stdout
    assert strays(ready.store) == sorted(waste.all_parts()) != []
    ready("gc", "--grace", "0s")
    assert strays(ready.store) == []
    assert "FAILED" not in ready("verify", "--deep").stdout


def test_a_torn_manifest_goes_but_never_what_the_newest_one_may_have_named(ready: Coldframe) -> None:
    first, newest = (manifest.path_of(ready.path, number) for number in (moments(ready)[0], moments(ready)[-1]))
    first.write_bytes(first.read_bytes()[:-100])
    whole = newest.read_bytes()
    newest.write_bytes(whole[:-100])
    age(ready.path, 2)
    said = ready("gc", code=1).stderr
    assert f"{newest}: the newest manifest is damaged or incomplete" in said
    assert f"run 'coldframe repair --store {ready.path}' first" in said
    newest.write_bytes(whole)
    ready("gc")
    assert not first.exists()
    assert ready.value("select count(*) from embeddings") == 24


def test_one_cleans_at_a_time(ready: Coldframe) -> None:
    with ready.store.lock("maintenance"):
        assert "another coldframe process is writing 'maintenance'" in ready("gc", code=5).stderr


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("30m", 1800), ("1.5h", 5400), ("7d", 604800)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "-1h", "1w", "1h30m"])
def test_durations_that_are_none(ready: Coldframe, text: str) -> None:
    assert "expected a number and s, m, h or d, such as 30m or 7d" in ready("gc", "--grace", text, code=2).stderr


def rows(first: int, count: int) -> pa.Table:
    """Verdicts on images numbered from ``first``."""
    return pa.Table.from_pylist(
        [{"image_id": str(number), "verdict": "keep"} for number in range(first, first + count)], SCHEMAS["verdicts"]
    )


ACTIONS = st.tuples(
    st.sampled_from(["append", "replace", "compact", "gc"]), st.sampled_from(["a", "b"]), st.integers(0, 5)
)


@pytest.mark.exhaustive
@settings(max_examples=40)
@given(st.lists(ACTIONS, max_size=12))
def test_any_sequence_of_changes_compactions_and_collections_keeps_every_row_in_order(
    actions: list[tuple[str, str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, model, used = Store.create(Path(folder) / "store"), dict[str, list[str]](a=[], b=[]), 0
        for action, key, count in actions:
            table = rows(used, count)
            used += count
            if action in ("append", "replace"):
                model[key] = [*(model[key] if action == "append" else []), *table["image_id"].to_pylist()]
                with store.commit("test") as commit:
                    (commit.append if action == "append" else commit.replace)("verdicts", table, key=key)
            elif action == "compact":
                compact(store, "verdicts", key)
                assert len(store.snapshot().manifest.parts("verdicts", key)) <= 1
            else:
                waste = garbage.find(store.root, time.time() + 1)
                garbage.remove_manifests(store.root, waste)
                garbage.remove_parts(waste)
                assert strays(store) == []
            for one, expected in model.items():
                parts = store.snapshot().manifest.parts("verdicts", one)
                stored = [pq.read_table(store.root / part.path)["image_id"].to_pylist() for part in parts]
                assert [image_id for ids in stored for image_id in ids] == expected
