"""scikit-learn's nearest neighbours: the vote of the closest training rows, the closer the weightier."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.dense import Arrays
from pipeline.heads import Settings
from pipeline.training import Fit, Task
from store.matrices import FloatMatrix

SETTINGS = ("k",)
DEFAULTS = {"input": "l2"}  # on unit vectors the closest in space is the closest by angle


def fit(task: Task, settings: Settings) -> Fit:
    """Keep the training rows."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "matrix": np.asarray(task.training.matrix),
        "targets": task.training.targets,
        "classes": np.array(task.classes),
        "k": np.array(min(settings.k, len(task.training))),
    }
    return Fit(arrays)


def predict(arrays: Arrays, matrix: FloatMatrix) -> npt.NDArray[np.float64]:
    """Votes weighted by one over the distance, as shares; a class without a vote has probability 0."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(int(arrays["k"]), weights="distance", algorithm="brute")
    model.fit(arrays["matrix"], arrays["targets"])
    probabilities = np.zeros((len(matrix), int(arrays["classes"])))
    if len(matrix):
        probabilities[:, model.classes_] = model.predict_proba(matrix)
    return probabilities
