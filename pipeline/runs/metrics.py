"""Measures of a classifier, as pure functions on arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Keras' own epsilon: a probability below it counts as this much, so that one row cannot make the loss infinite.
LOSS_EPSILON = 1e-7
TOP = 5
CALIBRATION_BINS = 15
REPLICATES = 1000
CONFIDENCE = 0.95

Probabilities = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Measures:
    """Over the rows evaluated; F1 over the ``classes`` labels that occur among them."""

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

    F1 is averaged over the labels that occur in ``labels``: a class that is only predicted counts as errors of the others.
    """
    from sklearn.metrics import f1_score

    present = np.unique(labels)
    micro, macro, weighted = (
        float(f1_score(labels, predicted, labels=present, average=average, zero_division=0))
        for average in ("micro", "macro", "weighted")
    )
    return Measures(
        rows=len(labels),
        classes=len(present),
        accuracy=float(np.mean(labels == predicted)),
        f1_micro=micro,
        f1_macro=macro,
        f1_weighted=weighted,
        loss=float(-np.log(np.maximum(label_probability, LOSS_EPSILON)).mean()),
        loss_capped=int((label_probability < LOSS_EPSILON).sum()),
    )


def top_k(ranks: Indices, k: int = TOP) -> float:
    """The share of rows whose label is among the ``k`` most probable classes; ``ranks`` as :func:`rank_of` gives them."""
    return float(np.mean((ranks > 0) & (ranks <= k)))


def calibration_error(probability: Probabilities, is_right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error of the best class's probability, 0 to 1: over 15 bins of equal width, the mean gap between
    probability and accuracy, weighted by rows (Guo et al. 2017)."""
    bins = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, probability - is_right, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(probability))


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of what a measure was over resampled rows."""

    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Bootstrap intervals of accuracy and macro F1."""

    accuracy: Interval
    f1_macro: Interval


@dataclass(frozen=True)
class Paired:
    """Two predictions of the same rows compared, the first less the second."""

    rows: int
    classes: int
    accuracy_difference: float
    accuracy: Interval
    f1_macro_first: float
    f1_macro_difference: float
    f1_macro: Interval
    only_first_right: int
    only_second_right: int
    p_value: float


def bootstrap(
    labels: npt.NDArray[np.str_], predicted: npt.NDArray[np.str_], units: Indices, *, seed: int = 0
) -> Intervals:
    """95 % percentile intervals, 1,000 replicates (Efron and Tibshirani 1993): units are drawn with replacement within the class
    that most of their rows have, so each replicate has each class as often as the rows have it, and copies come and go
    together. F1 is over the labels that occur, in every replicate the same. A class of one unit does not vary: intervals of
    catalogues with many such classes are too narrow.

    Args:
        labels, predicted: shape (n,).
        units: shape (n,), the number of each row's unit.
    """
    coded = _Coded(labels, [predicted])
    found = np.array([coded.measure(0, weights) for weights in _replicates(coded.targets, units, seed)])
    return Intervals(_interval(found[:, 0]), _interval(found[:, 1]))


def paired(
    labels: npt.NDArray[np.str_],
    first: npt.NDArray[np.str_],
    second: npt.NDArray[np.str_],
    units: Indices,
    *,
    seed: int = 0,
) -> Paired:
    """The difference of two predictions of the same rows, with intervals as :func:`bootstrap` draws them, both measured on
    each replicate. The p-value is McNemar's exact one (1947) that both are right equally often; it takes rows for independent.
    """
    from scipy.stats import binomtest

    coded = _Coded(labels, [first, second])
    ones = np.ones(len(labels))
    whole = coded.measure(0, ones)
    differences = np.subtract(whole, coded.measure(1, ones))
    found = np.array(
        [
            np.subtract(coded.measure(0, weights), coded.measure(1, weights))
            for weights in _replicates(coded.targets, units, seed)
        ]
    )
    right = first == labels, second == labels
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return Paired(
        len(labels),
        coded.classes,
        float(differences[0]),
        _interval(found[:, 0]),
        whole[1],
        float(differences[1]),
        _interval(found[:, 1]),
        only_first,
        only_second,
        float(binomtest(only_first, only_first + only_second).pvalue) if only_first + only_second else 1.0,
    )


class _Coded:
    """Labels and predictions as numbers, for measures of weighted rows."""

    def __init__(self, labels: npt.NDArray[np.str_], predictions: list[npt.NDArray[np.str_]]) -> None:
        present, self.targets = np.unique(labels, return_inverse=True)
        self.classes = len(present)
        self._predicted = []
        for predicted in predictions:
            found = np.searchsorted(present, predicted).clip(max=len(present) - 1)
            # a class that no row has counts as an error of the others and has no F1 of its own
            self._predicted.append(np.where(present[found] == predicted, found, self.classes))

    def measure(self, which: int, weights: npt.NDArray[np.floating]) -> tuple[float, float]:
        """Accuracy and macro F1 of one of the predictions."""
        predicted = self._predicted[which]
        is_right = predicted == self.targets
        hits = np.bincount(self.targets[is_right], weights[is_right], self.classes)
        both = np.bincount(self.targets, weights, self.classes)
        both += np.bincount(predicted, weights, self.classes + 1)[: self.classes]
        f1 = 2 * hits / np.maximum(both, 1e-300)
        return float(hits.sum() / weights.sum()), float(f1.mean())


def _replicates(targets: Indices, units: Indices, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """How often each row counts in each replicate."""
    names, unit = np.unique(units, return_inverse=True)
    votes, counts = np.unique(np.stack([unit, targets]), axis=1, return_counts=True)
    stratum = np.zeros(len(names), np.int64)
    for which in np.argsort(counts, kind="stable"):  # the most frequent label is written last
        stratum[votes[0, which]] = votes[1, which]
    order = np.argsort(stratum, kind="stable")
    sizes = np.bincount(stratum)[stratum[order]]
    starts = np.searchsorted(stratum[order], stratum[order])
    random = np.random.default_rng(seed)
    for _ in range(REPLICATES):
        drawn = order[starts + (random.random(len(order)) * sizes).astype(np.int64)]
        yield np.bincount(drawn, minlength=len(names))[unit].astype(np.float64)


def _interval(values: npt.NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))


def mask(probabilities: Probabilities, groups: Indices, allowed: npt.NDArray[np.bool_]) -> Probabilities:
    """Give classes that never occur in a row's group probability 0, and renormalise the rest.

    Args:
        probabilities: shape (n, classes).
        groups: group of each row, -1 for one that training has not seen: such a row is left as it is.
        allowed: shape (groups, classes), whether a class occurs in a group.

    Returns:
        Probabilities of shape (n, classes). A row whose allowed classes all underflow gets them in equal parts.
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
    """The probability given to each row's label, 0 where the label (-1) is none of the classes; shape (n,)."""
    rows = np.arange(len(targets))
    return np.where(targets >= 0, probabilities[rows, targets], 0.0)


def rank_of(probabilities: Probabilities, targets: Indices) -> Indices:
    """The place of each row's label among the classes, 1 the one predicted; 0 where the label is none of them or has
    probability 0, which is no guess at all. Of equal probabilities the first class comes first, as in a prediction."""
    own = probability_of(probabilities, targets)[:, None]
    before = np.arange(probabilities.shape[1]) < targets[:, None]
    ahead = (probabilities > own) | ((probabilities == own) & before)
    return np.where(own[:, 0] > 0, 1 + ahead.sum(axis=1), 0)
