"""The optimisers of Keras, with Keras' constants, by torch's functions: each step is one fused pass over all weights.

torch's classes of the same names load its compiler first, which takes a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ADAGRAD_START = 0.1
EPSILON = 1e-7
WEIGHT_DECAY = 0.004  # for adamw
BETAS = {"beta1": 0.9, "beta2": 0.999}
NAMES = ("adagrad", "adam", "adamw", "sgd")


class Optimizer:
    """Changes ``weights`` by their ``gradients``, two tensors of the same shape, a step at a time."""

    def __init__(self, name: str, weights: Any, gradients: Any, learning_rate: float) -> None:
        import torch

        self.learning_rate = learning_rate
        self._weights, self._gradients = [weights], [gradients]
        self._steps = [torch.zeros(())]
        start = ADAGRAD_START if name == "adagrad" else 0.0
        self._first, self._second = ([torch.full_like(weights, start)] for _ in range(2))
        steps: dict[str, Callable[[], None]] = {
            "adagrad": self._adagrad,
            "adam": lambda: self._adam(weight_decay=0.0),
            "adamw": lambda: self._adam(weight_decay=WEIGHT_DECAY),
            "sgd": self._sgd,
        }
        self.step = steps[name]

    def _adagrad(self) -> None:
        from torch.optim.adagrad import adagrad

        given = {"weight_decay": 0.0, "lr_decay": 0.0, "eps": EPSILON, "maximize": False, "fused": True}
        adagrad(self._weights, self._gradients, self._first, self._steps, lr=self.learning_rate, **given)

    def _adam(self, weight_decay: float) -> None:
        from torch.optim.adam import adam

        adam(
            self._weights,
            self._gradients,
            self._first,
            self._second,
            [],
            self._steps,
            lr=self.learning_rate,
            weight_decay=weight_decay,
            decoupled_weight_decay=True,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
            fused=True,
            **BETAS,
        )

    def _sgd(self) -> None:
        from torch.optim.sgd import sgd

        given = {"weight_decay": 0.0, "momentum": 0.0, "dampening": 0.0, "nesterov": False, "maximize": False}
        sgd(self._weights, self._gradients, [None], lr=self.learning_rate, fused=True, **given)
