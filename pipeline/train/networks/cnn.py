"""The project's own network: four blocks of convolution and pooling, then a dense layer.

It has no BatchNormalization: some dozen batches per epoch are too few for the moving averages that validation uses.
"""

from __future__ import annotations

from typing import Any

from pipeline.runtime.frameworks import load_keras

FILTERS = (32, 64, 128, 256)
UNITS = 256
DROPOUT = 0.5


def network(classes: int, size: tuple[int, int]) -> Any:
    """Four times Conv2D(3x3, relu) → MaxPooling2D, then GlobalAveragePooling2D → Dense(relu) → Dropout → softmax."""
    keras = load_keras()

    blocks = [
        layer
        for filters in FILTERS
        for layer in (
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
        )
    ]
    return keras.Sequential(
        [
            keras.Input((*size, 3)),
            keras.layers.Rescaling(1 / 127.5, offset=-1),
            *blocks,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(UNITS, activation="relu"),
            keras.layers.Dropout(DROPOUT),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )
