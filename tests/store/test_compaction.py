"""Compaction: fewer and larger parts, the same rows in the same order, whoever else is writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from store import compaction, manifest
from store.compaction import compact
from store.matrices import from_matrix
from store.parts import ROW_GROUP_ROWS
from store.store import Store
from tests.support.coldframe import Catalogue, Coldframe, picture


def vectors(first: int, count: int, *, embedder: str = "e", kind: type = np.float32, width: int = 3) -> pa.Table:
    """Rows with contents numbered from ``first``; each vector holds its number."""
    numbers = np.arange(first, first + count)
    return pa.table(
        {
            "content_id": [f"{number:06d}" for number in numbers],
            "embedder": [embedder] * count,
            "view": pa.array([0] * count, pa.int32()),
            "vector": from_matrix(np.repeat(numbers[:, None], width, axis=1).astype(kind)),
        }
    )


def append(store: Store, first: int, count: int, **more: object) -> None:
    with store.commit("test") as commit:
        commit.append("embeddings", vectors(first, count, **more), key="e")  # type: ignore[arg-type]


def sizes(store: Store) -> list[int]:
    return [part.rows for part in store.snapshot().manifest.parts("embeddings", "e")]


def contents(store: Store, at: int | None = None) -> list[str]:
    """The contents of the slice in the order they are stored."""
    found: list[str] = []
    for part in store.snapshot(at).manifest.parts("embeddings", "e"):
        found += pq.read_table(store.root / part.path)["content_id"].to_pylist()
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def test_small_parts_become_one_and_rows_keep_their_order(store: Store) -> None:
    for first in (20, 0, 10):
        append(store, first, 10)
    before, then = contents(store), store.snapshot().manifest.number
    assert compact(store, "embeddings", "e") == 3
    assert sizes(store) == [30]
    assert contents(store) == before == contents(store, then)
    assert compact(store, "embeddings", "e") == 0
    assert store.snapshot().manifest.step == "compact"


def test_while_more_is_to_come_a_part_waits_for_as_much_again(store: Store) -> None:
    append(store, 0, 3000)
    for first in (3000, 3010, 3020):
        append(store, first, 10)
    assert compact(store, "embeddings", "e", more_to_come=True) == 3
    assert sizes(store) == [3000, 30]
    assert compact(store, "embeddings", "e", more_to_come=True) == 0
    append(store, 3030, 3500)
    assert compact(store, "embeddings", "e", more_to_come=True) == 3
    append(store, 6530, 10)
    assert compact(store, "embeddings", "e", more_to_come=True) == 0
    assert compact(store, "embeddings", "e") == 2
    assert contents(store) == sorted(contents(store))


@pytest.mark.parametrize("more_to_come", [False, True])
def test_what_comes_behind_a_large_part_is_merged_without_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, more_to_come: bool
) -> None:
    for first, count in ((0, 3000), (3000, 10), (3010, 10), (3020, 10)):
        append(store, first, count)
    monkeypatch.setattr(compaction, "LARGE", store.snapshot().manifest.parts("embeddings", "e")[0].bytes)
    assert compact(store, "embeddings", "e", more_to_come=more_to_come) == 3
    assert sizes(store) == [3000, 30]


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_vectors_stay_fixed_size_lists_of_their_type(store: Store, kind: type) -> None:
    append(store, 0, 4, kind=kind)
    append(store, 4, 4, kind=kind)
    before = [pq.read_schema(store.root / part.path) for part in store.snapshot().manifest.parts("embeddings", "e")]
    compact(store, "embeddings", "e")
    (part,) = store.snapshot().manifest.parts("embeddings", "e")
    assert pq.read_schema(store.root / part.path).equals(before[0])
    column = pq.read_table(store.root / part.path)["vector"].combine_chunks()
    assert np.array_equal(column.flatten().to_numpy(zero_copy_only=False)[::3], np.arange(8).astype(kind))


def test_small_row_groups_are_merged_too(store: Store) -> None:
    for number in range(10):
        append(store, number * 1000, 1000)
    compact(store, "embeddings", "e")
    (part,) = store.snapshot().manifest.parts("embeddings", "e")
    with pq.ParquetFile(store.root / part.path) as file:
        groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert groups == [ROW_GROUP_ROWS, 10_000 - ROW_GROUP_ROWS]


def test_a_large_part_is_left_alone_and_order_is_kept_around_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for first, count in ((0, 10), (10, 10), (20, 3000), (3020, 10), (3030, 10)):
        append(store, first, count)
    large = store.snapshot().manifest.parts("embeddings", "e")[2]
    monkeypatch.setattr(compaction, "LARGE", large.bytes)
    assert compact(store, "embeddings", "e") == 4
    assert sizes(store) == [20, 3000, 20]
    assert store.snapshot().manifest.parts("embeddings", "e")[1] == large
    assert contents(store) == sorted(contents(store))


def test_no_part_grows_beyond_the_largest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        append(store, number * 10, 10)
    most = max(part.bytes for part in store.snapshot().manifest.parts("embeddings", "e"))
    monkeypatch.setattr(compaction, "LARGEST", 3 * most)
    assert compact(store, "embeddings", "e") == 6
    assert sizes(store) == [30, 30, 10]


def test_parts_of_other_columns_and_other_slices_are_not_merged(store: Store) -> None:
    append(store, 0, 10)
    with store.commit("test") as commit:
        commit.append("embeddings", vectors(0, 5, embedder="other"), key="other")
    append(store, 10, 10, width=4)
    assert compact(store, "embeddings", "e") == 0
    with store.commit("test") as commit:
        commit.add_file("models", b"a", key="r", suffix=".keras")
        commit.add_file("models", b"b", key="r", suffix=".keras")
    assert compact(store, "models", "r") == 0


def test_a_dataset_with_the_users_columns_is_compacted_where_they_agree(store: Store) -> None:
    with store.commit("test") as commit:
        for number in range(3):
            row = {"image_id": str(number), "path": "p", "step": "ingest", "name": "", "reason": "r", "mine": "m"}
            commit.append("failures", pa.Table.from_pylist([row]), key="ingest")
    assert compact(store, "failures", "ingest") == 3
    assert store.snapshot().ask("select image_id, mine from failures", {}).num_rows == 3


def test_parts_that_were_replaced_meanwhile_are_not_brought_back(store: Store) -> None:
    append(store, 0, 10)
    append(store, 10, 10)
    groups = list(compaction._groups(store.root, store.snapshot().manifest.parts("embeddings", "e")))
    with store.commit("test") as commit:
        commit.replace("embeddings", vectors(50, 5), key="e")
    on_disk = set(store.root.rglob("*.parquet"))
    assert not compaction._merge(store, "embeddings", "e", groups[0])
    assert contents(store) == [f"{number:06d}" for number in range(50, 55)]
    assert set(store.root.rglob("*.parquet")) == on_disk


def test_a_damaged_part_is_not_merged_under_a_new_checksum(store: Store) -> None:
    for number in range(4):
        append(store, number * 10, 10)
    live = store.snapshot().manifest.parts("embeddings", "e")
    damaged = store.root / live[1].path
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    assert compact(store, "embeddings", "e") == 2
    now = store.snapshot().manifest.parts("embeddings", "e")
    assert now[:2] == live[:2]
    assert sizes(store) == [10, 10, 20]


@pytest.mark.exhaustive
def test_embed_compacts_as_it_goes_and_at_its_end(ready: Coldframe, catalogue: Catalogue) -> None:
    for number in range(16):
        catalogue.add(f"more-{number}", "moth", picture("moth", 5000 + number))
    catalogue.write()
    ready.ingest(catalogue)
    for run in ("once", "often"):
        options = ["--batch", 1, "--commit-seconds", 0] if run == "often" else []
        ready("embed", "mean-colour", "--as", run, *options)
    assert len(ready.store.snapshot().manifest.parts("embeddings", "often")) == 1
    assert ready.value("select count(*) from data.embeddings where embedder = 'often'") == 40
    assert [one.step for one in manifest.whole(ready.path)].count("compact") == 2
    different = """
        select count(*) from embeddings a join embeddings b using (image_id)
        where a.embedder = 'once' and b.embedder = 'often' and list_distance(a.vector, b.vector) > 1e-5
    """
    assert ready.value(different) == 0
    assert "FAILED" not in ready("verify", "--deep").stdout


def test_memory_does_not_grow_with_the_parts(store: Store) -> None:
    width = 512
    for number in range(12):
        append(store, number * 4096, 4096, width=width)
    before = pa.total_allocated_bytes()
    peak = 0
    paths = [store.root / part.path for part in store.snapshot().manifest.parts("embeddings", "e")]
    for table in compaction._row_groups(paths):
        peak = max(peak, pa.total_allocated_bytes() - before)
        assert table.num_rows <= 2 * ROW_GROUP_ROWS
    assert peak < 4 * ROW_GROUP_ROWS * width * 4
