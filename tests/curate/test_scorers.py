"""Scores from cached vectors."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curate import scorers
from pipeline.curate.scorers import FeatureSet, knn
from store.matrices import Vectors
from tests.support.coldframe import Catalogue, Coldframe, picture


@settings(deadline=None, max_examples=30)
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


def test_errors(ready: Coldframe) -> None:
    assert "no scorer 'nosuch'; available: clip-quality, knn, label-doubt" in ready("score", "nosuch", code=1).stderr
    assert "No such option '--aggregate'" in ready("score", "knn", "--aggregate", "best", code=2).stderr
    assert scorers.names() == ["clip-quality", "knn", "label-doubt"]
