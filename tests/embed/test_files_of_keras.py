"""Files of weights that Keras itself writes, in its earlier layout, are taken as they are."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.embed.embedders import Options
from pipeline.embed.embedders.keras_applications import load
from pipeline.runtime import keras_files, openvino
from pipeline.runtime.frameworks import load_keras

pytestmark = [pytest.mark.slow]

SIZE = (8, 6, 3)


def network(seed: int) -> Any:
    """A network with layers that have no weights, with random numbers, and with networks in it, one in the other."""
    keras = load_keras()
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    innermost = keras.Sequential([layers.Input((*SIZE[:2], 4)), layers.Conv2D(4, 1), layers.ReLU()], name="innermost")
    given = layers.Input((*SIZE[:2], 4))
    inner = keras.Model(given, layers.BatchNormalization()(innermost(given)), name="inner")
    pictures = keras.Input(SIZE)
    at = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(pictures)))
    at = layers.Dropout(0.5)(layers.Add()([at, inner(at)]))
    made = keras.Model(pictures, layers.Dense(2)(layers.GlobalAveragePooling2D()(at)))
    made.set_weights([one + index for index, one in enumerate(made.get_weights())])
    return made


def whole(made: Any, file: Path) -> None:
    made.save(file)


def trained(made: Any, file: Path) -> None:
    """With the optimizer's own numbers."""
    made.compile("adam", "mse")
    made.optimizer.build(made.trainable_variables)
    made.save(file)


def weights_alone(made: Any, file: Path) -> None:
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(file, "w") as opened:
        legacy_h5_format.save_weights_to_hdf5_group(opened, made)


def with_long_names(made: Any, file: Path) -> None:
    """So that lists of names are in several attributes."""
    for number, one in enumerate(made.layers):
        one.name = f"{number}" + "x" * 3000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras.src.legacy.saving.legacy_h5_format.HDF5_OBJECT_HEADER_LIMIT", 8000)
        weights_alone(made, file)
    import h5py

    with h5py.File(file) as opened:
        assert "layer_names4" in opened.attrs


def by_keras_2(made: Any, file: Path) -> None:
    """As files of Keras Applications are: names of layers and weights of a fixed length, and no weights of the top level."""
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import _legacy_weights

    with h5py.File(file, "w") as opened:
        opened.attrs.update({"model_config": json.dumps(made.get_config()).encode(), "training_config": b"{}"})
        group = opened.create_group("model_weights")
        group.attrs.update({"backend": b"tensorflow", "keras_version": b"2.2.4", "nb_layers": len(made.layers)})
        group.attrs["layer_names"] = [one.name.encode() for one in made.layers]
        for layer in made.layers:
            of_layer, weights = group.create_group(layer.name), _legacy_weights(layer)
            names = [f"{layer.name}_1/{number}/{one.name}:0".encode() for number, one in enumerate(weights)]
            of_layer.attrs["weight_names"] = names
            for name, one in zip(names, weights, strict=True):
                of_layer[name] = one.numpy()
        opened.create_group("optimizer_weights").attrs["weight_names"] = [b"SGD/iterations:0"]
        opened["optimizer_weights/SGD/iterations:0"] = np.int64(3)


@pytest.mark.parametrize(
    "write",
    [
        whole,
        *(
            pytest.param(one, marks=pytest.mark.variants)
            for one in (trained, weights_alone, with_long_names, by_keras_2)
        ),
    ],
)
def test_weights_in_the_earlier_layout_are_taken(write: Callable[[Any, Path], None], tmp_path: Path) -> None:
    one, other = network(1), network(2)
    write(one, tmp_path / "weights.h5")
    keras_files.load_weights(other, io.BytesIO((tmp_path / "weights.h5").read_bytes()), "weights.h5")
    for held, loaded in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, held)


class Asked(Exception):
    """What a converted network would be kept under."""


@pytest.mark.parametrize(
    "ending", [".weights.h5", *(pytest.param(one, marks=pytest.mark.variants) for one in (".h5", ".keras"))]
)
def test_a_network_is_kept_under_the_layout_that_its_file_is_read_in_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    def converted(*_: object, source: dict[str, str], **__: object) -> None:
        raise Asked(source["weights"])

    monkeypatch.setattr(openvino, "converted", converted)
    file = tmp_path / f"poly{ending}"
    file.write_bytes(b"the same bytes")
    digest = hashlib.sha256(b"the same bytes").hexdigest()
    for tail in ("", "/", "/.", "//", "/./"):
        assert keras_files.layout(f"{file}{tail}") == keras_files.layout(file) == ending
        with pytest.raises(Asked, match=f"^{digest}{re.escape(ending)}$"):
            load("mobilenet", Options(f"{file}{tail}", (32, 32), backend=openvino.NAME))
