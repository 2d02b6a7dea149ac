"""Measures and masks, against their plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import metrics


def probabilities(seed: int, rows: int, classes: int) -> metrics.Probabilities:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), rows)


def test_f1_is_over_the_classes_present() -> None:
    labels, predicted = np.array(["a", "a", "b", "b"]), np.array(["a", "c", "b", "b"])
    found = metrics.measure(labels, predicted, np.array([0.5, 0.25, 1.0, 0.0]))
    assert (found.rows, found.classes, found.accuracy) == (4, 2, 0.75)
    assert found.f1_macro == pytest.approx((2 / 3 + 1) / 2)
    assert found.f1_weighted == pytest.approx((2 / 3 + 1) / 2)
    assert found.f1_micro == pytest.approx(2 * 3 / (2 * 3 + 0 + 1))
    assert found.loss == pytest.approx((np.log(2) + np.log(4) + 0 - np.log(1e-7)) / 4)
    assert found.loss_capped == 1


@given(st.integers(0, 999), st.integers(1, 20), st.integers(2, 6), st.integers(1, 4))
def test_a_mask_rules_out_and_renormalises(seed: int, rows: int, classes: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    before = probabilities(seed, rows, classes)
    group = rng.integers(-1, groups, rows)
    allowed = rng.random((groups, classes)) < 0.5
    allowed[:, 0] = True
    after = metrics.mask(before, group, allowed)
    assert np.allclose(after.sum(axis=1), 1)
    for row in range(rows):
        if group[row] < 0:
            assert np.array_equal(after[row], before[row])
        else:
            keep = allowed[group[row]]
            assert (after[row][~keep] == 0).all()
            assert np.allclose(after[row][keep], before[row][keep] / before[row][keep].sum())


def test_a_row_whose_allowed_classes_underflow_gets_them_in_equal_parts() -> None:
    after = metrics.mask(np.array([[1.0, 0.0, 0.0]]), np.array([0]), np.array([[False, True, True]]))
    assert after.tolist() == [[0.0, 0.5, 0.5]]


def test_ranks_and_probabilities_of_labels() -> None:
    given_ = np.array([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3], [0.2, 0.5, 0.3]])
    assert metrics.rank_of(given_, np.array([1, 0, -1])).tolist() == [1, 3, 0]
    assert metrics.probability_of(given_, np.array([1, 0, -1])).tolist() == [0.5, 0.2, 0.0]
