"""A person's word beats every rule, and the whole story can be told."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.support.coldframe import Catalogue, Coldframe, date_later, parts_of, picture

pytestmark = pytest.mark.slow


def grey_catalogue(cf: Coldframe, catalogue: Catalogue) -> None:
    for number in range(3):
        catalogue.add(f"grey-{number}", "moth", picture("moth", 90 + number).convert("L"))
    catalogue.write()
    cf.ingest(catalogue)
    cf("filter", "greyscale")


def test_keep_drop_and_unset_replay_the_plans(cf: Coldframe, catalogue: Catalogue) -> None:
    grey_catalogue(cf, catalogue)
    assert cf.value("select count(*) from exclusions") == 3
    assert "keep: 2 images; replayed: default" in cf("keep", "grey-0", "moth/grey-1.png", "--why", "a moth").stderr
    cf("drop", "finch-00", "--why", "a cage")
    out = {row["image_id"]: row["rule"] for row in cf.rows("select * from exclusions")}
    assert out == {"grey-2": "greyscale", "finch-00": "verdict"}
    cf("unset", "grey-0", "finch-00")
    assert {row["image_id"] for row in cf.rows("select * from exclusions")} == {"grey-0", "grey-2"}
    assert cf.value("select count(*) from verdicts") == 1
    assert cf.value("select count(*) from verdict_history") == 5
    assert "FAILED" not in cf("verify").stdout


def test_a_verdict_before_any_plan_counts_when_one_is_made(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    assert "no plan to replay yet" in cf("drop", "moth-03", "--why", "blurred").stderr
    cf("split", "test", 0.2)
    assert cf.rows("select image_id, rule from exclusions") == [{"image_id": "moth-03", "rule": "verdict"}]


def test_a_verdict_on_bytes_that_changed_is_shown_as_stale(cf: Coldframe, catalogue: Catalogue) -> None:
    grey_catalogue(cf, catalogue)
    cf("keep", "grey-0", "--why", "a moth")
    picture("moth", 555).convert("L").save(catalogue.images / "moth/grey-0.png")
    cf.ingest(catalogue)
    assert cf.value("select is_stale from verdicts") is True
    assert "(stale: the bytes have changed since)" in cf("why", "grey-0").stdout


def test_a_verdict_is_to_be_obeyed_whatever_its_date(cf: Coldframe, catalogue: Catalogue) -> None:
    """A clock may have been ahead when it was given."""
    grey_catalogue(cf, catalogue)
    cf("keep", "grey-0", "--why", "a moth")
    date_later(cf, "verdicts", "created_at")
    assert "FAILED" not in cf("verify").stdout
    (part,) = parts_of(cf, "curation")
    table = pq.read_table(cf.path / part.path)
    is_it = pc.equal(table["image_id"], "grey-0")
    for column, value in (("rule", "greyscale"), ("split", None)):
        at = table.column_names.index(column)
        table = table.set_column(at, column, pc.if_else(is_it, pa.scalar(value, pa.string()), table[column]))
    with cf.store.commit("test") as commit:
        commit.replace("curation", table, key=part.key)
    assert "image_id grey-0, verdict keep, rule greyscale" in cf("verify", code=4).stdout


def test_a_verdict_needs_a_reason(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    assert "Missing option '--why'" in cf("keep", "finch-00", code=2).stderr
    assert "--why is empty: give the reason" in cf("drop", "finch-00", "--why", " ", code=2).stderr
    assert "keep: 1 images" in cf("keep", "finch-00", "finch-00", "--why", "x").stderr


def test_all_or_none_are_judged(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("gone", "moth")
    catalogue.write()
    cf.ingest(catalogue, code=3)
    said = cf("keep", "finch-00", "nobody", "--why", "x", code=1).stderr
    assert "nobody: no image with this id or path; expected one of the catalogue's ids or paths" in said
    assert (
        "gone: not readable, so there is nothing to judge (missing" in cf("drop", "gone", "--why", "x", code=1).stderr
    )
    assert cf.value("select count(*) from verdict_history") == 0


def test_a_path_of_several_images_is_refused(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.rows[1]["file_path"] = catalogue.rows[0]["file_path"]
    catalogue.write()
    cf.ingest(catalogue)
    said = cf("keep", catalogue.rows[0]["file_path"], "--why", "x", code=1).stderr
    assert "the path of several images (finch-00, finch-01): name one by its id" in said


def test_why_tells_the_whole_story(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("finch-00-copy", "finch", picture("finch", 0))
    grey_catalogue(cf, catalogue)
    cf("embed", "mean-colour")
    cf("score", "knn")
    cf("filter", "centroid", "--percentile", 60)
    story = cf("why", "finch-00").stdout
    for words in ("phylum: chordata", "finch-00-copy is a copy of finch-00", "embedded in mean-colour", "score knn: "):
        assert words in story
    out = cf.rows("select * from exclusions where rule = 'centroid' limit 1")[0]
    story = cf("why", out["image_id"]).stdout
    assert "plan default: out by rule centroid, stage 2 with percentile = [60.0], pass 1: value" in story
    assert "out by rule greyscale, stage 1, pass 1" in cf("why", "grey-0").stdout
    cf("keep", "grey-0", "--why", "good")
    assert "in, split train, kept by a person whatever the rules say" in cf("why", "grey-0").stdout
    cf("drop", "grey-1", "--why", "bad")
    assert "out, dropped by a person before any stage" in cf("why", "grey-1").stdout
    assert json.loads(cf("why", "grey-1", "--format", "json").stdout)["image"]["label"] == "moth"


def test_why_of_a_failure_and_of_nothing(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("gone", "moth")
    catalogue.write()
    cf.ingest(catalogue, code=3)
    story = cf("why", "moth/gone.png").stdout
    assert "failed in ingest: missing: no such file" in story
    assert "it is not an image of the store" in story
    assert "no image with this id or path" in cf("why", "nobody", code=1).stderr
    assert "no plan has been replayed since it was ingested" in cf("why", "moth-00").stdout
