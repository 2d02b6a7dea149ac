"""Softmax regression on normalised features, by gradient descent."""

from __future__ import annotations

from pipeline.train import loop
from pipeline.train.heads import Settings
from pipeline.train.layers import BatchNorm, Dense, predict
from pipeline.train.loop import Fit, Schedule, Task

SETTINGS = (*Schedule.__dataclass_fields__, "class_weights")
DEFAULTS = {
    "input": "raw",
    "optimizer": "adam",
    "learning_rate": 0.003,
    "epochs": 100,
    "early_stopping": 10,
    "reduce_lr_patience": 5,
}

__all__ = ["DEFAULTS", "SETTINGS", "fit", "predict"]


def fit(task: Task, settings: Settings) -> Fit:
    """BatchNorm → Dense(classes)."""
    return loop.fit([BatchNorm(), Dense(task.classes)], task, Schedule.of(settings))
