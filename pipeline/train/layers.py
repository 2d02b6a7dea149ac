"""Dense networks on vectors: a list of layers, their weights by name, and their outputs, in NumPy alone.

They are trained in :mod:`pipeline.train.loop`, and become Keras layers on a backbone. Weights are named ``<position>/<name>``,
with Keras' names: kernel, bias, gamma, beta, moving_mean, moving_variance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime.frameworks import load_keras
from store.arrays import Malformed
from store.matrices import FloatMatrix

EPSILON = 1e-3  # of BatchNormalization, as in Keras
LAYERS = "layers"  # the key of a network's list of layers among its arrays, as JSON text
PREDICT_ROWS = 4096
MOST_UNITS = 1 << 24  # of one layer

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class BatchNorm:
    """(input - mean) / standard deviation · gamma + beta."""

    kind: str = "batch_norm"


@dataclass(frozen=True)
class Dense:
    """Inputs times a kernel plus a bias; with ``relu``, negative results become 0."""

    units: int
    relu: bool = False
    kind: str = "dense"


@dataclass(frozen=True)
class Dropout:
    """In training, sets a share ``rate`` of the inputs to 0 and scales the others up by 1 / (1 - rate)."""

    rate: float
    kind: str = "dropout"


Layer = BatchNorm | Dense | Dropout
KINDS: dict[str, type[Layer]] = {"batch_norm": BatchNorm, "dense": Dense, "dropout": Dropout}


def to_text(layers: Sequence[Layer]) -> npt.NDArray[np.str_]:
    """A list of layers in the form of :data:`LAYERS`."""
    return np.array(json.dumps([asdict(layer) for layer in layers]))


def from_text(text: npt.NDArray[Any]) -> list[Layer]:
    """The layers from the text of :func:`to_text`.

    Raises:
        Malformed: the text does not list layers in the form of :func:`to_text`.
    """
    try:
        given = json.loads(str(text))
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, list) or not all(isinstance(one, dict) and _is_layer(one) for one in given):
        raise Malformed(f"its {LAYERS} are not a list of {', '.join(KINDS)}, each with its own settings")
    return [KINDS[one["kind"]](**one) for one in given]


def _is_layer(given: Mapping[str, Any]) -> bool:
    """Whether this is what ``asdict`` gives for a layer."""
    kind = given.get("kind")
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None or given.keys() != {one.name for one in fields(known)}:
        return False
    units, rate = given.get("units", 1), given.get("rate", 0.0)
    return (
        type(units) is int
        and 1 <= units <= MOST_UNITS
        and type(rate) in (int, float)
        and 0 <= rate < 1
        and isinstance(given.get("relu", False), bool)
    )


def check(arrays: Arrays, dimensions: int) -> None:
    """Raises:
    Malformed: a network's weights do not fit its layers, or vectors with ``dimensions`` values.
    """
    layers, width = from_text(arrays[LAYERS]), dimensions
    for position, layer in enumerate(layers):
        shapes: dict[str, tuple[int, ...]] = {}
        if isinstance(layer, BatchNorm):
            shapes = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (width,))
        elif isinstance(layer, Dense):
            shapes = {"kernel": (width, layer.units), "bias": (layer.units,)}
            width = layer.units
        for name, shape in shapes.items():
            array = arrays.get(f"{position}/{name}")
            if array is None or array.dtype.kind != "f" or array.shape != shape:
                raise Malformed(f"its {position}/{name} does not fit its {LAYERS}")
    if not layers or not isinstance(layers[-1], Dense):
        raise Malformed(f"its {LAYERS} do not end with a dense one, which gives the classes")


def parameters(arrays: Arrays) -> int:
    """How many weights a network has, including BatchNorm's statistics, as Keras counts them."""
    return sum(array.size for name, array in arrays.items() if name != LAYERS)


def logits(arrays: Arrays, matrix: FloatMatrix) -> FloatMatrix:
    """The last layer's outputs before softmax, shape (n, classes), float32."""
    values: FloatMatrix = matrix
    for position, layer in enumerate(from_text(arrays[LAYERS])):
        if isinstance(layer, BatchNorm):
            names = ("gamma", "beta", "moving_mean", "moving_variance")
            gamma, beta, mean, variance = (arrays[f"{position}/{name}"] for name in names)
            scale = gamma / np.sqrt(variance + np.float32(EPSILON))
            values = (values - mean) * scale.astype(np.float32) + beta
        elif isinstance(layer, Dense):
            values = values @ arrays[f"{position}/kernel"] + arrays[f"{position}/bias"]
            if layer.relu:
                np.maximum(values, 0, out=values)
    return values


def softmax(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Probabilities of each row, float64."""
    exponentials = np.exp(values.astype(np.float64) - values.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


def predict(arrays: Arrays, matrix: FloatMatrix) -> npt.NDArray[np.float64]:
    """Class probabilities, shape (n, classes), float64."""
    pieces = [
        softmax(logits(arrays, matrix[start : start + PREDICT_ROWS])) for start in range(0, len(matrix), PREDICT_ROWS)
    ]
    return np.concatenate(pieces) if pieces else softmax(logits(arrays, matrix))


def to_keras(layers: Sequence[Layer], *, seed: int | None = None) -> list[Any]:
    """The same layers in Keras, not built yet; the last one has softmax. Each Dropout has its own seed, from ``seed`` upwards."""
    keras = load_keras()

    made: list[Any] = []
    for position, layer in enumerate(layers):
        if isinstance(layer, BatchNorm):
            made.append(keras.layers.BatchNormalization(epsilon=EPSILON))
        elif isinstance(layer, Dropout):
            made.append(keras.layers.Dropout(layer.rate, seed=None if seed is None else seed + position))
        else:
            activation = "relu" if layer.relu else "softmax" if layer is layers[-1] else None
            made.append(keras.layers.Dense(layer.units, activation=activation))
    return made


def fill_keras(made: Sequence[Any], arrays: Arrays) -> None:
    """Set the weights of built layers from :func:`to_keras`."""
    for position, layer in enumerate(made):
        if layer.weights:
            layer.set_weights([arrays[f"{position}/{weight.name}"] for weight in layer.weights])


def from_keras(made: Sequence[Any]) -> dict[str, npt.NDArray[Any]]:
    """The weights of layers from :func:`to_keras`, by name."""
    return {
        f"{position}/{weight.name}": array
        for position, layer in enumerate(made)
        for weight, array in zip(layer.weights, layer.get_weights(), strict=True)
    }
