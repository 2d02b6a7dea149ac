"""The training loop of dense heads: the matrix is in memory, gradients are written out, and a batch is arithmetic only.

It does what Keras' ``fit`` does: the same layers, initialisers, losses and optimisers with Keras' constants, and the same
treatment of class weights, of the smaller last batch and of validation. Only the order of the random numbers differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.train import gradients
from pipeline.train.layers import LAYERS, Layer, to_text
from pipeline.train.optimizers import Optimizer
from store.errors import ColdframeError
from store.matrices import FloatMatrix

PLATEAU = 1e-4  # a smaller gain in loss does not count for the learning rate
EVALUATE_ROWS = 4096


class Diverged(ColdframeError):
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class Labelled:
    """Vectors (n, dimensions) float32 and the class of each, (n,) int64."""

    matrix: FloatMatrix
    targets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Task:
    """What a head learns from.

    Attributes:
        training: the rows to learn from.
        validation: the rows that decide when to stop; None to use the training loss.
        class_names: (classes,) in the order of the targets.
        class_weights: (classes,) float64, the weight of each class's rows in the loss; None for 1.
        views: vectors of the training rows in all their views, shape (1 + views, n, dimensions), the unaugmented ones first; None
            if there are no others.
        embed_texts: gives unit-length text features (texts, dimensions), if the vectors' network has a text side.
    """

    training: Labelled
    validation: Labelled | None
    class_names: npt.NDArray[np.str_]
    class_weights: npt.NDArray[np.float64] | None = None
    views: FloatMatrix | None = None
    embed_texts: Callable[[Sequence[str]], FloatMatrix] | None = None

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self.training.matrix.shape[1])


@dataclass(frozen=True)
class Schedule:
    """How to train. ``early_stopping`` and ``reduce_lr_patience`` are epochs without improvement; 0 means never."""

    optimizer: str
    learning_rate: float
    batch: int
    epochs: int
    early_stopping: int
    reduce_lr_factor: float
    reduce_lr_patience: int
    label_smoothing: float
    seed: int

    @classmethod
    def of(cls, settings: Any) -> Schedule:
        """The schedule in settings that have these fields among others."""
        return cls(**{one.name: getattr(settings, one.name) for one in fields(cls)})


@dataclass
class Fit:
    """The result of training: arrays of the best epoch, for each measure one value per epoch, and notes for the user."""

    arrays: dict[str, npt.NDArray[Any]]
    history: dict[str, list[float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def fit(layers: Sequence[Layer], task: Task, schedule: Schedule) -> Fit:
    """Train a network of ``layers`` from random weights. With early stopping, keep the weights of the epoch with the least
    (validation) loss; otherwise keep those of the last.

    Raises:
        Diverged: the loss became NaN or infinite.
    """
    loop = Loop(layers, task, schedule)
    best: dict[str, npt.NDArray[Any]] | None = None
    least, waited, plateau, waited_for_rate = math.inf, 0, math.inf, 0
    for _ in range(schedule.epochs):
        loss = loop.epoch()
        if loss < least:
            least, waited = loss, 0
            best = loop.arrays() if schedule.early_stopping else None
        else:
            waited += 1
        if loss < plateau - PLATEAU:
            plateau, waited_for_rate = loss, 0
        else:
            waited_for_rate += 1
            if waited_for_rate == schedule.reduce_lr_patience:
                loop.learning_rate *= schedule.reduce_lr_factor
                waited_for_rate = 0
        if schedule.early_stopping and waited >= schedule.early_stopping:
            break
    return Fit(best or loop.arrays(), loop.history)


class Loop:
    """A network in training, epoch by epoch."""

    def __init__(self, layers: Sequence[Layer], task: Task, schedule: Schedule) -> None:
        import torch

        self._torch, self._layers, self._task, self._schedule = torch, layers, task, schedule
        self._random = torch.Generator().manual_seed(schedule.seed)
        self.history: dict[str, list[float]] = {"loss": [], "accuracy": []}
        self._parts = gradients.assemble(torch, layers, task.dimensions, self._random)
        sizes = [array.numel() for part in self._parts for array in part.trained.values()]
        self._weights, self._gradients = torch.empty(sum(sizes)), torch.zeros(sum(sizes))
        self._place_in_one_piece()
        self._optimizer = Optimizer(schedule.optimizer, self._weights, self._gradients, schedule.learning_rate)
        matrix = task.training.matrix if task.views is None else task.views.reshape(-1, task.dimensions)
        self._matrix = torch.from_numpy(matrix)
        self._targets = torch.from_numpy(task.training.targets)
        weights = np.ones(task.classes) if task.class_weights is None else task.class_weights
        self._row_weights = torch.from_numpy(weights[task.training.targets].astype(np.float32))
        self._batch = torch.empty(schedule.batch, task.dimensions)

    def _place_in_one_piece(self) -> None:
        """Put all weights into one tensor and all gradients into another: the optimiser then takes one pass over each."""
        at = 0
        for part in self._parts:
            for name, array in part.trained.items():
                here = slice(at, at + array.numel())
                self._weights[here] = array.ravel()
                part.trained[name] = self._weights[here].view(array.shape)
                part.gradients[name] = self._gradients[here].view(array.shape)
                at = here.stop

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next epoch."""
        return self._optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._optimizer.learning_rate = rate

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """A copy of the weights, by name, and the layers."""
        named = {
            f"{position}/{name}": array.numpy().copy()
            for position, part in enumerate(self._parts)
            for name, array in (part.trained | part.kept).items()
        }
        return {LAYERS: to_text(self._layers), **named}

    def epoch(self) -> float:
        """One pass over the training rows in random order; return the watched loss: of validation if any, else of training.

        Raises:
            Diverged: the loss is NaN or infinite.
        """
        torch, batch = self._torch, self._schedule.batch
        rows = len(self._targets)
        total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        with torch.no_grad():
            order = torch.randperm(rows, generator=self._random)
            chosen, targets = self._choose_views(order), self._targets[order]
            weights = self._row_weights[order]
            for start in range(0, rows, batch):
                here = slice(start, min(start + batch, rows))
                loss, hits = self._step(chosen[here], targets[here], weights[here])
                total += loss
                right += hits
        self.history["loss"].append(float(total) / rows)
        self.history["accuracy"].append(int(right) / rows)
        watched = self.history["loss"][-1]
        if self._task.validation is not None:
            watched, accuracy = self.evaluate(self._task.validation)
            self.history.setdefault("val_loss", []).append(watched)
            self.history.setdefault("val_accuracy", []).append(accuracy)
        if not math.isfinite(self.history["loss"][-1]):
            raise Diverged(
                f"training diverged (the loss is not finite): try a learning rate below {self._schedule.learning_rate}"
            )
        return watched

    def _choose_views(self, order: Any) -> Any:
        """Draw one view of each row at random; return its row number in the matrix of all views."""
        views = len(self._matrix) // len(order)
        if views == 1:
            return order
        return order + len(order) * self._torch.randint(views, order.shape, generator=self._random)

    def _step(self, chosen: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
        """Forward, backward, update; return the summed weighted loss of the batch and how many rows are right."""
        torch, count = self._torch, len(targets)
        values = torch.index_select(self._matrix, 0, chosen, out=self._batch[:count])
        for part in self._parts:
            values = part.forward(values)
        log_probability = torch.log_softmax(values, 1)
        own, smooth = targets[:, None], self._schedule.label_smoothing
        losses = log_probability.gather(1, own)[:, 0] * (smooth - 1)
        if smooth:
            losses -= log_probability.mean(1) * smooth
        gradient = log_probability.exp_()  # of the cross-entropy by the logits: probabilities minus targets
        gradient.scatter_add_(1, own, torch.full_like(own, smooth - 1, dtype=gradient.dtype))
        if smooth:
            gradient -= smooth / self._task.classes
        gradient.mul_((weights / count)[:, None])
        for position in range(len(self._parts) - 1, -1, -1):
            gradient = self._parts[position].backward(gradient, position > 0)
        self._optimizer.step()
        return (losses * weights).sum(), (values.argmax(1) == targets).sum()

    def evaluate(self, rows: Labelled) -> tuple[float, float]:
        """Mean loss, without class weights, and accuracy."""
        loss, right = 0.0, 0
        for start in range(0, len(rows), EVALUATE_ROWS):
            values, targets = (
                self.logits(rows.matrix[start : start + EVALUATE_ROWS]),
                rows.targets[start:][:EVALUATE_ROWS],
            )
            log_probability = self._torch.log_softmax(values, 1).numpy()
            own = log_probability[np.arange(len(targets)), targets]
            smooth = self._schedule.label_smoothing
            loss -= float(((1 - smooth) * own + smooth * log_probability.mean(1)).sum())
            right += int((log_probability.argmax(1) == targets).sum())
        return loss / len(rows), right / len(rows)

    def logits(self, matrix: FloatMatrix) -> Any:
        """The network's present outputs, as a tensor."""
        with self._torch.no_grad():
            values = self._torch.from_numpy(np.ascontiguousarray(matrix))
            for part in self._parts:
                values = part.infer(values)
            return values
