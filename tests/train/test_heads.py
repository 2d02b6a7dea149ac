"""The heads' shapes, and the reference model whole."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.embed.embedders.keras_applications import NETWORKS, backbone
from pipeline.runs.runs import Run
from pipeline.runtime.frameworks import load_keras
from pipeline.train import heads, loop, scaling
from pipeline.train import layers as dense
from pipeline.train.heads import Head, mlp
from pipeline.train.loop import Labelled, Task
from store.errors import ColdframeError
from store.store import Store
from tests.support.coldframe import Coldframe


def trainable(model: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_the_reference_model_has_the_reports_parameters() -> None:
    keras, network = load_keras(), backbone("efficientnet-b4", weights="random", size=(380, 380))
    network.trainable = False
    outputs = network.output
    for layer in dense.to_keras(mlp.layers(202, (600,), 0.4)):
        outputs = layer(outputs)
    model = keras.Model(network.input, outputs)
    assert model.count_params() == 18_878_193
    assert trainable(model) == 1_200_786
    assert model.output_shape == (None, 202)


def clusters(rows: int, classes: int = 4, dimensions: int = 12, seed: int = 0) -> Labelled:
    """Rows around a centre a class."""
    centres = np.random.default_rng(99).normal(size=(classes, dimensions))
    random = np.random.default_rng(seed)
    targets = np.arange(rows) % classes
    matrix = centres[targets] + 0.3 * random.normal(size=(rows, dimensions))
    return Labelled(matrix.astype(np.float32), targets)


def read_texts(texts: Any) -> Any:
    """Each class's text lies where its rows lie."""
    centres = np.random.default_rng(99).normal(size=(4, 12)).astype(np.float32)
    return centres[[int(text.split()[-1][1:]) for text in texts]]


@pytest.mark.parametrize("name", heads.names())
def test_every_head_learns_is_kept_and_predicts_the_same_again(name: str, tmp_path: Path) -> None:
    data, unseen = clusters(80), clusters(40, seed=1)
    settings = heads.resolve(name, heads.Settings(units=16, batch=8))
    names = np.array(["c0", "c1", "c2", "c3"])
    scaled = scaling.fit(str(settings.input), data.matrix, (12,))
    task = Task(Labelled(scaled.apply(data.matrix), data.targets), None, names, embed_texts=read_texts)
    head = Head(name, scaled, heads.fit(name, task, settings).arrays)
    probabilities = head.predict(unseen.matrix.copy())
    assert probabilities.shape == (40, 4)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert np.mean(probabilities.argmax(axis=1) == unseen.targets) > 0.9
    file = tmp_path / "head.npz"
    file.write_bytes(head.to_bytes())
    read = Head.read(file)
    assert np.array_equal(read.predict(unseen.matrix.copy()), probabilities)
    assert (read.dimensions, read.parameters) == (12, head.parameters)
    assert read.predict(unseen.matrix[:0].copy()).shape == (0, 4)


def test_two_classes_are_enough_for_every_head() -> None:
    data = clusters(40, classes=2)
    for name in heads.names():
        settings = heads.resolve(name, heads.Settings(units=8, batch=8))
        task = Task(data, None, np.array(["c0", "c1"]), embed_texts=read_texts)
        probabilities = heads.module(name).predict(heads.fit(name, task, settings).arrays, data.matrix)
        assert np.mean(probabilities.argmax(axis=1) == data.targets) > 0.9, name


def test_a_file_that_is_no_head_is_said(tmp_path: Path) -> None:
    file = tmp_path / "head.npz"
    file.write_bytes(b"half a file")
    with pytest.raises(ColdframeError, match=r"head.npz: not the file of a head .*: train again"):
        Head.read(file)


@pytest.mark.parametrize(
    ("head", "array", "value", "said"),
    [
        ("linear", "1/kernel", np.nan, "not the file of a head (its 1/kernel is not of finite numbers): train again"),
        *(
            pytest.param(*case, marks=pytest.mark.variants)
            for case in [
                ("linear", "0/gamma", np.inf, "its 0/gamma is not of finite numbers"),
                ("linear", "1/kernel", 3e38, "probabilities that are not finite, such as "),
                ("linear", "0/moving_variance", -1, "probabilities that are not finite, such as "),
                ("centroid", "centroids", np.nan, "its centroids is not of finite numbers"),
            ]
        ),
    ],
)
def test_a_head_that_gives_no_probabilities_is_said(
    ready: Coldframe, head: str, array: str, value: float, said: str
) -> None:
    ready("split", "test", 0.25)
    ready("train", "--as", "one", "--head", head, "--embedder", "mean-colour")
    store = Store.open(ready.path)
    run = Run.find(store.snapshot(), "one")
    held = dict(np.load(run.file(store.snapshot())))
    held[f"head/{array}"] = np.full_like(held[f"head/{array}"], value)
    held[f"head/{array}"].flat[::2] *= 1 if array == "0/moving_variance" else -1
    packed = io.BytesIO()
    np.savez(packed, **held)
    with store.commit("train") as commit:
        commit.add_file("models", packed.getvalue(), key=run.run_id, suffix=".npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert said in ready("evaluate", "one", code=1).stderr


def test_the_scaled_vectors_are_as_asked() -> None:
    matrix = np.random.default_rng(0).normal(3, 2, (50, 6)).astype(np.float32)
    matrix[:, 5] = 7  # says nothing
    standard = scaling.fit("standard", matrix, (6,)).apply(matrix.copy())
    assert np.allclose(standard.mean(axis=0), 0, atol=1e-5)
    assert np.allclose(standard.std(axis=0), [1] * 5 + [0], atol=1e-5)
    unit = scaling.fit("l2", matrix, (2, 4)).apply(matrix.copy())
    assert np.allclose(np.linalg.norm(unit[:, :2], axis=1), 1, atol=1e-6)
    assert np.allclose(np.linalg.norm(unit[:, 2:], axis=1), 1, atol=1e-6)
    assert np.array_equal(scaling.fit("raw", matrix, (6,)).apply(matrix.copy()), matrix)
    with pytest.raises(ColdframeError, match="no input 'cooked'; available: raw, l2, standard"):
        scaling.fit("cooked", matrix, (6,))


def test_a_trained_network_gives_in_keras_what_it_gives_here() -> None:
    import keras

    data = clusters(64)
    layers = mlp.layers(4, (16, 8), 0.3)
    schedule = loop.Schedule("adam", 0.01, 16, 3, 0, 0.1, 0, 0.0, 0)
    arrays = loop.fit(layers, Task(data, None, np.array(list("abcd"))), schedule).arrays
    made = dense.to_keras(layers)
    model = keras.Sequential([keras.Input((12,)), *made])
    dense.fill_keras(made, arrays)
    assert [type(layer).__name__ for layer in made[:3]] == ["BatchNormalization", "Dense", "Dropout"]
    assert np.allclose(model.predict(data.matrix, verbose=0), dense.predict(arrays, data.matrix), atol=1e-5)
    assert dense.parameters(arrays) == model.count_params()


def test_every_network_named_exists_in_keras_applications() -> None:
    import importlib

    import keras

    for name, (module, network, side) in NETWORKS.items():
        assert callable(getattr(keras.applications, network)), name
        assert callable(importlib.import_module(f"keras.applications.{module}").preprocess_input), name
        assert side >= 224


def test_preprocessing_of_a_backbone_that_does_not_scale_itself() -> None:
    from PIL import Image

    from pipeline.embed.embedders import Options, load

    embedder = load("resnet-50", Options(weights="random", size=(32, 32)))
    prepared = embedder.prepare(Image.effect_noise((50, 40), 60).convert("RGB"))
    network = backbone("resnet-50", weights="random", size=(32, 32))
    # as Keras documents it for ResNet: BGR, less the ImageNet means
    wanted = prepared[None, ..., ::-1].astype(np.float32) - np.array([103.939, 116.779, 123.68], np.float32)
    assert np.allclose(embedder.embed([prepared]), network.predict(wanted, verbose=0), rtol=1e-3, atol=1e-3)
