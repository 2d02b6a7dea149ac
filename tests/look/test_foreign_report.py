"""A report of a store that somebody else made: whatever its rows lack or say, there is a page."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.look import report
from pipeline.look.sections import again
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from store.store import Store
from tests.support.synthetic import fresh_store, image, put_images, put_vectors

RUN = "20260101T000000-made-0123ab"


def put(store: Store, dataset: str, *rows: dict[str, Any]) -> None:
    """Rows of a dataset, with NULL where they say nothing."""
    lacking = dict.fromkeys(SCHEMAS[dataset].names)
    with store.commit("foreign") as commit:
        commit.replace(dataset, pa.Table.from_pylist([lacking | row for row in rows], SCHEMAS[dataset]), key="foreign")


@pytest.mark.variants
@pytest.mark.parametrize("name", ["--config=evil.toml", "--help", "-q", "-"])
def test_no_name_in_a_command_is_an_option(tmp_path: Path, name: str) -> None:
    store = fresh_store(tmp_path)
    put_images(store, [image("a", "moth"), image("b", "moth")])
    put_vectors(store, name, {"content a": [1.0, 0.0]})
    put_vectors(store, "plain", {"content a": [1.0, 0.0]})
    split = {"kind": "split", "settings": json.dumps({"share": 0.15})}
    put(
        store,
        "stages",
        {"plan": "default", "position": 1, "name": name} | split,
        {"plan": "default", "position": 2, "name": name, "kind": "rule", "settings": "{}"},
        {"plan": name, "position": 1, "name": "test"} | split,
        {"plan": "whole", "position": 1, "name": "test"} | split,
    )
    put(store, "runs", {"run_id": RUN, "name": name, "head": "linear", "embedder": "plain", "settings": "{}"})
    put(store, "evaluations", {"run_id": RUN, "evaluation": "plain", "split": "test"})
    lines = list(again.commands(store.snapshot()))
    told = [shlex.split(line) for line in lines if not line.startswith("# ")]
    assert ["coldframe", "split", "test", "0.15", "--plan", "whole"] in told
    assert not [words for words in told if name in words]
    unknown = [line.removesuffix(": its record does not say how it was made") for line in lines if line[:2] == "# "]
    for what in (f"embed {name}", f"plan {name}", "plan default", f"run {name}", f"evaluate {name}"):
        assert f"# {shlex.quote(what)}" in unknown


def put_all(store: Store) -> None:
    """A row or some of each dataset that a report reads."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [f"{number:032x}" for number in range(4)]
    labels = ["moth", "moth", "finch", "finch"]
    images = [image(one, label, content_id=one, phylum="p") for one, label in zip(ids, labels, strict=True)]
    put_images(store, images)
    put_vectors(store, "some", {one: [1.0, float(at)] for at, one in enumerate(ids)})
    scores = [{"image_id": one, "content_id": one, "value": 0.5} for one in ids]
    put(
        store,
        "scores",
        *(row | {"scorer": "knn"} for row in scores),
        *(
            row | {"scorer": "label-doubt", "suggested": "moth", "evidence": "e", "label": "finch"}
            for row in scores[2:]
        ),
    )
    pair = {"content_id": ids[0], "other_id": ids[1], "group_id": ids[0]}
    put(store, "copies", pair | {"kind": "near", "correlation": 0.9, "overlap": 0.9, "inliers": 20})
    put(store, "verdicts", {"image_id": ids[3], "content_id": ids[3], "verdict": "drop", "why": "w", "created_at": now})
    put(store, "failures", {"image_id": "x", "path": "x", "step": "ingest", "name": "", "reason": "r"})
    settings = {"rows_in": 4, "rows_out": 4, "plan": "default"}
    put(
        store,
        "stages",
        {"position": 1, "kind": "rule", "name": "knn", "settings": '{"percentile": 50}'} | settings,
        {"position": 2, "kind": "split", "name": "test", "settings": '{"share": 0.5}'} | settings,
    )
    placed = {"plan": "default", "image_id": ids[0], "split": "test"}
    out = {"plan": "default", "rule": "knn", "pass": 1, "value": 0.5, "threshold": 0.4}
    put(store, "curation", placed, placed | {"image_id": ids[1], "split": "train"}, out | {"image_id": ids[2]})
    of_run = {"run_id": RUN, "created_at": now}
    known = {"head": "linear", "embedder": "some", "plan": "default", "classes": ["finch", "moth"], "train_rows": 2}
    put(store, "runs", of_run | known | {"name": "made", "settings": "{}", "kind": "head"})
    figures = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6, "f1_macro": 0.5, "rows_trained_on": 1}
    plain = {"run_id": RUN, "evaluation": "plain", "split": "test"}
    put(store, "evaluations", plain | figures | {"rows": 2, "created_at": now})
    told = {"probability": 0.9, "label_probability": 0.1, "rank": 2, "predicted": "moth"}
    put(
        store,
        "predictions",
        *(plain | told | {"image_id": one, "label": label} for one, label in zip(ids, labels, strict=True)),
    )


READ = [
    "predictions", "images", "evaluations", "runs", "scores", "copies", "verdicts", "failures", "stages", "curation",
    "feature_sets", "embeddings",
]  # fmt: skip


@pytest.mark.variants
@pytest.mark.parametrize(("dataset", "columns"), [("predictions", ["predicted"]), *((one, None) for one in READ)])
def test_values_that_are_lacking_leave_a_page(tmp_path: Path, dataset: str, columns: list[str] | None) -> None:
    failed = []
    store = fresh_store(tmp_path)
    put_all(store)
    whole = store.snapshot()
    assert 'id="confusion"' in report(store).html
    (part,) = (one for one in whole.manifest.parts(dataset) if one.rows)
    table = pq.read_table(store.root / part.path)
    for name in columns or table.schema.names:
        for nulls in ([*range(len(table))], [0]):
            rows = [row | ({name: None} if at in nulls else {}) for at, row in enumerate(table.to_pylist())]
            with store.commit("foreign") as commit:
                commit.replace(dataset, pa.Table.from_pylist(rows, table.schema), key=part.key)
            with suppress(ColdframeError):
                try:
                    report(store)
                except ColdframeError:
                    raise
                except Exception as error:
                    failed.append((name, len(nulls), repr(error)))
    assert not failed
