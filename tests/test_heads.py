"""The heads' shapes, and the reference model whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline import heads
from pipeline.embedders.keras_applications import NETWORKS, backbone
from pipeline.heads import HeadSettings


def trainable(model: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_the_reference_model_has_the_reports_parameters() -> None:
    network = backbone("efficientnet-b4", weights="random", size=(380, 380))
    model = heads.on_backbone(network, "mlp", 202, HeadSettings())
    assert model.count_params() == 18_878_193
    assert trainable(model) == 1_200_786
    assert model.output_shape == (None, 202)


def test_a_head_alone_has_the_shape_it_has_on_a_backbone() -> None:
    head = heads.build("mlp", 1792, 202, HeadSettings())
    assert trainable(head) == 1_200_786
    assert [type(layer).__name__ for layer in head.layers] == ["BatchNormalization", "Dense", "Dropout", "Dense"]


def test_every_network_named_exists_in_keras_applications() -> None:
    import importlib

    import keras

    for name, (module, network, side) in NETWORKS.items():
        assert callable(getattr(keras.applications, network)), name
        assert callable(importlib.import_module(f"keras.applications.{module}").preprocess_input), name
        assert side >= 224


def test_preprocessing_of_a_backbone_that_does_not_scale_itself() -> None:
    from PIL import Image

    from pipeline.embedders import Options, load

    embedder = load("resnet-50", Options(weights="random", size=(32, 32)))
    prepared = embedder.prepare(Image.effect_noise((50, 40), 60).convert("RGB"))
    network = backbone("resnet-50", weights="random", size=(32, 32))
    # as Keras documents it for ResNet: BGR, less the ImageNet means
    wanted = prepared[None, ..., ::-1].astype(np.float32) - np.array([103.939, 116.779, 123.68], np.float32)
    assert np.allclose(embedder.embed([prepared]), network.predict(wanted, verbose=0), rtol=1e-3, atol=1e-3)
