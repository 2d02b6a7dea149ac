"""A head's layers in training: their outputs, and the gradients of their weights, written out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pipeline.train.layers import EPSILON, BatchNorm, Dense, Dropout, Layer

MOMENTUM = 0.99  # for BatchNorm's running statistics


class Part:
    """A layer in training: ``trained`` weights and their ``gradients`` by name, and ``kept`` statistics."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self.trained: dict[str, Any] = {}
        self.gradients: dict[str, Any] = {}
        self.kept: dict[str, Any] = {}

    def forward(self, values: Any) -> Any:
        """The outputs in training; the inputs are kept for :meth:`backward`."""
        raise NotImplementedError

    def backward(self, gradient: Any, wanted: bool) -> Any:
        """Write the gradients of the weights; return the gradient of the inputs if it is ``wanted``."""
        raise NotImplementedError

    def infer(self, values: Any) -> Any:
        """The outputs in inference."""
        raise NotImplementedError


class _DensePart(Part):
    def __init__(self, torch: Any, layer: Dense, inputs: int, random: Any) -> None:
        super().__init__(torch)
        limit = math.sqrt(6 / (inputs + layer.units))  # uniform (Glorot and Bengio 2010), Keras' default
        kernel = torch.empty(inputs, layer.units).uniform_(-limit, limit, generator=random)
        self.trained = {"kernel": kernel, "bias": torch.zeros(layer.units)}
        self._relu = layer.relu

    def forward(self, values: Any) -> Any:
        self._inputs = values
        self._outputs = self.infer(values)
        return self._outputs

    def infer(self, values: Any) -> Any:
        outputs = self._torch.addmm(self.trained["bias"], values, self.trained["kernel"])
        return outputs.relu_() if self._relu else outputs

    def backward(self, gradient: Any, wanted: bool) -> Any:
        if self._relu:
            gradient = gradient.mul_(self._outputs > 0)
        self._torch.mm(self._inputs.T, gradient, out=self.gradients["kernel"])
        self._torch.sum(gradient, 0, out=self.gradients["bias"])
        return self._torch.mm(gradient, self.trained["kernel"].T) if wanted else None


class _BatchNormPart(Part):
    def __init__(self, torch: Any, inputs: int) -> None:
        super().__init__(torch)
        self.trained = {"gamma": torch.ones(inputs), "beta": torch.zeros(inputs)}
        self.kept = {"moving_mean": torch.zeros(inputs), "moving_variance": torch.ones(inputs)}

    def forward(self, values: Any) -> Any:
        mean = values.mean(0)
        self._normal = values - mean
        variance = (self._normal * self._normal).mean(0)  # torch.var_mean takes ten times as long for so few rows
        self.kept["moving_mean"].lerp_(mean, 1 - MOMENTUM)
        self.kept["moving_variance"].lerp_(variance, 1 - MOMENTUM)
        self._inverse = (variance + EPSILON).rsqrt_()
        self._normal.mul_(self._inverse)
        return self._torch.addcmul(self.trained["beta"], self._normal, self.trained["gamma"])

    def infer(self, values: Any) -> Any:
        scale = self.trained["gamma"] * (self.kept["moving_variance"] + EPSILON).rsqrt_()
        return self._torch.addcmul(self.trained["beta"] - self.kept["moving_mean"] * scale, values, scale)

    def backward(self, gradient: Any, wanted: bool) -> Any:
        along = gradient * self._normal
        self._torch.sum(along, 0, out=self.gradients["gamma"])
        self._torch.sum(gradient, 0, out=self.gradients["beta"])
        if not wanted:
            return None
        # Ioffe and Szegedy 2015, using the sums that gamma and beta need anyway
        count = len(gradient)
        rest = gradient - self.gradients["beta"] / count - self._normal * (self.gradients["gamma"] / count)
        return rest.mul_(self.trained["gamma"] * self._inverse)


class _DropoutPart(Part):
    def __init__(self, torch: Any, layer: Dropout, random: Any) -> None:
        super().__init__(torch)
        self._rate, self._random = layer.rate, random

    def forward(self, values: Any) -> Any:
        kept = 1 - self._rate
        self._mask = self._torch.empty_like(values).bernoulli_(kept, generator=self._random).mul_(1 / kept)
        return values * self._mask

    def infer(self, values: Any) -> Any:
        return values

    def backward(self, gradient: Any, wanted: bool) -> Any:
        return gradient.mul_(self._mask)


def assemble(torch: Any, layers: Sequence[Layer], dimensions: int, random: Any) -> list[Part]:
    """Layers with new weights, for inputs with ``dimensions`` values."""
    parts: list[Part] = []
    width = dimensions
    for layer in layers:
        if isinstance(layer, Dense):
            parts.append(_DensePart(torch, layer, width, random))
            width = layer.units
        elif isinstance(layer, BatchNorm):
            parts.append(_BatchNormPart(torch, width))
        else:
            parts.append(_DropoutPart(torch, layer, random))
    return parts
