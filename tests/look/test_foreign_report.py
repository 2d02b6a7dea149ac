"""A report of a store that somebody else made: whatever its rows lack or say, there is a page."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.look.sections import again
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
        assert f"# {what}" in unknown
