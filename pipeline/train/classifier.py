"""Classifiers: a run as one network, from RGB pictures (uint8) to class probabilities.

The parts are a Keras Applications backbone, named by the run's feature set, and the layers of the run's head. A fine-tuned
run keeps the backbone weights that it changed in the same file as its head.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.embed import architecture, feature_sets
from pipeline.embed.embedders import Options, keras_applications, weights_digest
from pipeline.runs.runs import NETWORK, Run
from pipeline.runtime.frameworks import load_keras
from pipeline.steps.settings import is_size
from pipeline.train.heads import Head
from pipeline.train.layers import LAYERS, fill_keras, from_text, to_keras
from pipeline.train.outputs import VECTORS
from pipeline.train.scaling import Scaling
from store.errors import ColdframeError
from store.rows import not_ours
from store.store import Snapshot

TUNED = "backbone/"  # prefix of a backbone's changed weights in the file of a run


@dataclass(frozen=True)
class Parts:
    """The parts of a classifier.

    Attributes:
        network: its backbone's name, one of ``keras_applications.NETWORKS``.
        backbone: a ``keras.Model`` from preprocessed pictures (n, height, width, 3) to vectors (n, dimensions).
        head: layers on those vectors.
        size: (height, width) in pixels.
        class_names: (classes,) in the order of the outputs.
    """

    network: str
    backbone: Any
    head: Head
    size: tuple[int, int]
    class_names: npt.NDArray[np.str_]


def parts(snapshot: Snapshot, run: Run) -> Parts:
    """The parts of a run, as ``Run.find`` gives it.

    Raises:
        ColdframeError: the run has no layers on one Keras Applications backbone, or the backbone's weights are no longer
            available.
    """
    if run.kind == NETWORK or len(run.embedders) != 1:
        raise ColdframeError(
            f"{run.run_id} is on {run.embedder}, expected a head on one feature set of a Keras Applications network"
        )
    head = Head.read(run.file(snapshot))
    if LAYERS not in head.arrays:
        raise ColdframeError(f"{run.run_id}: the head {head.name} is no network, expected mlp, linear or logistic")
    row = feature_sets.row_of(snapshot, run.embedders[0])
    if row["network"] not in keras_applications.NETWORKS:
        raise ColdframeError(
            f"{run.run_id} is on {row['network']}, expected a head on a feature set of a Keras Applications network"
        )
    source, made = Options.from_json(json.loads(row["source"])), json.loads(row["settings"])
    if not is_size(made.get("size")):
        raise not_ours(f"the settings of the feature set {row['embedder']!r}", "its pictures are of no size")
    size = (made["size"][0], made["size"][1])
    backbone = keras_applications.backbone(
        row["network"], weights=source.weights or "imagenet", size=size, seed=source.seed, follow=source.fetch
    )
    feature_sets.check_network(row, weights_digest(backbone.get_weights()), architecture.of_keras(backbone))
    _set_tuned(backbone, head.arrays, run.run_id)
    return Parts(row["network"], backbone, head, size, run.class_names)


def assemble(given: Parts) -> Any:
    """The whole classifier as a ``keras.Model``.

    It takes uint8 RGB (n, height, width, 3) and gives probabilities (n, classes) and vectors (n, dimensions).
    """
    keras = load_keras()

    pictures, vectors = _to_vectors(given)
    probabilities = vectors
    for layer in head_layers(given.head):
        probabilities = layer(probabilities)
    return keras.Model(pictures, [probabilities, vectors])


def body(given: Parts) -> Any:
    """The classifier without its head as a ``keras.Model``: from uint8 RGB (n, height, width, 3) to vectors (n, dimensions)."""
    return load_keras().Model(*_to_vectors(given))


def _to_vectors(given: Parts) -> tuple[Any, Any]:
    """The picture input, and the vectors that the backbone gives in inference."""
    keras = load_keras()

    pictures = keras.Input((*given.size, 3), dtype="uint8", name="pictures")
    values = keras_applications.preprocessing(given.network)(keras.ops.cast(pictures, "float32"))
    # callers ask a saved model for them by this name
    return pictures, keras.layers.Identity(name=VECTORS)(given.backbone(values, training=False))


def head_layers(head: Head, *, seed: int | None = None) -> list[Any]:
    """The scaling and layers of a head as built Keras layers with its weights; the last one has softmax. ``seed`` is for
    Dropout."""
    keras = load_keras()

    layers = to_keras(from_text(head.arrays[LAYERS]), seed=seed)
    values = keras.Input((head.dimensions,))
    for layer in layers:
        values = layer(values)
    fill_keras(layers, head.arrays)
    return [*_scaling_layers(head.scaling), *layers]


def _scaling_layers(scaling: Scaling) -> list[Any]:
    keras = load_keras()

    if scaling.kind == "l2":
        return [keras.layers.UnitNormalization(axis=-1)]
    if scaling.mean is not None and scaling.deviation is not None:
        return [keras.layers.Normalization(mean=scaling.mean, variance=scaling.deviation**2)]
    return []


def tuned_arrays(backbone: Any, names: list[str]) -> dict[str, npt.NDArray[Any]]:
    """The weights of a backbone's layers, as a run's file holds them. Each is named by the layer's position, because Keras
    numbers the names of some layers anew in every process."""
    return {
        f"{TUNED}{place}/{position}": array
        for place, layer in enumerate(backbone.layers)
        if layer.name in names
        for position, array in enumerate(layer.get_weights())
    }


def _set_tuned(backbone: Any, arrays: Mapping[str, npt.NDArray[Any]], run_id: str) -> None:
    """Raises:
    ColdframeError: the changed weights in the run's file do not belong to layers of this backbone.
    """
    by_layer: dict[int, dict[int, npt.NDArray[Any]]] = {}
    for key, array in arrays.items():
        if key.startswith(TUNED):
            place = re.fullmatch("(0|[1-9][0-9]{0,5})/(0|[1-9][0-9]{0,5})", key.removeprefix(TUNED))
            if place is None or int(place[1]) >= len(backbone.layers):
                raise _unfitting(run_id, key)
            by_layer.setdefault(int(place[1]), {})[int(place[2])] = array
    for layer, weights in by_layer.items():
        expected = {at: (one.shape, one.dtype.kind) for at, one in enumerate(backbone.layers[layer].get_weights())}
        found = {at: (one.shape, one.dtype.kind) for at, one in weights.items()}
        if found != expected or not all(np.isfinite(one).all() for one in weights.values()):
            raise _unfitting(run_id, f"{TUNED}{layer}/")
        backbone.layers[layer].set_weights([weights[at] for at in sorted(weights)])


def _unfitting(run_id: str, key: str) -> ColdframeError:
    return ColdframeError(f"{run_id}: its {key[:100]!r} is none of the weights of its backbone: fine-tune again")
