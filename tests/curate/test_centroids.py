"""Distances to class centroids, against their plain definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curate import centroids


def data(seed: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(count + 5, 4)).astype(np.float32)
    return matrix, rng.permutation(count + 5)[:count], rng.integers(0, classes, count)


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 6))
def test_centroids_and_distances(seed: int, count: int, classes: int) -> None:
    matrix, rows, labels = data(seed, count, classes)
    means, sizes = centroids.class_centroids(matrix, rows, labels, classes)
    found = centroids.distances(matrix, rows, labels, means)
    for position, (row, label) in enumerate(zip(rows, labels, strict=True)):
        members = matrix[rows[labels == label]].astype(np.float64)
        assert sizes[label] == len(members)
        assert np.isclose(found[position], np.linalg.norm(matrix[row] - members.mean(axis=0)))


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(1, 3))
def test_leave_one_out_is_the_distance_to_the_centroid_of_the_others(seed: int, count: int, classes: int) -> None:
    matrix, rows, labels = data(seed, count, classes)
    means, sizes = centroids.class_centroids(matrix, rows, labels, classes)
    found = centroids.without_itself(centroids.distances(matrix, rows, labels, means), sizes[labels])
    for position, (row, label) in enumerate(zip(rows, labels, strict=True)):
        others = matrix[rows[(labels == label) & (np.arange(count) != position)]].astype(np.float64)
        if len(others):
            assert np.isclose(found[position], np.linalg.norm(matrix[row] - others.mean(axis=0)))
        else:
            assert np.isnan(found[position])
