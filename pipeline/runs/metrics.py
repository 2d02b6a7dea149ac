"""Measures of a classifier: pure functions on arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Keras' own epsilon: smaller probabilities count as this much, so that one row cannot make the loss infinite.
LOSS_EPSILON = 1e-7
TOP = 5
CALIBRATION_BINS = 15
REPLICATES = 1000
CONFIDENCE = 0.95
NORMAL = 1.959963984540054  # standard deviations to either side that hold 95 %
METHOD = (
    f"95 % intervals: accuracy by Wilson's method, macro F1 by {REPLICATES} bootstrap samples; rows that splits keep together, "
    "such as copies, count together"
)

Probabilities = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Measures:
    """Measures over the rows evaluated. F1 covers the ``classes`` labels that occur among them."""

    rows: int
    classes: int
    accuracy: float
    f1_micro: float
    f1_macro: float
    f1_weighted: float
    loss: float
    loss_capped: int


def measure(
    labels: npt.NDArray[np.str_], predicted: npt.NDArray[np.str_], label_probability: Probabilities
) -> Measures:
    """Accuracy, F1 and cross-entropy (nats) of predictions, all of shape (n,).

    F1 is averaged over the labels that occur in ``labels``. A class that is only predicted counts as errors of the others. The
    averages are those of ``sklearn.metrics.f1_score`` over these labels, which takes longer to import than to compute.
    """
    coded = _Coded(labels, [predicted])
    counts = coded.count(0, np.ones(len(labels)))
    return Measures(
        rows=len(labels),
        classes=coded.classes,
        accuracy=float(np.mean(labels == predicted)),
        f1_micro=float(2 * counts.hits.sum() / (counts.labels.sum() + counts.predicted.sum())),
        f1_macro=float(counts.f1.mean()),
        f1_weighted=float(np.average(counts.f1, weights=counts.labels)),
        loss=float(-np.log(np.maximum(label_probability, LOSS_EPSILON)).mean()),
        loss_capped=int((label_probability < LOSS_EPSILON).sum()),
    )


def top_k(ranks: Indices, k: int = TOP) -> float:
    """The share of rows whose label is among the ``k`` most probable classes; ``ranks`` come from :func:`rank_of`."""
    return float(np.mean((ranks > 0) & (ranks <= k)))


def calibration_error(probability: Probabilities, is_right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error of the best class's probability, 0 to 1.

    It is the mean gap between probability and accuracy over 15 bins of equal width, weighted by rows (Guo et al. 2017).
    """
    bins = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, probability - is_right, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(probability))


@dataclass(frozen=True)
class Interval:
    """The bounds of a 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """The intervals of accuracy and macro F1; None for one that cannot be had."""

    accuracy: Interval
    f1_macro: Interval | None


@dataclass(frozen=True)
class Paired:
    """A comparison of two predictions of the same rows; differences are the first less the second."""

    rows: int
    classes: int
    accuracy_difference: float
    accuracy: Interval | None
    f1_macro_first: float
    f1_macro_difference: float
    f1_macro: Interval | None
    only_first_right: int
    only_second_right: int
    p_value: float


def intervals(
    labels: npt.NDArray[np.str_], predicted: npt.NDArray[np.str_], units: Indices, *, seed: int = 0
) -> Intervals:
    """95 % intervals for rows that could have been others, of units: copies, or rows of one group, that count together.

    Accuracy: Wilson's interval (1927) of as many independent rows as the units are worth: the design effect of units within which
    predictions agree, and Student's quantile for few units (Korn and Graubard 1998). Where each row is a unit it is Wilson's own.

    Macro F1: 1.96 standard deviations of 1,000 bootstrap replicates to either side (Efron and Tibshirani 1993, chapter 12), in
    which units are drawn with replacement. A replicate's F1 covers the classes that occur in it. Units are not drawn class by
    class: a class of one unit would not vary. It is None where no replicate differs, as when every row is right, and where more
    than half of the classes have a single unit: how their F1 would vary cannot be seen.

    Args:
        labels, predicted: shape (n,).
        units: shape (n,), the number of each row's unit.
    """
    coded = _Coded(labels, [predicted])
    f1 = None
    if coded.may_vary(units):
        found = np.array([coded.measure(0, weights)[1] for weights in _replicates(units, seed)])
        f1 = _around(coded.measure(0, np.ones(len(labels)))[1], found, least=0.0, most=1.0)
    return Intervals(_wilson(predicted == labels, units), f1)


def _wilson(is_right: npt.NDArray[np.bool_], units: Indices) -> Interval:
    """The interval of a share of rows, bool (n,), that come in units (n,)."""
    from scipy.special import stdtrit  # scipy.stats takes far longer to import

    rows, share = len(is_right), float(is_right.mean())
    _, unit = np.unique(units, return_inverse=True)
    sizes, count = np.bincount(unit).astype(float), int(unit.max()) + 1
    worth = float(rows)  # in independent rows
    if count < rows:
        off = np.bincount(unit, is_right) - share * sizes
        variance = count / max(count - 1, 1) * float((off**2).sum()) / rows**2
        alike = rows**2 / float((sizes**2).sum())  # if the rows of a unit are one
        worth = min(worth, share * (1 - share) / variance if variance > 0 else alike)
        worth *= (NORMAL / float(stdtrit(max(count - 1, 1), (1 + CONFIDENCE) / 2))) ** 2
    spread = NORMAL**2 / worth
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
    return Interval(max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


def paired(
    labels: npt.NDArray[np.str_],
    first: npt.NDArray[np.str_],
    second: npt.NDArray[np.str_],
    units: Indices,
    *,
    seed: int = 0,
) -> Paired:
    """The difference between two predictions of the same rows, with intervals from 1,000 bootstrap replicates as for the F1 of
    :func:`intervals`, and None where that has none.

    Each replicate measures both predictions. The p-value is that of McNemar's exact test (1947) for both being right equally
    often; the test treats rows as independent.
    """
    from scipy.stats import binomtest

    coded = _Coded(labels, [first, second])
    ones = np.ones(len(labels))
    whole = coded.measure(0, ones)
    differences = np.subtract(whole, coded.measure(1, ones))
    found = np.array(
        [np.subtract(coded.measure(0, weights), coded.measure(1, weights)) for weights in _replicates(units, seed)]
    )
    right = first == labels, second == labels
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return Paired(
        len(labels),
        coded.classes,
        float(differences[0]),
        _around(float(differences[0]), found[:, 0]),
        whole[1],
        float(differences[1]),
        _around(float(differences[1]), found[:, 1]) if coded.may_vary(units) else None,
        only_first,
        only_second,
        float(binomtest(only_first, only_first + only_second).pvalue) if only_first + only_second else 1.0,
    )


@dataclass(frozen=True)
class _Counts:
    """The weight of the rows of each class, shape (classes,): right ones, all with that label, all with that prediction."""

    hits: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    predicted: npt.NDArray[Any]

    @property
    def f1(self) -> npt.NDArray[Any]:
        """F1 of each class; 0 for one without any weight."""
        f1: npt.NDArray[Any] = 2 * self.hits / np.maximum(self.labels + self.predicted, 1e-300)
        return f1


class _Coded:
    """Labels and predictions as integer codes, for measures of weighted rows."""

    def __init__(self, labels: npt.NDArray[np.str_], predictions: list[npt.NDArray[np.str_]]) -> None:
        present, self.targets = np.unique(labels, return_inverse=True)
        self.classes = len(present)
        self._predicted = []
        for predicted in predictions:
            found = np.searchsorted(present, predicted).clip(max=len(present) - 1)
            # a class without a row counts as an error of the others and has no F1 of its own
            self._predicted.append(np.where(present[found] == predicted, found, self.classes))

    def may_vary(self, units: Indices) -> bool:
        """Whether at most half of the classes have the rows of a single unit."""
        pairs = np.unique(np.stack([self.targets, units]), axis=1)
        return bool(2 * (np.bincount(pairs[0]) == 1).sum() <= self.classes)

    def count(self, which: int, weights: Probabilities) -> _Counts:
        """The counts of one of the predictions."""
        predicted = self._predicted[which]
        is_right = predicted == self.targets
        return _Counts(
            hits=np.bincount(self.targets[is_right], weights[is_right], self.classes),
            labels=np.bincount(self.targets, weights, self.classes),
            predicted=np.bincount(predicted, weights, self.classes + 1)[: self.classes],
        )

    def measure(self, which: int, weights: Probabilities) -> tuple[float, float]:
        """Accuracy of one of the predictions, and macro F1 over the classes that have any weight."""
        counts = self.count(which, weights)
        return float(counts.hits.sum() / weights.sum()), float(counts.f1[counts.labels > 0].mean())


def _replicates(units: Indices, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yield each replicate: how often each row counts in it."""
    names, unit = np.unique(units, return_inverse=True)
    random = np.random.default_rng(seed)
    for _ in range(REPLICATES):
        drawn = random.integers(0, len(names), len(names))
        yield np.bincount(drawn, minlength=len(names))[unit].astype(np.float64)


def _around(
    measured: float, values: npt.NDArray[np.float64], *, least: float = -1.0, most: float = 1.0
) -> Interval | None:
    """The interval around a measure whose replicates have these values; None where all are equal."""
    if np.ptp(values) == 0:
        return None
    half = NORMAL * float(values.std())
    return Interval(max(least, measured - half), min(most, measured + half))


def mask(probabilities: Probabilities, groups: Indices, allowed: npt.NDArray[np.bool_]) -> Probabilities:
    """Set the probability of classes that never occur in a row's group to 0, and renormalise the rest.

    Args:
        probabilities: shape (n, classes).
        groups: the group of each row; -1 for a group not seen in training: such a row is left as it is.
        allowed: shape (groups, classes), whether a class occurs in a group.

    Returns:
        Probabilities of shape (n, classes). If all allowed classes of a row underflow, they get equal parts.
    """
    if not len(allowed):
        return probabilities
    keep = np.where((groups >= 0)[:, None], allowed[groups], True)
    masked = np.where(keep, probabilities, 0.0)
    totals = masked.sum(axis=1, keepdims=True)
    even = keep / keep.sum(axis=1, keepdims=True)
    masked = np.where(totals > 0, masked / np.where(totals > 0, totals, 1.0), even)
    return np.where((groups >= 0)[:, None], masked, probabilities)


def probability_of(probabilities: Probabilities, targets: Indices) -> Probabilities:
    """The probability given to each row's label, shape (n,); 0 if the label is not among the classes (-1)."""
    rows = np.arange(len(targets))
    return np.where(targets >= 0, probabilities[rows, targets], 0.0)


def rank_of(probabilities: Probabilities, targets: Indices) -> Indices:
    """The rank of each row's label among the classes; 1 is the predicted class.

    It is 0 if the label is not among the classes or has probability 0, which is not a guess at all. Of equal probabilities, the
    first class comes first, as in a prediction.
    """
    own = probability_of(probabilities, targets)[:, None]
    before = np.arange(probabilities.shape[1]) < targets[:, None]
    ahead = (probabilities > own) | ((probabilities == own) & before)
    return np.where(own[:, 0] > 0, 1 + ahead.sum(axis=1), 0)
