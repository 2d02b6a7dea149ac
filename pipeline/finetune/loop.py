"""The loop that fine-tunes a backbone's last layers with a head, over the whole network or only the part above a cut.

Everything but the head's Dropout is called in inference: the backbone's Dropout and BatchNormalization statistics are off, and
the head's BatchNormalization is frozen like the backbone's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime.frameworks import load_keras, set_seed
from pipeline.train import classifier
from pipeline.train.heads import Head
from pipeline.train.layers import LAYERS, from_keras, from_text
from pipeline.train.loop import Diverged

Array = npt.NDArray[Any]
# The inputs of rows, by position among the rows, in an epoch (from 1; 0 is without augmentation).
Take = Callable[[npt.NDArray[np.int64], int], Array]


@dataclass(frozen=True)
class Schedule:
    """How to train; ``early_stopping`` is epochs without improvement, 0 for never."""

    optimizer: str
    learning_rate: float
    batch: int
    epochs: int
    early_stopping: int
    label_smoothing: float
    seed: int


@dataclass(frozen=True)
class Examples:
    """Rows to learn from or to evaluate: the source of their inputs, and the class and loss weight of each row."""

    take: Take
    targets: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Figures:
    """Mean loss, without class weights, and accuracy."""

    loss: float
    accuracy: float


@dataclass
class Fit:
    """The result of fine-tuning.

    Attributes:
        before, after: on the validation rows, or on the training rows if there are none; ``after`` is for the epoch kept.
        step_losses: the loss of each batch, in the order of training.
        history: for each measure, one value per epoch.
    """

    before: Figures
    after: Figures
    step_losses: list[float] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=dict)


class Network:
    """A body, which gives vectors, and a head's layers on it, to be trained together.

    Args:
        body: a ``keras.Model`` from the inputs to vectors, with its trainable layers already chosen.
        head: a head of dense layers, whose arrays are the layers' initial weights.
        seed: for the head's Dropout.
    """

    def __init__(self, body: Any, head: Head, *, seed: int) -> None:
        keras = load_keras()
        set_seed(keras, seed)
        self.body, self.layers = body, classifier.head_layers(head, seed=seed)
        frozen = (keras.layers.BatchNormalization, keras.layers.Normalization)
        for layer in self.layers:
            layer.trainable = not isinstance(layer, frozen)
        layers = self.layers

        class Model(keras.Model):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.body, self.head = body, layers

            def call(self, inputs: Any, training: bool | None = None) -> Any:
                values = self.body(inputs, training=False)
                for layer in self.head:
                    if isinstance(layer, keras.layers.Dropout):
                        values = layer(values, training=training)
                    elif isinstance(layer, keras.layers.BatchNormalization):
                        values = layer(values, training=False)
                    else:
                        values = layer(values)
                return values

        self.model = Model()

    def vectors(self, inputs: Array) -> npt.NDArray[np.float32]:
        """The vectors that the body gives."""
        return np.asarray(self.body.predict_on_batch(inputs), np.float32)

    def trained(self) -> list[Array]:
        """A copy of the trained weights."""
        return [np.array(load_keras().ops.convert_to_numpy(weight)) for weight in self._weights()]

    def restore(self, values: Sequence[Array]) -> None:
        """Restore the weights from :meth:`trained`."""
        for weight, value in zip(self._weights(), values, strict=True):
            weight.assign(value)

    def _weights(self) -> list[Any]:
        return [*self.body.trainable_weights, *(weight for layer in self.layers for weight in layer.trainable_weights)]

    def head_arrays(self, head: Head) -> dict[str, Array]:
        """The arrays of ``head`` with the present weights of its layers."""
        return {**head.arrays, **from_keras(self.layers[-len(from_text(head.arrays[LAYERS])) :])}


def fit(
    network: Network,
    training: Examples,
    validation: Examples | None,
    classes: int,
    schedule: Schedule,
    advance: Callable[[int], None] = lambda count: None,
) -> Fit:
    """Train a classifier in place; it ends with the weights of the epoch with the least (validation) loss.

    Args:
        advance: called with the number of rows of each batch.

    Raises:
        Diverged: the loss became NaN or infinite.
    """
    keras = load_keras()
    optimizer = keras.optimizers.get(
        {"class_name": schedule.optimizer, "config": {"learning_rate": schedule.learning_rate}}
    )
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=schedule.label_smoothing)
    network.model.compile(optimizer, loss, weighted_metrics=[], jit_compile=False)
    random = np.random.default_rng(schedule.seed)
    one_hot = np.eye(classes, dtype=np.float32)
    watched = validation or training
    before = judge(network, watched, schedule)
    found = Fit(before, before)
    found.history = {"loss": []}
    best, least, waited = network.trained(), math.inf, 0
    for epoch in range(1, schedule.epochs + 1):
        order, total = random.permutation(len(training)), 0.0
        for start in range(0, len(order), schedule.batch):
            rows = order[start : start + schedule.batch]
            network.model.reset_metrics()  # otherwise Keras gives the mean of all batches so far
            given = training.take(rows, epoch), one_hot[training.targets[rows]], training.weights[rows]
            step = float(np.asarray(network.model.train_on_batch(*given, return_dict=True)["loss"]))
            if not math.isfinite(step):
                raise Diverged(
                    f"finetune: training diverged (the loss is not finite): try a learning rate below {schedule.learning_rate}"
                )
            found.step_losses.append(step)
            total += step * len(rows)
            advance(len(rows))
        found.history["loss"].append(total / len(order))
        now = judge(network, watched, schedule) if validation else Figures(total / len(order), math.nan)
        if validation:
            found.history.setdefault("val_loss", []).append(now.loss)
            found.history.setdefault("val_accuracy", []).append(now.accuracy)
        if now.loss < least:
            best, least, waited, found.after = network.trained(), now.loss, 0, now
        else:
            waited += 1
        if schedule.early_stopping and waited >= schedule.early_stopping:
            break
    network.restore(best)
    if not validation:
        found.after = judge(network, watched, schedule)
    return found


def judge(network: Network, rows: Examples, schedule: Schedule) -> Figures:
    """The figures of unaugmented rows, in inference."""
    loss, right = 0.0, 0
    for start in range(0, len(rows), schedule.batch):
        places = np.arange(start, min(start + schedule.batch, len(rows)))
        given = np.asarray(network.model.predict_on_batch(rows.take(places, 0)), np.float64)
        targets, logs = rows.targets[places], np.log(given.clip(min=1e-7))
        smooth = schedule.label_smoothing
        own = logs[np.arange(len(places)), targets]
        loss -= float(((1 - smooth) * own + smooth * logs.mean(axis=1)).sum())
        right += int((given.argmax(axis=1) == targets).sum())
    return Figures(loss / len(rows), right / len(rows))
