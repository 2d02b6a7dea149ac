"""scikit-learn's nearest neighbours: the closest training rows vote, and closer ones count more."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.train.heads import Settings
from pipeline.train.layers import Arrays
from pipeline.train.loop import Fit, Task
from store.arrays import is_count, is_float
from store.matrices import FloatMatrix

SETTINGS = ("k",)
MOST_CLASSES = 1_000_000
DEFAULTS = {"input": "l2"}  # on unit vectors, the closest in space is the closest by angle


def fit(task: Task, settings: Settings) -> Fit:
    """Keep the training rows."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "matrix": np.asarray(task.training.matrix),
        "targets": task.training.targets,
        "classes": np.array(task.classes),
        "k": np.array(min(settings.k, len(task.training))),
    }
    return Fit(arrays)


def fits(arrays: Arrays, dimensions: int) -> bool:
    """Whether the arrays have the form that :func:`fit` gives, for vectors with ``dimensions`` values."""
    matrix, targets = arrays["matrix"], arrays["targets"]
    return (
        is_float(matrix, dimensions=2)
        and matrix.shape[1] == dimensions
        and targets.dtype.kind in "iu"
        and targets.shape == (len(matrix),)
        and is_count(arrays["classes"], most=MOST_CLASSES)
        and is_count(arrays["k"], most=len(matrix))
        and int(targets.min()) >= 0
        and int(targets.max()) < int(arrays["classes"])
    )


def predict(arrays: Arrays, matrix: FloatMatrix) -> npt.NDArray[np.float64]:
    """Votes weighted by one over the distance, as shares; a class without a vote has probability 0."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(int(arrays["k"]), weights="distance", algorithm="brute")
    model.fit(arrays["matrix"], arrays["targets"])
    probabilities = np.zeros((len(matrix), int(arrays["classes"])))
    if len(matrix):
        probabilities[:, model.classes_] = model.predict_proba(matrix)
    return probabilities
