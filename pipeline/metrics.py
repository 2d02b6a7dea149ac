"""Measures of a classifier, as pure functions on arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Keras' own epsilon: a probability below it counts as this much, so that one row cannot make the loss infinite.
LOSS_EPSILON = 1e-7

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
    """The place of each row's label among the classes, 1 the most probable; 0 where the label is none of them."""
    own = probability_of(probabilities, targets)
    return np.where(targets >= 0, 1 + (probabilities > own[:, None]).sum(axis=1), 0)
