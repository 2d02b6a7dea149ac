"""Curation reads what no step writes but a store made by someone else may hold."""

from __future__ import annotations

import math
import subprocess
from typing import Any

import pyarrow as pa
import pytest

from store.schemas import SCHEMAS
from tests.support.coldframe import Coldframe, parts_of

pytestmark = pytest.mark.slow


def put(cf: Coldframe, dataset: str, rows: list[dict[str, Any]], key: str = "") -> None:
    lacking = dict.fromkeys(SCHEMAS[dataset].names)
    with cf.store.commit("test") as commit:
        commit.replace(dataset, pa.Table.from_pylist([lacking | row for row in rows], SCHEMAS[dataset]), key=key)


def contents(cf: Coldframe) -> dict[str, str]:
    return {row["image_id"]: row["content_id"] for row in cf.rows("select image_id, content_id from images")}


def pair(one: str, other: str, **more: Any) -> dict[str, Any]:
    least, most = sorted((one, other))
    return {"content_id": least, "other_id": most, "group_id": least, "kind": "near"} | more


@pytest.mark.parametrize(
    "lacks",
    [
        {"correlation": 0.9},
        *(pytest.param(one, marks=pytest.mark.variants) for one in ({"overlap": 0.9}, {}, {"correlation": math.nan})),
    ],
)
def test_copies_without_their_evidence_are_told(ready: Coldframe, lacks: dict[str, float]) -> None:
    found = contents(ready)
    put(ready, "copies", [pair(found["finch-00"], found["finch-01"], **lacks)])
    assert "near copy of finch-00" in ready("why", "finch-01").stdout


def test_what_a_score_or_a_prediction_lacks_is_unknown(ready: Coldframe) -> None:
    found = contents(ready)
    put(ready, "scores", [{"image_id": "finch-00", "content_id": found["finch-00"], "scorer": "knn"}], "knn")
    put(ready, "runs", [{"run_id": "r", "name": "r", "classes": []}], "r")
    put(ready, "predictions", [{"run_id": "r", "image_id": "finch-00", "predicted": "moth"}], "r")
    story = ready("why", "finch-00").stdout
    assert "score knn: unknown" in story
    assert "moth at unknown" in story


@pytest.mark.parametrize(
    "value",
    [
        -math.inf,
        *(pytest.param(one, marks=pytest.mark.variants) for one in (math.inf, math.nan, -1e308, 1e308, None)),
    ],
)
def test_suspects_are_ranked_whatever_a_score_is(ready: Coldframe, value: float | None) -> None:
    found = contents(ready)
    for scorer in ("imagenet", "clip-quality", "label-doubt"):
        rows = [
            {"image_id": one, "content_id": content, "scorer": scorer, "value": 0.1} for one, content in found.items()
        ]
        put(ready, "scores", [rows[0] | {"value": value}, *rows[1:]], scorer)
    said = {row["image_id"]: row["sentence"] for row in ready.rows("from suspects")}
    assert len(said) == len(found)
    assert "the network gives the wanted classes 10 %" in said["moth-00"]
    ready("why", "finch-00")


def test_a_content_in_two_groups_is_taken_out_once(ready: Coldframe) -> None:
    found = contents(ready)
    groups = [pair(found["finch-00"], found["moth-00"], group_id="a"), pair(found["heron-00"], found["moth-00"])]
    put(ready, "copies", groups)
    ready("filter", "copies", "--bits", 0)
    out = {row["image_id"] for row in ready.rows("select image_id from exclusions where rule = 'copies'")}
    assert out == {"moth-00"}


@pytest.mark.parametrize(
    "phash", ["zz", *(pytest.param(one, marks=pytest.mark.variants) for one in ("", "f" * 20, "-1", None))]
)
def test_a_hash_that_is_none_is_like_no_other(ready: Coldframe, phash: str | None) -> None:
    rows = ready.store.snapshot().select("images", *SCHEMAS["images"].names).to_pylist()
    put(ready, "images", [rows[0] | {"phash": phash}, *rows[1:]], parts_of(ready, "images")[0].key)
    ready("filter", "copies", "--bits", 7)
    out = {row["image_id"] for row in ready.rows("select image_id from exclusions where rule = 'copies'")}
    assert rows[0]["image_id"] not in out


@pytest.mark.parametrize(
    "words",
    [
        ["drop", "-"],
        pytest.param(["relabel", "--from", "-"], marks=pytest.mark.variants),
        pytest.param(["unset", "-"], marks=pytest.mark.variants),
    ],
)
def test_a_closed_standard_input_has_no_images(ready: Coldframe, words: list[str]) -> None:
    """Python then has none."""
    command = ["sh", "-c", 'exec "$@" <&-', "sh", *ready.command(*words, "--why", "x")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Error: standard input: no images; expected one a line" in done.stderr
