"""Stores that earlier decoding rules filled: kept, told, and brought up where a picture looks different."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.deploy import artefact
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from tests.ingest.test_samples import RIGHT, UNSAID
from tests.support.artefacts import put_card
from tests.support.coldframe import Catalogue, Coldframe, parts_of

DEEP = {"float": RIGHT["float of 0 to 1"], "said": RIGHT["12 bits in 16, largest in a tag"], "whole": RIGHT["16 bits"]}


def aged(cf: Coldframe) -> None:
    """Have the store as the rules of version 1 left it: nearly black where samples have more than 8 bits."""

    def older(dataset: str, column: str, change: Any) -> None:
        for key in {part.key for part in parts_of(cf, dataset)}:
            table = pa.concat_tables([pq.read_table(cf.path / part.path) for part in parts_of(cf, dataset, key)])
            values = pa.array(map(change, table[column].to_pylist()), table.schema.field(column).type)
            commit.replace(dataset, table.set_column(table.column_names.index(column), column, values), key=key)

    def under_1(text: str) -> str:
        return json.dumps(json.loads(text) | {"decoding": 1}, sort_keys=True)

    with cf.store.commit("test") as commit:
        older("files", "decoding", lambda _: 1)
        older("feature_sets", "settings", under_1)
        commit.replace("facts", SCHEMAS["facts"].empty_table())


@pytest.mark.exhaustive
def test_a_store_of_earlier_rules_keeps_its_vectors_until_pictures_are_read_again(
    cf: Coldframe, catalogue: Catalogue
) -> None:
    for name, data in DEEP.items():
        catalogue.add(name, "moth", name=f"{name}.tif").write_bytes(data)
    catalogue.write()
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    aged(cf)
    files = "select content_id, max(examined_at) as at from files group by 1 order by 1"
    known = cf.rows(files)
    said = cf.ingest(catalogue).stderr
    assert "0 files read" in said
    for told in (said, cf("status").stdout):
        assert "3 pictures have more than 8 bits a sample and were read by earlier decoding rules" in told
        assert "--rehash" in told
    assert cf.rows(files) == known
    assert {row["path"] for row in cf.rows("from read_otherwise")} == {f"{name}.tif" for name in DEEP}
    assert cf.value("select count(*) from facts") == 0
    assert "27 cached, 0 embedded" in cf("embed", "mean-colour").stderr

    catalogue.add("new", "moth", name="new.tif").write_bytes(RIGHT["10 bits in a PNG"])
    catalogue.add("unsaid", "moth", name="unsaid.tif").write_bytes(UNSAID["12 bits in a TIFF"])
    catalogue.write()
    cf.ingest(catalogue, code=3)
    assert "27 cached, 1 embedded" in cf("embed", "mean-colour").stderr

    cf.ingest(catalogue, "--rehash", code=3)
    assert cf.value("select count(*) from facts") == 28
    assert (
        "3 pictures look different under the present decoding rules: 'coldframe embed mean-colour'"
        in cf("status").stdout
    )
    said = cf("embed", "mean-colour").stderr
    assert "25 cached, 3 embedded" in said
    assert "3 pictures look different" in said
    assert cf.value("select settings->>'decoding' from feature_sets") == "2"
    vectors = {row["image_id"]: row["vector"] for row in cf.rows("select image_id, vector from embeddings")}
    assert all(np.allclose(vectors[name], vectors["whole"], atol=0.02) for name in ("float", "said", "new"))
    assert "28 cached, 0 embedded" in cf("embed", "mean-colour").stderr
    assert "look different" not in cf("status").stdout
    assert "FAILED" not in cf("verify", "--deep").stdout


@pytest.mark.exhaustive
def test_an_artefact_of_earlier_rules_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    for version in (1, 2):
        assert artefact.read(put_card(tmp_path, ["model.onnx"], decoding=version)).card["decoding"] == version
    with pytest.raises(ColdframeError, match="made for decoding rules 3"):
        artefact.read(put_card(tmp_path, ["model.onnx"], decoding=3))
