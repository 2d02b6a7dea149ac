"""Softmax regression on normalised features."""

from __future__ import annotations

from typing import Any

from pipeline.frameworks import load_keras
from pipeline.heads import HeadSettings


def layers(classes: int, settings: HeadSettings) -> list[Any]:
    """BatchNormalization → Dense(classes, softmax)."""
    keras = load_keras()

    return [keras.layers.BatchNormalization(), keras.layers.Dense(classes, activation="softmax")]
