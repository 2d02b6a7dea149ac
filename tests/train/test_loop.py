"""The training loop: the gradients, the optimisers and the schedule, against what torch and Keras' documents say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.train import layers as dense
from pipeline.train import loop as training
from pipeline.train import optimizers
from pipeline.train.layers import BatchNorm, Dense, Dropout, Layer
from pipeline.train.loop import Labelled, Schedule, Task
from store.errors import ColdframeError


def schedule(**given: Any) -> Schedule:
    usual: dict[str, Any] = {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "batch": 16,
        "epochs": 1,
        "early_stopping": 0,
        "reduce_lr_factor": 0.1,
        "reduce_lr_patience": 0,
        "label_smoothing": 0.0,
        "seed": 0,
    }
    return Schedule(**usual | given)


def task(rows: int = 16, classes: int = 3, dimensions: int = 5, *, seed: int = 0, weighted: bool = False) -> Task:
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, dimensions)).astype(np.float32)
    weights = random.uniform(0.5, 2, classes) if weighted else None
    targets = random.integers(0, classes, rows)
    return Task(Labelled(matrix, targets), None, np.arange(classes).astype(str), weights)


def forward(layers: list[Layer], weights: dict[str, torch.Tensor], values: torch.Tensor) -> torch.Tensor:
    """The network in training, without Dropout, in torch's own words."""
    for position, layer in enumerate(layers):
        if isinstance(layer, BatchNorm):
            values = torch.nn.functional.batch_norm(
                values, None, None, weights[f"{position}/gamma"], weights[f"{position}/beta"], True, 0, 1e-3
            )
        elif isinstance(layer, Dense):
            values = values @ weights[f"{position}/kernel"] + weights[f"{position}/bias"]
            values = values.relu() if layer.relu else values
    return values


@settings(max_examples=20)
@given(st.integers(0, 1000), st.booleans(), st.sampled_from([0.0, 0.2]), st.integers(0, 2))
def test_a_step_follows_the_gradient_that_autograd_finds(seed: int, weighted: bool, smooth: float, hidden: int) -> None:
    wanted = task(seed=seed, weighted=weighted)
    middle: list[Layer] = [layer for _ in range(hidden) for layer in (Dense(7, relu=True), BatchNorm())]
    layers = [BatchNorm(), *middle, Dense(3)]
    loop = training.Loop(layers, wanted, schedule(label_smoothing=smooth, seed=seed))
    before = {
        name: torch.from_numpy(array.copy()).requires_grad_("moving" not in name)
        for name, array in loop.arrays().items()
        if name != dense.LAYERS
    }
    values = forward(layers, before, torch.from_numpy(wanted.training.matrix))
    targets = torch.from_numpy(wanted.training.targets)
    losses = torch.nn.functional.cross_entropy(values, targets, reduction="none", label_smoothing=smooth)
    weights = np.ones(3) if wanted.class_weights is None else wanted.class_weights
    loss = (losses * torch.from_numpy(weights[wanted.training.targets])).mean()
    loss.backward()
    loop.epoch()
    assert loop.history["loss"][0] == pytest.approx(float(loss.detach()), rel=1e-4)
    after = loop.arrays()
    for name, array in before.items():
        if array.grad is not None:
            assert np.allclose(after[name], (array - 0.1 * array.grad).detach(), atol=1e-5), name


@pytest.mark.parametrize("optimizer", optimizers.NAMES)
def test_six_epochs_give_the_weights_that_keras_gives(optimizer: str) -> None:
    import keras

    random = np.random.default_rng(0)
    matrix = random.normal(2, 3, size=(64, 20)).astype(np.float32)
    targets, weights = random.integers(0, 3, 64), np.array([0.5, 1.0, 2.0])
    layers: list[Layer] = [BatchNorm(), Dense(16, relu=True), Dense(3)]
    # batches of all rows: their order, which is random, then plays no part
    steps = schedule(optimizer=optimizer, learning_rate=0.01, batch=64, label_smoothing=0.1)
    loop = training.Loop(layers, Task(Labelled(matrix, targets), None, np.array(list("abc")), weights), steps)
    made = dense.to_keras(layers)
    model = keras.Sequential([keras.Input((20,)), *made])
    dense.fill_keras(made, loop.arrays())
    kept = {"class_name": optimizer, "config": {"learning_rate": 0.01}}
    model.compile(keras.optimizers.get(kept), keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    history = model.fit(
        matrix, np.eye(3)[targets], batch_size=64, epochs=6, class_weight=dict(enumerate(weights)), verbose=0
    ).history
    for _ in range(6):
        loop.epoch()
    assert np.allclose(history["loss"], loop.history["loss"], atol=1e-4)
    arrays = loop.arrays()
    for position, layer in enumerate(made):
        for weight in layer.weights:
            assert np.allclose(arrays[f"{position}/{weight.name}"], np.asarray(weight), atol=2e-3), weight.name


def test_dropout_leaves_the_mean_and_is_off_when_predicting() -> None:
    wanted = task(rows=4096, dimensions=50)
    loop = training.Loop([Dropout(0.4), Dense(3)], wanted, schedule(batch=4096))
    out = loop._parts[0].forward(torch.ones(4096, 50))
    assert np.allclose(np.unique(out.numpy()), [0, 1 / 0.6])
    assert float(out.mean()) == pytest.approx(1, abs=0.01)
    predicted = dense.logits(loop.arrays(), wanted.training.matrix)
    assert np.allclose(loop.logits(wanted.training.matrix).numpy(), predicted, atol=1e-5)


def test_the_best_epoch_is_kept_and_waiting_ends() -> None:
    random = np.random.default_rng(0)
    learned, held_out = task(rows=64, seed=1), random.normal(size=(64, 5)).astype(np.float32)
    wanted = Task(learned.training, Labelled(held_out, random.integers(0, 3, 64)), learned.class_names)
    patient = schedule(optimizer="adam", learning_rate=0.05, epochs=200, early_stopping=4)
    fitted = training.fit([Dense(32, relu=True), Dense(3)], wanted, patient)
    losses = fitted.history["val_loss"]
    assert len(losses) < 200
    assert int(np.argmin(losses)) == len(losses) - 5
    own = dense.predict(fitted.arrays, held_out)[np.arange(64), wanted.validation.targets]  # type: ignore[union-attr]
    assert -np.log(own).mean() == pytest.approx(min(losses), rel=1e-3)


def test_the_rate_falls_when_the_loss_does_not() -> None:
    wanted = task(rows=64)
    waiting = schedule(learning_rate=1e-12, epochs=7, reduce_lr_patience=2, reduce_lr_factor=0.5)
    loops: list[training.Loop] = []

    class Watched(training.Loop):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            loops.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "Loop", Watched)
        training.fit([Dense(3)], wanted, waiting)
    assert loops[0].learning_rate == pytest.approx(1e-12 * 0.5**3)


@pytest.mark.parametrize("optimizer", optimizers.NAMES)
def test_every_optimiser_learns_and_repeats(optimizer: str) -> None:
    random = np.random.default_rng(3)
    targets = np.arange(90) % 3
    matrix = (np.eye(3, 5)[targets] * 4 + random.normal(size=(90, 5))).astype(np.float32)
    wanted = Task(Labelled(matrix, targets), None, np.array(list("abc")))
    steps = schedule(optimizer=optimizer, learning_rate=0.05, epochs=15)
    one, two = (training.fit([BatchNorm(), Dense(3)], wanted, steps) for _ in range(2))
    assert one.history["accuracy"][-1] > 0.9
    assert np.allclose(one.history["loss"], two.history["loss"], atol=1e-6)


def test_views_are_drawn_one_for_each_row() -> None:
    targets = np.arange(60) % 3
    views = np.stack([np.eye(3, dtype=np.float32)[targets] * (1 + view) for view in range(3)])
    wanted = Task(Labelled(views[0], targets), None, np.array(list("abc")), views=views)
    loop = training.Loop([Dense(3)], wanted, schedule())
    order = torch.arange(60)
    chosen = loop._choose_views(order).numpy()
    assert np.array_equal(chosen % 60, order)
    assert set(chosen // 60) == {0, 1, 2}
    assert np.isfinite(loop.epoch())


def test_a_loss_that_is_no_number_is_said() -> None:
    with pytest.raises(ColdframeError, match=r"training diverged .*: try a learning rate below 1e\+30"):
        training.fit([Dense(8, relu=True), Dense(3)], task(rows=64), schedule(learning_rate=1e30, epochs=3))
