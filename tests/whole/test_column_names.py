"""A catalogue may name its columns as it likes: as whatever our own queries call things, too."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from store import queries
from tests.support.coldframe import Catalogue, Coldframe, picture

pytestmark = pytest.mark.slow

COLUMNS = ("--path", "file_path", "--label", "label")
# What comes of a catalogue, whatever other columns it has.
COMES_OF_IT = {
    "images": "select image_id, content_id, label, phylum, path from images order by image_id",
    "failures": "select image_id, step, reason from failures order by image_id",
    "splits": "select * from splits order by image_id",
    "exclusions": "select plan, image_id, rule from exclusions order by image_id",
    "scores": "select image_id, scorer, round(value, 6) as value from scores order by image_id, scorer",
    "suspects": "select image_id, label, suggested, sentence, verdict, label_doubt_rank from suspects order by image_id",
    "labels": "select image_id, given_label from images where label <> given_label",
    "verdicts": "select image_id, verdict, label, is_stale from verdicts order by image_id",
    "copies": "select image_id, original_id, kind from copies order by image_id",
    "divided": "select plan, splits from divided_copies",
    "predictions": "select image_id, split, label, predicted from predictions order by image_id, split",
    "evaluations": "select evaluation, split, rows, accuracy from evaluations order by evaluation, split",
}


def identifiers() -> list[str]:
    """Every word of our SQL that could be the name of something."""
    found: set[str] = set()
    for file in queries.folder().rglob("*.sql"):
        text = re.sub(r"--[^\n]*|'[^']*'", "", file.read_text(encoding="utf-8"))
        found |= set(re.findall(r"\b[a-z_]\w*\b", text.lower()))
    return sorted(found)


def outcome(cf: Coldframe, catalogue: Catalogue, more: Sequence[str]) -> dict[str, Any]:
    """What comes of a catalogue, then of the same one after corrections, with ``more`` columns."""
    known = {name.lower() for name in catalogue.rows[0]}
    for at, row in enumerate(catalogue.rows):
        row.update({name: ("train", "val", "7")[at % 3] for name in more if name.lower() not in known})
    catalogue.write()
    cf.ingest(catalogue, *COLUMNS)
    cf("embed", "mean-colour")
    cf("score", "knn")
    cf("score", "label-doubt")
    cf("split", "test", "0.3")
    cf("split", "own", "--where", "phylum = 'nowhere' or image_id = 'moth-07'")
    cf("filter", "greyscale")
    cf("filter", "label-doubt")
    cf("train", "--head", "centroid")
    cf("evaluate", "centroid", "--split", "test")
    cf("relabel", "finch-07", "moth", "--why", "wings")
    catalogue.rows[0]["label"] = "heron"
    catalogue.rows[1]["phylum"] = "another"
    picture("moth", 99).save(catalogue.images / catalogue.rows[2]["file_path"])
    (catalogue.images / catalogue.rows[3]["file_path"]).unlink()
    catalogue.write()
    said = cf.ingest(catalogue, *COLUMNS, code=3).stderr
    cf("embed", "mean-colour")
    cf("curate")
    cf("evaluate", "centroid", "--split", "test")
    assert "FAILED" not in cf("verify", "--deep").stdout
    counted = re.search(r"\d+ rows: .* gone", said)
    assert counted, said
    return {"said": counted[0]} | {name: cf.rows(query) for name, query in COMES_OF_IT.items()}


@pytest.mark.exhaustive
@pytest.mark.parametrize("names", ["aliases", pytest.param("all", marks=pytest.mark.exhaustive)])
def test_no_column_is_taken_for_something_of_ours(tmp_path: Path, catalogue: Catalogue, names: str) -> None:
    plain = Catalogue(tmp_path / "plain", [dict(row) for row in catalogue.rows])
    shutil.copytree(catalogue.folder, plain.folder)
    words = identifiers()
    more = [word for word in words if names == "all" or len(word) <= 2 or word.startswith(("row", "catalogue"))]
    assert {"c", "n", "b"} <= set(more)
    wanted = outcome(Coldframe(tmp_path / "one"), plain, [])
    assert "4 updated" in wanted["said"]
    assert outcome(Coldframe(tmp_path / "other"), catalogue, more) == wanted
