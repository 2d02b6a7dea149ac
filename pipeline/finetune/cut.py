"""Cut: divide a backbone in two, at the place where fine-tuning begins.

The layers below the cut do not change, so their output for a picture is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.runtime.frameworks import load_keras
from store.errors import ColdframeError


@dataclass(frozen=True)
class Cut:
    """A backbone in two.

    Attributes:
        below: a ``keras.Model`` from preprocessed pictures to the one tensor on which everything above depends.
        above: a ``keras.Model`` from that tensor to vectors.
        position: the index, among the network's operations, of the one that gives the tensor.
        layer: the name of the layer that gives the tensor.
        shape: the tensor's shape, without the batch.
    """

    below: Any
    above: Any
    position: int
    layer: str
    shape: tuple[int, ...]


def unfreeze(backbone: Any, layers: int) -> list[str]:
    """Make only the weights of the last ``layers`` layers trainable, leaving out BatchNormalization.

    Returns:
        The names of the layers that have weights to train, in the network's order.

    Raises:
        ColdframeError: none of these layers has weights to train, or there are fewer layers.
    """
    keras = load_keras()

    if not 1 <= layers <= len(backbone.layers):
        raise ColdframeError(
            f"finetune: layers = {layers}, expected from 1 to {len(backbone.layers)}, the layers of {backbone.name}"
        )
    backbone.trainable = True
    last = backbone.layers[-layers:]
    for layer in backbone.layers:
        layer.trainable = layer in last and not isinstance(layer, keras.layers.BatchNormalization)
    trained = [layer.name for layer in last if layer.trainable_weights]
    if not trained:
        least = next(
            count
            for count, layer in enumerate(reversed(backbone.layers), 1)
            if layer.weights and not isinstance(layer, keras.layers.BatchNormalization)
        )
        raise ColdframeError(
            f"finetune: the last {layers} layers of {backbone.name} have no weights to train (BatchNormalization stays frozen): "
            f"the first that have some come with --layers {least}"
        )
    return trained


def cut(backbone: Any, trained: list[str]) -> Cut | None:
    """Cut a backbone as high as possible below the first of the layers ``trained``, at a place where a single tensor goes up.

    None if that tensor is the pictures themselves, so that a cut would save nothing.
    """
    keras = load_keras()

    operations = backbone.operations  # in topological order
    first = min(place for place, one in enumerate(operations) if one.name in trained)
    last_use: dict[int, int] = {}
    for place, one in enumerate(operations):
        for tensor in keras.tree.flatten(one.input):
            last_use[id(tensor)] = place
    for tensor in keras.tree.flatten(backbone.output):
        last_use[id(tensor)] = len(operations)
    live: dict[int, tuple[Any, str]] = {}
    found: tuple[int, Any, str] | None = None
    for place, one in enumerate(operations[:first]):
        live |= {id(tensor): (tensor, one.name) for tensor in keras.tree.flatten(one.output)}
        live = {key: value for key, value in live.items() if last_use.get(key, -1) > place}
        if len(live) == 1:
            found = place, *next(iter(live.values()))
    if found is None or found[1] is backbone.input:
        return None
    position, tensor, layer = found
    below, above = keras.Model(backbone.input, tensor), keras.Model(tensor, backbone.output)
    return Cut(below, above, position, layer, tuple(int(side) for side in tensor.shape[1:]))
