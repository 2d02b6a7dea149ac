"""scikit-learn's logistic regression."""

from __future__ import annotations

import warnings

import numpy as np

from pipeline.train.heads import Settings
from pipeline.train.layers import LAYERS, Dense, predict, to_text
from pipeline.train.loop import Fit, Task

SETTINGS = ("strength", "class_weights")
DEFAULTS = {"input": "standard"}
ITERATIONS = 2000

__all__ = ["DEFAULTS", "SETTINGS", "fit", "predict"]


def fit(task: Task, settings: Settings) -> Fit:
    """Multinomial, L-BFGS, L2 penalty; kept as one dense layer."""
    from sklearn.linear_model import LogisticRegression

    weights = None if task.class_weights is None else dict(enumerate(task.class_weights))
    model = LogisticRegression(C=settings.strength, class_weight=weights, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the number of iterations: reported below
        model.fit(task.training.matrix, task.training.targets)
    kernel, bias = model.coef_.T, model.intercept_
    if task.classes == 2:  # then there is one column, for the second class against the first
        kernel, bias = np.concatenate([np.zeros_like(kernel), kernel], axis=1), np.concatenate([[0.0], bias])
    arrays = {
        LAYERS: to_text([Dense(task.classes)]),
        "0/kernel": kernel.astype(np.float32),
        "0/bias": bias.astype(np.float32),
    }
    taken = int(model.n_iter_.max())
    notes = (
        () if taken < ITERATIONS else (f"logistic had not converged after {taken} iterations: try a lower --strength",)
    )
    return Fit(arrays, {"iterations": [float(taken)]}, notes)
