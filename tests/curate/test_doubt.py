"""Doubt of labels: against its definition by all pairs, as a scorer, as a rule, and as a list of suspects."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curate import doubt, replay
from pipeline.curate import nearest as neighbours
from pipeline.curate.nearest import centred, nearest
from pipeline.curate.plans import Plan, rule_stage, split_stage
from store.schemas import SCHEMAS
from tests.support.coldframe import Catalogue, Coldframe, parts_of, picture
from tests.support.synthetic import fresh_store, image, put_images, put_scores, put_vectors


@settings(max_examples=30)
@given(st.integers(0, 9999), st.integers(2, 40), st.integers(1, 60))
def test_nearest_are_the_most_similar_others(seed: int, count: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    unit = centred(rng.normal(size=(count, 6)).astype(np.float32))
    references = np.flatnonzero(rng.random(count) < 0.7)
    found, cosines = nearest(unit, np.arange(count), references, k)
    for row in range(count):
        others = sorted((float(unit[row] @ unit[one]) for one in references if one != row), reverse=True)[:k]
        got = cosines[row][np.isfinite(cosines[row])]
        assert np.allclose(got, others, atol=1e-5)
        assert (found[row] >= 0).sum() == len(others)
        assert row not in found[row]


def test_of_many_vectors_nearly_all_of_the_nearest_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(30, 300))[rng.integers(0, 30, 3000)] + rng.normal(size=(3000, 300))).astype(np.float32)
    matrix[7] = np.nan
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    rows, references = np.arange(2000), np.arange(1000, 3000)
    found, cosines = nearest(unit, rows, references, 10)
    monkeypatch.setattr(neighbours, "MOST_PAIRS", 1000)
    others, their_cosines = nearest(unit, rows, references, 10)
    assert (others[7] == -1).all()
    assert not (others == rows[:, None]).any()
    shared = [len(set(one) & set(other)) / 10 for one, other in zip(found, others, strict=True)]
    assert np.mean(shared) > 0.95
    first = (rows != 7) & (found[:, 0] == others[:, 0])
    assert first.mean() > 0.98
    assert np.allclose(cosines[first, 0], their_cosines[first, 0], atol=1e-5)


@pytest.mark.parametrize("finite", [200, pytest.param(0, marks=pytest.mark.variants)])
@pytest.mark.parametrize("count", [256, pytest.param(300, marks=pytest.mark.variants)])
def test_of_few_references_each_row_has_its_nearest(monkeypatch: pytest.MonkeyPatch, count: int, finite: int) -> None:
    unit = centred(np.random.default_rng(0).normal(size=(900, 8)).astype(np.float32))
    references = np.arange(600, 600 + count)
    if count > 256:  # more, most of which are no vectors
        unit[600 + finite : 600 + count] = np.nan
    monkeypatch.setattr(neighbours, "MOST_PAIRS", 1000)
    found, cosines = nearest(unit, np.arange(500), references, 3)
    alike = np.where(np.isfinite(unit[references, 0]), np.nan_to_num(unit[:500] @ unit[references].T), -np.inf)
    assert np.allclose(cosines, -np.sort(-alike, axis=1)[:, :3], atol=1e-5)
    assert ((found >= 600) == np.isfinite(cosines)).all()


def by_definition(matrix: np.ndarray, classes: np.ndarray) -> Any:
    """The doubt of each row over all pairs, in plain arithmetic; for at most 20 rows a class."""
    unit = centred(matrix).astype(np.longdouble)  # whose exponents do not run out
    cosine, same = unit @ unit.T, classes[:, None] == classes[None]
    np.fill_diagonal(cosine, -np.inf)
    closest = np.where(same, cosine, -np.inf).max(axis=1)
    beta = 16 / max(closest[np.isfinite(closest)].std(), 0.02)
    weight = np.exp(beta * (np.minimum(cosine, 0.9) - 1))
    sizes = np.bincount(classes)[classes]
    full, boost = sizes.max() - 1, np.ones(len(classes))
    for kept in range(1, full):
        drops = []
        for row in np.flatnonzero(sizes == full + 1):
            mates = cosine[row][same[row] & (np.arange(len(classes)) != row)]
            best = [max(mates[list(chosen)]) for chosen in combinations(range(full), kept)]
            drops.append(mates.max() - np.mean(best))
        boost[sizes == kept + 1] = np.exp(beta * np.median(drops))

    def values(own: np.ndarray, other: np.ndarray) -> Any:
        alone = own == 0
        own_log = np.log(np.where(alone, 1, own * boost))
        own_log[alone] = np.quantile(own_log[~alone], 0.25)
        return np.log(level_of(own, other) + other) - own_log

    def level_of(own: np.ndarray, other: np.ndarray) -> Any:
        return np.exp(np.median(np.log(own + other)))

    def sigmoid(value: np.ndarray) -> Any:
        return 1 / (1 + np.exp(-value))

    own, other = (weight * same).sum(axis=1), (weight * ~same).sum(axis=1)
    level, first = level_of(own, other), values(own, other)
    limit = np.quantile(first, 0.9)
    everyone = np.arange(len(classes))
    own_without = np.array([(weight * same)[:, everyone != one].sum(axis=1) for one in everyone])
    with np.errstate(divide="ignore"):
        without = np.log(level + other)[None] - np.log(own_without * boost[None])
    trust = np.where(same, np.where(sizes <= 4, 0.5, sigmoid(limit - without)), sigmoid(limit - first))
    return values((weight * trust * same).sum(axis=1), (weight * trust * ~same).sum(axis=1)) / 16


@settings(max_examples=25)
@given(st.integers(0, 9999), st.integers(2, 8), st.integers(1, 3))
def test_doubt_is_what_its_definition_says(seed: int, largest: int, others: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [largest, *rng.integers(1, largest + 1, others)]
    classes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    matrix = (rng.normal(size=(len(sizes), 6))[classes] + rng.normal(size=(len(classes), 6))).astype(np.float32)
    found = doubt.doubts(matrix, classes)
    assert found is not None
    assert np.allclose(found.doubt, by_definition(matrix, classes), rtol=1e-3, atol=1e-3)


def mislabelled(cf: Coldframe, catalogue: Catalogue) -> None:
    """One finch filed as a moth, in a store with vectors."""
    catalogue.rows[0]["label"] = "moth"
    catalogue.write()
    cf.ingest(catalogue)


def test_a_wrong_label_is_doubted_most_and_the_right_one_is_suggested(ready: Coldframe, catalogue: Catalogue) -> None:
    mislabelled(ready, catalogue)
    assert "label-doubt: 24 images scored" in ready("score", "label-doubt").stderr
    first, *others = ready.rows("select * from scores where scorer = 'label-doubt' order by value desc")
    assert (first["image_id"], first["suggested"]) == ("finch-00", "finch")
    assert first["evidence"] == "7 of its 10 nearest are finch"
    assert all(row["suggested"] is None for row in others)
    told = ready("why", "finch-00").stdout
    assert "label doubted more than 95.8 % of labels: 7 of its 10 nearest are finch" in told
    assert "suspect 1 of 24; suggested label: finch" in told


def test_the_rule_takes_wrong_labels_out_of_train_alone(ready: Coldframe, catalogue: Catalogue) -> None:
    mislabelled(ready, catalogue)
    ready("filter", "label-doubt", "--deviations", 4)
    out = ready.rows("from exclusions")
    assert [(row["image_id"], row["rule"]) for row in out] == [("finch-00", "label-doubt")]
    assert out[0]["value"] > out[0]["threshold"]
    ready("relabel", "finch-00", "finch", "--why", "I looked")
    assert ready.value("select count(*) from exclusions") == 0
    ready("relabel", "finch-00", "moth", "--why", "a person who insists")  # the rule does not take it out
    assert ready.value("select count(*) from exclusions") == 0


@pytest.mark.parametrize("changed", ["labels", pytest.param("vectors", marks=pytest.mark.variants)])
def test_the_rule_reads_training_rows_alone(tmp_path: Path, changed: str) -> None:
    rng = np.random.default_rng(0)
    ids = [f"{number:02}" for number in range(40)]
    vectors = rng.normal(size=(4, 6))[np.arange(40) % 4] + rng.normal(size=(40, 6))
    store = fresh_store(tmp_path)
    stages = (split_stage("test", {"where": "side = 'test'"}), rule_stage("label-doubt", {"deviations": 0}))

    def out(labels: Any, matrix: Any) -> list[dict[str, Any]]:
        sides = ["test" if number % 3 == 0 else "train" for number in range(40)]
        put_images(store, [image(one, label, side=side) for one, label, side in zip(ids, labels, sides, strict=True)])
        put_vectors(store, "e", {f"content {one}": row for one, row in zip(ids, matrix.tolist(), strict=True)})
        replay.curate(store, lambda _: Plan("default", stages))
        return list(store.snapshot().ask("from exclusions order by image_id", {}).to_pylist())

    labels = np.array([f"class {number % 4}" for number in range(40)])
    before = out(labels, vectors)
    assert 0 < len(before) < 26
    is_test = np.arange(40) % 3 == 0
    if changed == "labels":
        labels[is_test] = "class 0"
    else:
        vectors[is_test] *= -5
    assert out(labels, vectors) == before


@pytest.mark.exhaustive
def test_a_correction_that_cannot_be_placed_hides_no_doubt(ready: Coldframe, catalogue: Catalogue) -> None:
    mislabelled(ready, catalogue)
    ready("filter", "label-doubt", "--deviations", 4)
    row = {"image_id": None, "content_id": None, "verdict": "relabel", "why": "", "created_at": None, "label": "moth"}
    with ready.store.commit("test") as commit:
        commit.append("verdicts", pa.Table.from_pylist([row], SCHEMAS["verdicts"]))
    ready("curate")
    assert [row["image_id"] for row in ready.rows("from exclusions")] == ["finch-00"]


def test_test_rows_stay_and_do_not_vote(ready: Coldframe, catalogue: Catalogue) -> None:
    ready("split", "test", 0.4)
    test = ready.rows("select image_id, label from kept where split = 'test' and label = 'finch' order by image_id")
    for row in catalogue.rows:
        if row["id"] == test[0]["image_id"]:
            row["label"] = "moth"
    catalogue.write()
    ready.ingest(catalogue)
    ready("filter", "label-doubt", "--deviations", 4)
    assert ready.value("select count(*) from exclusions") == 0


@pytest.mark.exhaustive
def test_equal_files_do_not_vouch_for_each_other(ready: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("finch-00-again", "moth", picture("finch", 0))
    catalogue.rows[0]["label"] = "moth"
    catalogue.write()
    ready.ingest(catalogue)
    ready("score", "label-doubt")
    doubted = ready.rows("select image_id, suggested from scores where suggested is not null order by image_id")
    assert doubted == [{"image_id": one, "suggested": "finch"} for one in ("finch-00", "finch-00-again")]


@pytest.mark.exhaustive
def test_equal_files_under_two_labels_speak_against_each_other(ready: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("finch-00-as-moth", "moth", picture("finch", 0))
    catalogue.write()
    ready.ingest(catalogue)
    ready("score", "label-doubt")
    first = ready.rows("select image_id, suggested from scores order by value desc limit 1")
    assert first == [{"image_id": "finch-00-as-moth", "suggested": "finch"}]


def test_what_it_needs_is_said(ready: Coldframe, catalogue: Catalogue) -> None:
    for row in catalogue.rows[:3]:
        row["label"] = ""
    catalogue.write()
    ready.ingest(catalogue)
    assert "21 images scored, 3 have no label" in ready("score", "label-doubt").stderr
    for number, row in enumerate(catalogue.rows):
        row["label"] = f"class {number}"
    catalogue.write()
    ready.ingest(catalogue)
    said = ready("score", "label-doubt", code=1).stderr
    assert "label-doubt: no class has two different images with vectors" in said
    ready("filter", "label-doubt")  # nothing to compare: nothing goes
    assert ready.value("select count(*) from exclusions") == 0


def test_a_new_label_makes_scores_and_plans_out_of_date(ready: Coldframe, catalogue: Catalogue, recipe: str) -> None:
    ready("score", "label-doubt", "knn")
    assert "score label-doubt" not in ready("status", "--config", recipe).stdout
    ready("relabel", "moth-00", "heron", "--why", "it flies by day")
    said = ready("status", "--config", recipe).stdout
    assert "score label-doubt: changed since: label" in said
    assert "score knn" not in said


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """A coldframe.toml with two scorers."""
    file = tmp_path / "coldframe.toml"
    file.write_text("[score.label-doubt]\n[score.knn]\n", encoding="utf-8")
    return str(file)


def test_the_more_suspicious_of_two_signals_decides(tmp_path: Path) -> None:
    store = fresh_store(tmp_path)
    put_images(store, [image(one, "moth") for one in "abcd"])
    put_scores(store, "label-doubt", {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4})  # d first
    put_scores(store, "imagenet", {"a": 0.1, "b": 0.4, "c": 0.6, "d": 0.9})  # a first
    put_scores(store, "knn", {"a": 0.1, "b": 0.9, "c": 0.1, "d": 0.1})  # which does not decide
    rows = store.snapshot().ask("select image_id, rank, sentence from suspects order by rank", {}).to_pylist()
    assert [row["image_id"] for row in rows] == ["a", "d", "b", "c"]
    assert rows[0]["sentence"] == "filed as moth; the network gives the wanted classes 10 %"
    assert rows[1]["sentence"] == "filed as moth"


def test_evidence_counts_the_own_class_and_the_suggested_one() -> None:
    assert doubt._evidence("moth", "finch", 10, 7, 3) == "7 of its 10 nearest are finch"
    assert doubt._evidence("moth", "moth", 10, 2, 2) == "2 of its 10 nearest are moth"
    assert doubt._evidence("moth", "finch", 10, 4, 0) == "none of its 10 nearest is moth; 4 are finch"
    assert doubt._evidence("moth", "finch", 10, 1, 1) == "1 of its 10 nearest is moth; 1 is finch"


def test_suspects_begin_with_the_most_suspicious(ready: Coldframe, catalogue: Catalogue) -> None:
    mislabelled(ready, catalogue)
    assert ready.rows("from suspects") == []  # nothing scored yet
    ready("score", "label-doubt", "knn")
    rows = ready.rows("from suspects order by rank")
    assert [row["rank"] for row in rows] == list(range(1, 25))
    first = rows[0]
    assert (first["image_id"], first["label"], first["suggested"]) == ("finch-00", "moth", "finch")
    assert first["sentence"] == "filed as moth; 7 of its 10 nearest are finch"
    assert (first["label_doubt_rank"], first["imagenet"], first["imagenet_rank"]) == (1, None, None)
    assert first["knn_rank"] >= 1
    ready("relabel", "finch-00", "finch", "--why", "I looked")
    assert ready.rows("select verdict from suspects where image_id = 'finch-00'") == [{"verdict": "relabel"}]


@pytest.mark.exhaustive
@pytest.mark.parametrize("by", ["a person", pytest.param("the catalogue", marks=pytest.mark.variants)])
def test_a_score_of_another_label_is_not_shown(ready: Coldframe, catalogue: Catalogue, by: str) -> None:
    mislabelled(ready, catalogue)
    ready("score", "label-doubt", "knn")
    of_it = "from suspects where image_id = 'finch-00'"
    assert ready.rows(f"select path, rank {of_it}") == [{"path": catalogue.rows[0]["file_path"], "rank": 1}]
    if by == "a person":
        ready("relabel", "finch-00", "finch", "--why", "I looked")
    else:
        catalogue.rows[0]["label"] = "finch"
        catalogue.write()
        ready.ingest(catalogue)
    (row,) = ready.rows(of_it)
    assert (row["label"], row["suggested"], row["sentence"]) == ("finch", None, "filed as finch")
    assert (row["label_doubt"], row["label_doubt_rank"]) == (None, None)
    assert row["knn_rank"] is not None
    assert "label doubted" not in ready("why", "finch-00").stdout
    assert "out of date: score label-doubt: changed since: label" in ready("status").stdout
    ready("score", "label-doubt")
    assert ready.rows(f"select suggested, label_doubt_rank is null as is_hidden {of_it}") == [
        {"suggested": None, "is_hidden": False}
    ]
    if by == "a person":  # and back: the score is of the other label again
        ready("unset", "finch-00")
        assert ready.rows(f"select label_doubt {of_it}") == [{"label_doubt": None}]


def test_a_score_of_an_earlier_version_is_shown(ready: Coldframe, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setitem(SCHEMAS, "scores", pa.schema([field for field in SCHEMAS["scores"] if field.name != "label"]))
        ready("score", "label-doubt")
    (part,) = parts_of(ready, "scores")
    assert "label" not in pq.read_schema(ready.path / part.path).names
    ready("relabel", "moth-00", "heron", "--why", "it flies by day")
    assert ready.value("select count(*) from suspects where label_doubt is not null") == 24
