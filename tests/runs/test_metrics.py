"""Measures and masks, against their plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from pipeline.runs import metrics


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


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcdef")), min_size=1, max_size=40))
def test_f1_is_that_of_scikit_learn(rows: list[tuple[str, str]]) -> None:
    labels, predicted = (np.array(column) for column in zip(*rows, strict=True))
    found = metrics.measure(labels, predicted, np.ones(len(labels)))
    for average, value in (("micro", found.f1_micro), ("macro", found.f1_macro), ("weighted", found.f1_weighted)):
        expected = f1_score(labels, predicted, labels=np.unique(labels), average=average, zero_division=0)
        assert value == pytest.approx(float(expected), rel=1e-12)


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


def test_a_class_without_a_chance_has_no_rank_and_ties_go_to_the_first() -> None:
    votes = np.array([[0.0, 0.5, 0.0, 0.5]] * 4)
    assert votes[0].argmax() == 1
    assert metrics.rank_of(votes, np.arange(4)).tolist() == [0, 1, 0, 2]


def outcomes(rows: int, seed: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and predictions that are right two times in three."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    predicted = np.where(random.random(rows) < 2 / 3, labels, random.integers(0, classes + 1, rows))
    return labels.astype(str), predicted.astype(str)


@given(st.integers(2, 60), st.integers(0, 1000))
@settings(max_examples=15)
def test_an_interval_is_around_what_was_measured(rows: int, seed: int) -> None:
    labels, predicted = outcomes(rows, seed)
    found = metrics.intervals(labels, predicted, np.arange(rows))
    measured = metrics.measure(labels, predicted, np.ones(rows))
    assert found.accuracy.low <= measured.accuracy <= found.accuracy.high
    assert 0 <= found.accuracy.low < found.accuracy.high <= 1
    if found.f1_macro is not None:
        assert 0 <= found.f1_macro.low <= measured.f1_macro <= found.f1_macro.high <= 1
    assert found == metrics.intervals(labels, predicted, np.arange(rows))


def test_an_interval_is_as_wide_as_theory_has_it() -> None:
    labels, predicted = outcomes(4000, 1, classes=2)
    found = metrics.intervals(labels, predicted, np.arange(4000)).accuracy
    share = np.mean(labels == predicted)
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 4000), rel=0.1)


def test_copies_are_no_larger_sample() -> None:
    labels, predicted = outcomes(200, 2)
    once = metrics.intervals(labels, predicted, np.arange(200)).accuracy
    copied = metrics.intervals(np.tile(labels, 4), np.tile(predicted, 4), np.tile(np.arange(200), 4)).accuracy
    taken_for_others = metrics.intervals(np.tile(labels, 4), np.tile(predicted, 4), np.arange(800)).accuracy
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.15)
    assert taken_for_others.high - taken_for_others.low < 0.7 * (once.high - once.low)


def test_classes_of_one_row_have_the_interval_of_their_rows() -> None:
    """Drawn class by class, nothing would vary."""
    labels = np.arange(1200).astype(str)
    predicted = np.where(np.arange(1200) < 276, np.roll(labels, 1), labels)
    found = metrics.intervals(labels, predicted, np.arange(1200))
    assert found.accuracy.low == pytest.approx(0.7453, abs=1e-4)
    assert found.accuracy.high == pytest.approx(0.7929, abs=1e-4)
    assert found.f1_macro is None
    two = metrics.intervals(np.tile(labels, 2), np.tile(predicted, 2), np.arange(2400)).f1_macro
    assert two is not None
    assert 0.01 < two.high - two.low < 0.06


def test_what_cannot_be_had_has_no_interval() -> None:
    labels = np.array(["a", "b"] * 10)
    found = metrics.intervals(labels, labels, np.arange(20))
    assert found.f1_macro is None
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx((0.8389, 1), abs=1e-4)
    one = metrics.intervals(labels, labels, np.zeros(20, np.int64)).accuracy  # all of one group
    assert one.low < 0.1


@pytest.mark.parametrize("seed", range(2))
def test_groups_are_a_smaller_sample(seed: int) -> None:
    """Predictions that agree within a group are worth fewer rows; those that do not are worth all of them."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(40), 30)
    labels = np.array(["a", "b"])[random.integers(0, 2, 1200)]
    other = np.where(labels == "a", "b", "a")
    together = np.where((random.random(40) < 0.3)[groups], other, labels)
    apart = np.where(random.random(1200) < 0.3, other, labels)
    wide, narrow = (metrics.intervals(labels, one, groups).accuracy for one in (together, apart))
    assert 0.2 < wide.high - wide.low < 0.4
    assert 0.04 < narrow.high - narrow.low < 0.09


def test_f1_of_weighted_rows_is_scikit_learns() -> None:
    from sklearn.metrics import f1_score

    labels, predicted = outcomes(300, 3)
    weights = np.random.default_rng(0).integers(1, 4, 300).astype(float)
    coded = metrics._Coded(labels, [predicted])
    wanted = f1_score(labels, predicted, labels=np.unique(labels), average="macro", sample_weight=weights)
    assert coded.measure(0, weights)[1] == pytest.approx(wanted)


def test_a_difference_is_paired() -> None:
    labels, first = outcomes(400, 4)
    second = first.copy()
    wrong = np.flatnonzero(first != labels)[:20]
    second[wrong] = labels[wrong]  # better by exactly 20 rows
    found = metrics.paired(labels, first, second, np.arange(400))
    assert found.accuracy_difference == pytest.approx(-0.05)
    assert found.accuracy is not None
    assert found.accuracy.high < 0
    assert (found.only_first_right, found.only_second_right) == (0, 20)
    assert found.p_value == pytest.approx(2 * 0.5**20)
    assert found.accuracy.high - found.accuracy.low < 0.05  # that of each alone is twice as wide
    alike = metrics.paired(labels, first, first, np.arange(400))
    assert (alike.p_value, alike.accuracy, alike.f1_macro) == (1, None, None)


def test_the_calibration_error_is_the_gap_between_being_sure_and_being_right() -> None:
    sure = np.full(1000, 0.8)
    right = np.arange(1000) < 800
    assert metrics.calibration_error(sure, right) == pytest.approx(0, abs=1e-9)
    assert metrics.calibration_error(sure, np.arange(1000) < 500) == pytest.approx(0.3)
    assert metrics.calibration_error(np.ones(10), np.zeros(10, bool)) == 1


def test_the_label_is_among_the_best_five() -> None:
    assert metrics.top_k(np.array([1, 5, 6, 0])) == 0.5
    assert metrics.top_k(np.array([1, 5, 6, 0]), 1) == 0.25
