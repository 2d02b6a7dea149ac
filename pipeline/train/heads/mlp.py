"""The reference head: BatchNorm, dense layers with Dropout, softmax."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.train import loop
from pipeline.train.heads import Settings
from pipeline.train.layers import BatchNorm, Dense, Dropout, Layer, predict
from pipeline.train.loop import Fit, Schedule, Task

SETTINGS = ("units", "dropout", *Schedule.__dataclass_fields__, "class_weights")
DEFAULTS = {
    "input": "raw",
    "optimizer": "adagrad",
    "learning_rate": 0.01,
    "epochs": 20,
    "early_stopping": 3,
    "reduce_lr_patience": 2,
}

__all__ = ["DEFAULTS", "SETTINGS", "fit", "layers", "predict"]


def layers(classes: int, units: Sequence[int], dropout: float) -> list[Layer]:
    """BatchNorm → (Dense(units, relu) → Dropout) for each of ``units`` → Dense(classes)."""
    hidden: list[Layer] = [layer for width in units for layer in (Dense(width, relu=True), Dropout(dropout))]
    return [BatchNorm(), *hidden, Dense(classes)]


def fit(task: Task, settings: Settings) -> Fit:
    """Gradient descent on the cross-entropy."""
    assert isinstance(settings.units, tuple)
    network = layers(task.classes, settings.units, settings.dropout)
    return loop.fit(network, task, Schedule.of(settings))
