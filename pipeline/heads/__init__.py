"""Heads: one file each, named as on the command line. A file defines ``layers(classes, settings)``.

The same layers stand on cached features and, end to end, on a backbone. Keras is imported inside the functions.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

from pipeline.frameworks import load_keras
from store.errors import ColdframeError


@dataclass(frozen=True)
class HeadSettings:
    """What a head's shape may depend on: width of its dense layer, and the share of it dropped in training."""

    units: int = 600
    dropout: float = 0.4


def names() -> list[str]:
    """The heads there are, as written on the command line."""
    return sorted(info.name.replace("_", "-") for info in pkgutil.iter_modules(__path__))


def build(name: str, dimensions: int, classes: int, settings: HeadSettings) -> Any:
    """A head as a ``keras.Model`` from vectors (n, dimensions) to class probabilities (n, classes), not compiled.

    Raises:
        ColdframeError: no such head.
    """
    keras = load_keras()

    return keras.Sequential([keras.Input((dimensions,)), *_layers(name, classes, settings)], name="head")


def on_backbone(backbone: Any, name: str, classes: int, settings: HeadSettings) -> Any:
    """The whole classifier: a frozen backbone that gives one vector a picture, and a head on it.

    The backbone is called in inference, so that neither its Dropout nor its BatchNormalization is live in training.
    """
    keras = load_keras()

    backbone.trainable = False
    pictures = keras.Input(backbone.input_shape[1:])
    outputs = backbone(pictures, training=False)
    for layer in _layers(name, classes, settings):
        outputs = layer(outputs)
    return keras.Model(pictures, outputs)


def _layers(name: str, classes: int, settings: HeadSettings) -> list[Any]:
    if name not in names():
        raise ColdframeError(f"no head {name!r}; available: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    layers: list[Any] = module.layers(classes, settings)
    return layers
