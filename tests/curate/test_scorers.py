"""Scores from cached vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.curate import scorers
from pipeline.curate.scorers import FeatureSet, autoencoder, isolation_forest, knn
from store.matrices import FloatMatrix, Vectors, to_matrix
from tests.support.coldframe import Catalogue, Coldframe, picture


@settings(max_examples=30)
@given(st.integers(0, 9999), st.integers(1, 30), st.integers(1, 12))
def test_knn_is_the_mean_cosine_distance_to_the_nearest_others(seed: int, count: int, k: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)
    known = Vectors("e", np.array([f"{n:03d}" for n in range(count)], object), matrix)
    found = knn.score(known, knn.Settings(k=k), FeatureSet("e", "e", {}, {}))
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    for position in range(count):
        others = sorted(1 - float(unit[position] @ unit[other]) for other in range(count) if other != position)
        assert np.isclose(found[position], np.mean(others[:k]) if others else 0.0, atol=1e-5)


def test_scores_are_shown_until_the_bytes_change(ready: Coldframe, catalogue: Catalogue) -> None:
    assert "knn: 24 images scored" in ready("score", "knn", "--k", 3).stderr
    assert ready.value("select count(*) from scores where scorer = 'knn'") == 24
    ready("filter", "knn", "--percentile", 90)
    assert ready.value("select count(*) from exclusions where rule = 'knn'") == 3
    picture("moth", 333).save(catalogue.images / catalogue.rows[-1]["file_path"])
    ready.ingest(catalogue)
    assert ready.value("select count(*) from scores where scorer = 'knn'") == 23
    assert "rule knn: 1 images have no score yet and stay in" in ready("curate").stderr


def test_the_isolation_forest_and_the_autoencoder_find_the_stranger(ready: Coldframe, catalogue: Catalogue) -> None:
    stripes = np.zeros((30, 40, 3), np.uint8)
    stripes[::2, :, 2] = 255
    catalogue.add("stranger", "moth", Image.fromarray(stripes))
    catalogue.write()
    ready.ingest(catalogue)
    ready("embed", "mean-colour")
    query = "select image_id, value from scores where scorer = '{}' order by value desc, image_id"
    for scorer, options in {
        "isolation-forest": ("--trees", 50, "--variance", 1),
        "autoencoder": ("--code", 4, "--epochs", 40),
    }.items():
        found = []
        for seed in (0, 0, 1):
            assert f"{scorer}: 25 images scored" in ready("score", scorer, *options, "--seed", seed).stderr
            found.append(ready.rows(query.format(scorer)))
        assert found[0][0]["image_id"] == "stranger", scorer
        values = [[row["value"] for row in sorted(rows, key=lambda row: row["image_id"])] for rows in found]
        assert np.allclose(values[0], values[1], atol=1e-6)
        assert not np.allclose(values[0], values[2], atol=1e-6)
    ready("score", "isolation-forest", "--trees", 20)
    assert ready.value("select count(*) from scores where scorer = 'isolation-forest' and value between 0 and 1") == 25
    ready("score", "autoencoder", "--epochs", 1)
    said = ready("score", "autoencoder", "--code", 48, code=1).stderr
    assert "autoencoder: code = 48, expected less than 48, the length of the vectors of 'mean-colour'" in said
    said = ready("score", "autoencoder", "--epochs", 5, "--lr", 1e30, code=1).stderr
    assert "autoencoder: its training on 'mean-colour' diverged" in said


@pytest.mark.parametrize(("count", "same"), [(1, False), (2, False), (9, True)])
def test_few_or_equal_vectors_are_scored(count: int, same: bool) -> None:
    matrix = np.random.default_rng(0).normal(size=(1 if same else count, 4)).astype(np.float32)
    known = Vectors("e", np.arange(count).astype(object), np.repeat(matrix, count // len(matrix), axis=0))
    for module in (isolation_forest, autoencoder):
        found = module.score(known, module.Settings(), FeatureSet("e", "e", {}, {}))
        assert found.shape == (count,)
        assert np.isfinite(found).all()
        assert np.ptp(found) < 1e-6 or not same


def test_errors(ready: Coldframe) -> None:
    assert (
        "no scorer 'nosuch'; available: autoencoder, clip-quality, imagenet, "
        in ready("score", "nosuch", code=1).stderr
    )
    assert "No such option '--aggregate'" in ready("score", "knn", "--aggregate", "best", code=2).stderr
    assert scorers.names() == ["autoencoder", "clip-quality", "imagenet", "isolation-forest", "knn", "label-doubt"]


SPOILED: dict[str, Callable[[FloatMatrix], FloatMatrix]] = {
    "not a number": lambda matrix: np.where(np.arange(len(matrix))[:, None] % 4, matrix, np.float32(np.nan)),
    "infinite": lambda matrix: np.where(np.arange(matrix.shape[1]) == 5, np.float32(np.inf), matrix),
    "huge": lambda matrix: np.full_like(matrix, 3e38),
    "huge and not": lambda matrix: np.where(np.arange(len(matrix))[:, None] % 2, matrix, np.float32(-3e38)),
    "too large to square": lambda matrix: np.where(np.arange(matrix.shape[1]) == 5, np.float32(2e19), matrix),
    "without numbers": lambda matrix: matrix[:, :0],
    "shorter": lambda matrix: matrix[:, :1],
    "longer": lambda matrix: np.repeat(matrix, 2, axis=1),
}


@pytest.mark.parametrize(
    "how", ["not a number", *(pytest.param(one, marks=pytest.mark.variants) for one in [*SPOILED][1:])]
)
def test_vectors_that_nothing_can_be_computed_from_are_said_by_all_that_read_them(ready: Coldframe, how: str) -> None:
    ready("split", "test", 0.25)
    rows = ready.store.snapshot().query("steps/embed/vectors", embedder="mean-colour", view=0).sort_by("content_id")
    matrix = SPOILED[how](to_matrix(rows["vector"]))
    column = pa.array(matrix.tolist(), pa.list_(pa.float32()))
    table = {"content_id": rows["content_id"], "embedder": ["mean-colour"] * len(rows), "view": [0] * len(rows)}
    with ready.store.commit("test") as commit:
        commit.replace("embeddings", pa.table(table | {"vector": column}), key="mean-colour")
    commands: list[tuple[str, ...]] = [("score", one, "--embedder", "mean-colour") for one in scorers.names()]
    commands += [("copies",), ("filter", "centroid"), ("filter", "label-doubt"), ("train", "--head", "centroid")]
    number = matrix.shape[1]
    is_other = number != 48
    expected = f"of {number} numbers, expected 48" if is_other else "not finite, or have numbers beyond 1e+15, such as"
    for command in commands:
        said = ready(*command, code=1).stderr
        assert f"the feature set 'mean-colour' has vectors {'' if is_other else 'that are '}{expected}" in said, command
