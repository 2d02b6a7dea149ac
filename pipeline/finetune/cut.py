"""Cut: a backbone in two, where what fine-tuning changes begins.

The layers below that place stay as they are, so what they give for a picture is computed once.
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
        below: a ``keras.Model`` from preprocessed pictures to the one tensor that all above depends on.
        above: a ``keras.Model`` from that tensor to vectors.
        position: of the operation that gives it, among the network's.
        layer: the name of the layer that gives the tensor.
        shape: of the tensor, without the batch.
    """

    below: Any
    above: Any
    position: int
    layer: str
    shape: tuple[int, ...]


def unfreeze(backbone: Any, layers: int) -> list[str]:
    """Make the weights of the last ``layers`` layers trainable, but for BatchNormalization, and no others.

    Returns:
        The names of the layers that have weights to train, in the network's order.

    Raises:
        ColdframeError: no layer among them has weights to train, or there are not so many layers.
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
    """Cut a backbone as high as possible below the first of the layers ``trained``, where a single tensor goes up.

    None where that tensor is the pictures themselves, so that nothing would be saved.
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
