"""Tops: the ImageNet classes of pictures, from their stored vectors and the top layers of the network that made these.

A network of Keras Applications averages its last feature map, and its top works on this average alone. A feature set holds the
same average, so its classes need no second pass over the pictures. VGG's top works on the whole feature map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.embed.embedders import FloatArray, keras_applications, weights_digest
from pipeline.runtime.frameworks import load_keras
from store.errors import ColdframeError

WITHOUT = ("vgg-16", "vgg-19")  # networks whose top needs more than the average
NORMALISED = "convnext-"  # networks that normalise the average, with their top or without
SUM = 1e-3  # how far from 1 the probabilities of a picture may sum up


def probabilities(name: str, weights: str, *, made_with: str, dimensions: int) -> Callable[[FloatArray], FloatArray]:
    """A function from vectors (n, dimensions) of a network to the probabilities of the ImageNet classes (n, 1000), float32.

    Args:
        name: the network that made the vectors.
        weights: ``imagenet``, or a file that a person named: the network with its top, ``.weights.h5``, ``.h5`` or ``.keras``.
        made_with: the digest of the weights that the vectors were made with.
        dimensions: the length of a vector.

    Raises:
        ColdframeError: the network's top cannot work on vectors, the weights are not available, are another network's or have no
            such top, or the vectors were made with other weights.
    """
    if name not in keras_applications.NETWORKS:
        raise ColdframeError(f"{name} is no network of Keras Applications, so it has no ImageNet classes")
    if name in WITHOUT:
        raise ColdframeError(
            f"the top of {name} works on the whole feature map, and a feature set holds its average alone: embed with another "
            "network of Keras Applications"
        )
    network = keras_applications.classifier(name, weights=weights)
    last = _last_below(name, network, weights)
    shape, top = _above(network, last, weights)
    if shape[-1] != dimensions:
        raise ColdframeError(f"the top of {weights} takes {shape[-1]} numbers a picture, and a vector has {dimensions}")
    below = weights_digest(array for one in network.layers[: last + 1] for array in one.get_weights())
    if below != made_with:
        raise ColdframeError(
            f"the weights below the top of {weights} are not those that the vectors were made with: give the file that has them "
            "with --weights, or embed again with the weights in this one"
        )

    def run(vectors: FloatArray) -> FloatArray:
        try:
            found = np.asarray(top.predict_on_batch(vectors.reshape(-1, *shape)), np.float32)
        except Exception as error:  # a file may describe what no backend can compute; each raises kinds of its own
            raise _no_top(weights, error) from error
        sums = found.sum(axis=1)
        if found.min(initial=0) < 0 or not (abs(sums - 1) <= SUM).all():
            raise ColdframeError(
                f"the top of {weights} gives no probabilities: expected softmax as its last activation"
            )
        return found

    return run


def _above(network: Any, last: int, weights: str) -> tuple[tuple[int, ...], Any]:
    """What a layer gives for a picture, as a shape, and the network above it as a ``keras.Model``.

    Raises:
        ColdframeError: what is above it needs more than this layer's output.
    """
    try:
        given = network.layers[last].output
        return tuple(given.shape[1:]), load_keras().Model(given, network.output)
    except (AttributeError, ValueError) as error:  # Keras says so of a layer used twice, or of other inputs
        raise _no_top(weights, error) from error


def _no_top(weights: str, error: Exception) -> ColdframeError:
    return ColdframeError(
        f"the top of {weights} does not work on the average of its last feature map alone, as those of Keras Applications do "
        f"({' '.join(str(error).split())[:200]})"
    )


def _last_below(name: str, network: Any, weights: str) -> int:
    """The place, in the list of layers, of the one that gives the vectors.

    Raises:
        ColdframeError: there is none.
    """
    kinds = [type(one).__name__ for one in network.layers]
    if "GlobalAveragePooling2D" not in kinds:
        raise ColdframeError(f"{name}: {weights} averages no feature map, as {name} does")
    pooling = len(kinds) - 1 - kinds[::-1].index("GlobalAveragePooling2D")
    is_normalised = name.startswith(NORMALISED) and kinds[pooling + 1 : pooling + 2] == ["LayerNormalization"]
    return pooling + is_normalised
