"""The commit protocol, and what a reader sees."""

from __future__ import annotations

import functools
import json
import resource
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from store import manifest, queries
from store.errors import ColdframeError, Locked, StoreDamaged
from store.matrices import from_matrix, to_matrix
from store.schemas import SCHEMAS, conform
from store.store import Store
from tests.support.coldframe import Coldframe


def verdicts(*image_ids: str) -> pa.Table:
    rows = [{"image_id": one, "verdict": "keep", "why": "", "content_id": "c"} for one in image_ids]
    return pa.Table.from_pylist(rows, SCHEMAS["verdicts"])


def ids(store: Store, at: int | None = None) -> list[str]:
    table = store.snapshot(at).ask("select image_id from data.verdicts order by image_id", {})
    found: list[str] = table["image_id"].to_pylist()
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def test_a_commit_is_all_or_nothing(store: Store) -> None:
    with store.commit("test") as commit:
        commit.append("verdicts", verdicts("a"))
    with pytest.raises(RuntimeError), store.commit("test") as commit:  # noqa: PT012
        commit.append("verdicts", verdicts("b"))
        raise RuntimeError("killed here")
    assert ids(store) == ["a"]


@pytest.mark.parametrize("begin", [Store.open, Store.create])
def test_a_store_that_was_made_anew_is_opened_anew(store: Store, begin: Callable[[Path], Store]) -> None:
    """By a process that has asked the one that was there before."""
    before = Coldframe(store.root)
    assert ids(store) == []
    assert before.rows("select * from data.verdicts") == []
    store.root.rename(store.root.with_name("before"))
    shutil.copytree(store.root.with_name("before"), store.root)
    anew = begin(store.root)
    with anew.commit("test") as commit:
        commit.append("verdicts", verdicts("a"))
    assert ids(anew) == ["a"]
    shutil.move(store.root, store.root.with_name("and this"))
    shutil.copytree(store.root.with_name("and this"), store.root)
    assert [row["image_id"] for row in before.rows("select * from data.verdicts")] == ["a"]


def test_a_slice_is_replaced_and_others_stay(store: Store) -> None:
    with store.commit("test") as commit:
        commit.append("verdicts", verdicts("a"), key="one")
        commit.append("verdicts", verdicts("b"), key="two")
    with store.commit("test") as commit:
        commit.replace("verdicts", verdicts("c"), key="one")
    assert ids(store) == ["b", "c"]


def test_an_earlier_moment_stays_as_it_was(store: Store) -> None:
    with store.commit("test") as commit:
        commit.append("verdicts", verdicts("a"))
    then = store.snapshot().manifest.number
    with store.commit("test") as commit:
        commit.replace("verdicts", verdicts("b"))
    assert ids(store, then) == ["a"]
    with pytest.raises(ColdframeError, match="no moment 99 to look back at"):
        store.snapshot(99)


def test_a_commit_without_changes_makes_no_manifest(store: Store) -> None:
    before = store.snapshot().manifest.number
    with store.commit("test"):
        pass
    assert store.snapshot().manifest.number == before


@pytest.mark.parametrize("damage", [b"", b'{"sha256": "0", "manifest"', b"\0\0\0\0"])
def test_a_torn_manifest_is_passed_over_and_its_number_stays_taken(store: Store, damage: bytes) -> None:
    with store.commit("test") as commit:
        commit.append("verdicts", verdicts("a"))
    last = store.snapshot().manifest.number
    torn = store.root / "manifests" / f"{last + 1:08d}.json"
    torn.write_bytes(damage)
    assert ids(store) == ["a"]
    with store.commit("test") as commit:
        commit.append("verdicts", verdicts("b"))
    now = store.snapshot().manifest
    assert (now.number, now.parent) == (last + 2, last)
    assert ids(store) == ["a", "b"]
    assert manifest.torn(store.root) == [torn]


def test_a_manifest_is_created_exclusively(store: Store) -> None:
    latest = store.snapshot().manifest
    with pytest.raises(Locked, match="committed at the same moment"):
        manifest.publish(store.root, latest)


def test_a_manifest_changed_by_hand_is_not_whole(store: Store) -> None:
    path = max((store.root / "manifests").glob("*.json"))
    whole = json.loads(path.read_text())
    whole["manifest"]["step"] = "forged"
    path.write_text(json.dumps(whole))
    with pytest.raises(ColdframeError, match="no manifest there is intact"):
        store.snapshot()


def test_a_store_of_a_later_format_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "FORMAT", 2)
    with pytest.raises(ColdframeError, match="has format 1, this coldframe reads format 2"):
        store.snapshot()


def test_no_temporary_file_is_left(store: Store) -> None:
    with store.commit("test") as commit:
        commit.append("verdicts", verdicts("a"))
    assert not list(store.root.rglob("*.tmp"))


def test_every_part_is_listed_with_rows_and_checksum(store: Store) -> None:
    with store.commit("test") as commit:
        commit.append("verdicts", verdicts("a", "b"))
    (part,) = store.snapshot().manifest.parts("verdicts", "")
    assert part.rows == pq.read_table(store.root / part.path).num_rows == 2
    assert len(part.sha256) == 64


def test_each_dataset_has_an_empty_typed_part_that_any_tool_can_read(store: Store) -> None:
    for dataset, schema in SCHEMAS.items():
        (part,) = store.snapshot().manifest.parts(dataset)
        assert pq.read_schema(store.root / part.path).names == schema.names


@pytest.mark.parametrize("names", [("a b", "a/b"), ("é", "è"), ("x" * 260, "x" * 261)])
def test_two_locks_are_two_whatever_their_names(store: Store, names: tuple[str, str]) -> None:
    one, other = names
    with store.lock(one), store.lock(other), pytest.raises(Locked), store.lock(one):
        pass


def test_a_missing_part_is_said(store: Store) -> None:
    (part,) = store.snapshot().manifest.parts("runs")
    (store.root / part.path).unlink()
    with pytest.raises(StoreDamaged, match="a part cannot be read"):
        store.snapshot().columns("runs")


def test_too_little_memory_is_no_damage(store: Store) -> None:
    snapshot = store.snapshot()
    snapshot._views.con.execute("set memory_limit = '10MB'; set max_temp_directory_size = '1MB'")
    rows = pa.table({"a": np.random.default_rng(0).random(10_000_000)})
    said = f"too little memory, and {tempfile.gettempdir()} cannot take what does not fit .* larger folder in TMPDIR"
    with pytest.raises(ColdframeError, match=said):
        snapshot.register("many", rows)


def test_a_small_file_that_is_large_in_memory_is_not_held(store: Store) -> None:
    same = [{"image_id": "one", "step": "ingest", "reason": "x" * 50_000}] * 2000
    with store.commit("test") as commit:
        commit.append("failures", pa.Table.from_pylist(same, SCHEMAS["failures"]))
    snapshot = store.snapshot()
    assert snapshot.manifest.parts("failures")[-1].bytes < 100_000
    assert len(snapshot.select("failures", "image_id")) == 2000
    snapshot.register(
        "many", pa.table({"a": np.random.default_rng(0).random(10_000_000)})
    )  # more than a small dataset may take
    assert len(snapshot.select("many", "a")) == 10_000_000


def test_too_many_open_files_are_no_damage(store: Store) -> None:
    for number in range(60):
        with store.commit("test") as commit:
            commit.append("verdicts", verdicts(str(number)))
    cf = Coldframe(store.root)
    few = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (40, 40))
    said = cf.process("sql", "select count(*) from verdicts", code=1, preexec_fn=few).stderr
    assert said.startswith("Error: more files than may be open at once (")
    assert "such as 'ulimit -n 4096'" in said


def test_a_lock_is_held_by_one(store: Store) -> None:
    with store.lock("embed-clip"), pytest.raises(Locked, match="another coldframe process is writing 'embed clip'"):
        Store(store.root).lock("embed-clip").__enter__()


def test_folders_that_are_no_store(tmp_path: Path) -> None:
    with pytest.raises(ColdframeError, match="no store here; make one with 'coldframe ingest"):
        Store.open(tmp_path)
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(ColdframeError, match=r"not a store and not empty \(it has thesis.doc\)"):
        Store.create(tmp_path)
    with pytest.raises(ColdframeError, match="a file, expected a folder"):
        Store.create(tmp_path / "thesis.doc")


def test_a_table_must_have_the_columns_of_its_dataset() -> None:
    with pytest.raises(ValueError, match=r"missing columns \['content_id'"):
        conform("scores", pa.table({"image_id": ["a"]}))


def test_vectors_survive_the_store_as_fixed_size_lists(store: Store) -> None:
    import numpy as np

    matrix = np.arange(6, dtype=np.float16).reshape(2, 3)
    table = pa.table({"content_id": ["a", "b"], "embedder": ["e", "e"], "view": [0, 0], "vector": from_matrix(matrix)})
    with store.commit("test") as commit:
        commit.append("embeddings", table, key="e")
    (part,) = store.snapshot().manifest.parts("embeddings", "e")
    assert pa.types.is_fixed_size_list(pq.read_schema(store.root / part.path).field("vector").type)
    back = store.snapshot().ask("select vector from data.embeddings order by content_id", {})
    assert np.array_equal(to_matrix(back["vector"]), matrix.astype(np.float32))


@pytest.mark.parametrize("kind", ["views", "rules", "steps", "checks"])
def test_each_sql_file_is_one_select_that_begins_with_its_grain(kind: str) -> None:
    import duckdb

    for name in queries.names(kind):
        text = queries.text(f"{kind}/{name.replace('-', '_')}")
        assert text.startswith(("-- One row", "-- How many", "-- One digest", "-- The ")), name
        (statement,) = duckdb.connect().extract_statements(text)
        assert statement.type == duckdb.StatementType.SELECT, name


def test_each_sql_step_is_used() -> None:
    from pipeline.curate import why
    from pipeline.ingest import inspection

    root = queries.folder().parent
    sources = "".join(path.read_text() for name in ("pipeline", "store") for path in (root / name).rglob("*.py"))
    by_section = {f"curate/why/{one}" for one in why.SECTIONS} | {
        f"ingest/inspect/{one}" for one in inspection.SECTIONS
    }
    for name in queries.names("steps"):
        file = name.replace("-", "_")
        of_report = f'"{file.removeprefix("look/report/")}"' if file.startswith("look/report/") else None
        used = f'"steps/{file}"' in sources or file in by_section or (of_report is not None and of_report in sources)
        assert used, f"nothing runs sql/steps/{file}.sql"
