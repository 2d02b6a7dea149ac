"""Pretrain a small EfficientNet to tell drawn families apart, and save it without its top in the Keras format.

EfficientNet: Tan & Le 2019, arXiv 1905.11946; the paper scales width and depth up, here they are scaled down.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from pipeline.demo import MODELS
from pipeline.demo.training import HELD_OUT_WORLD, TRAINING_WORLD
from pipeline.demo.training.drawings import ANIMAL, Subject, families_of, pixels
from pipeline.runtime.frameworks import load_keras

SIDE = 80
WIDTH, DEPTH = 0.5, 0.25
FAMILIES, PER_FAMILY, EPOCHS, BATCH, PEAK_RATE, SEED = 238, 34, 6, 64, 4e-3, 0
HELD_OUT_FAMILIES, HELD_OUT_PER_FAMILY = 51, 30

CARD = """\
---
license: mit
library_name: keras
tags: [image-feature-extraction]
---

# A small EfficientNet for drawn creatures

`model.keras` is an EfficientNet (Tan & Le 2019) of width {width} and depth {depth} without its top: {parameters:,}
parameters, raw 0-255 RGB of {side}x{side} in, {dimensions} numbers a picture out (global average). It shows how
coldframe works where no pretrained network can be had; it knows nothing of photographs.

* **Made by** `make models` (`pipeline/demo/training/efficientnet.py`), from random weights: {epochs} epochs of AdamW
  with a cosine schedule, label smoothing 0.1, flips and shifts; {minutes:.0f} minutes on two cores, measuring
  included.
* **On** {pictures:,} pictures of {families} families that `pipeline/demo` draws for training alone: the demo's
  families, poses and places come from other seeds. No picture of anything but creatures.
* **Measured**: accuracy on the training pictures in the last epoch {trained:.3f} (of {families} families). A logistic
  regression on its features tells {held_out} families apart that it was never trained on with accuracy {probe:.3f}
  (20 pictures a family to train, 10 to test).
"""


def main() -> None:
    """Train, save and measure."""
    keras = load_keras()
    from keras.src.applications.efficientnet import EfficientNet  # the scalable one has no public name

    keras.utils.set_random_seed(SEED)
    started = time.monotonic()
    families = families_of(TRAINING_WORLD, FAMILIES)
    subjects = [Subject(ANIMAL, number, one) for one in families for number in range(PER_FAMILY)]
    labels = np.repeat(np.arange(FAMILIES), PER_FAMILY)
    pictures = pixels(subjects, TRAINING_WORLD, SIDE, square=True)
    print(f"drew {len(pictures)} pictures in {time.monotonic() - started:.0f} s", file=sys.stderr)

    backbone = EfficientNet(
        WIDTH, DEPTH, SIDE, name="efficientnet_drawn", include_top=False, weights=None,
        input_shape=(SIDE, SIDE, 3), pooling="avg",
    )  # fmt: skip
    inputs = keras.Input((SIDE, SIDE, 3))
    shifted = keras.layers.RandomTranslation(0.08, 0.08, fill_mode="nearest")(
        keras.layers.RandomFlip("horizontal")(inputs)
    )
    features = keras.layers.Dropout(0.2)(backbone(shifted))
    model = keras.Model(inputs, keras.layers.Dense(FAMILIES, activation="softmax")(features))
    steps = EPOCHS * (len(pictures) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        PEAK_RATE / 20, steps, warmup_target=PEAK_RATE, warmup_steps=steps // 10, alpha=0.01
    )
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.97  # training is short: the statistics must keep up
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.02), loss, metrics=["accuracy"])
    targets = np.eye(FAMILIES, dtype=np.float32)[labels]
    history = model.fit(pictures, targets, batch_size=BATCH, epochs=EPOCHS, shuffle=True, verbose=2)

    file = MODELS / "efficientnet" / "model.keras"
    file.parent.mkdir(parents=True, exist_ok=True)
    backbone.save(file)
    accuracy, seconds = probe(backbone), time.monotonic() - started
    card = CARD.format(
        pictures=len(pictures),
        families=FAMILIES,
        epochs=EPOCHS,
        trained=history.history["accuracy"][-1],
        held_out=HELD_OUT_FAMILIES,
        probe=accuracy,
        parameters=backbone.count_params(),
        dimensions=backbone.output_shape[-1],
        side=SIDE,
        width=WIDTH,
        depth=DEPTH,
        minutes=seconds / 60,
    )
    (file.parent / "README.md").write_text(card, encoding="utf-8")
    print(card)


def probe(backbone: object) -> float:
    """Accuracy of a logistic regression on features of families not used in training; two thirds train it, a third tests it."""
    from sklearn.linear_model import LogisticRegression

    families = families_of(HELD_OUT_WORLD, HELD_OUT_FAMILIES)
    subjects = [Subject(ANIMAL, number, one) for one in families for number in range(HELD_OUT_PER_FAMILY)]
    numbers = np.tile(np.arange(HELD_OUT_PER_FAMILY), HELD_OUT_FAMILIES)
    labels = np.repeat(np.arange(HELD_OUT_FAMILIES), HELD_OUT_PER_FAMILY)
    features = backbone.predict(pixels(subjects, HELD_OUT_WORLD, SIDE, square=True), verbose=0)  # type: ignore[attr-defined]
    testing = numbers >= HELD_OUT_PER_FAMILY * 2 // 3
    training = features[~testing]
    scaled = (features - training.mean(axis=0)) / (training.std(axis=0) + 1e-6)
    classifier = LogisticRegression(max_iter=500, C=0.1).fit(scaled[~testing], labels[~testing])
    return float(classifier.score(scaled[testing], labels[testing]))


if __name__ == "__main__":
    main()
