"""What a network computes besides its weights: under another description, the same numbers give other vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from pipeline.runtime.frameworks import load_keras
from store import digests

# How the default precision of layers is written. In which one a process computes is kept beside the vectors; layers that
# differ from it count for themselves.
_DEFAULT_PRECISIONS = ("float32", "bfloat16", "mixed_bfloat16")
# In a configuration of transformers: where it comes from, what wrote it, and what the loader decides.
_OF_PLACE = ("_name_or_path", "_attn_implementation", "architectures", "dtype", "torch_dtype", "transformers_version")
# In the description of a network of Keras: a place, which begins with the name of a layer, and lists of places.
_PLACE, _PLACES = "keras_history", ("input_layers", "output_layers")
_RESULT, _INPUT = "__keras_tensor__", "InputLayer"  # classes: of what a layer gives to the next, of an input


def of_keras(network: Any, *, exactly: bool = False) -> str:
    """A network of Keras, whatever its layers are called and whichever backend it runs on.

    Args:
        exactly: tell in which precision each layer computes even if all do in that of the process.
    """
    keras = load_keras()
    config = network.get_config()
    layers = list(network._flatten_layers(include_self=False))
    # what configurations leave out: a layer takes numbers as they are, or brings them to its precision first
    more = [list(_types(config, every=exactly)), [bool(one.autocast) for one in layers]]
    # inputs and networks compute nothing themselves: their policy is that of the process, whatever a file says
    plain = [one for one in layers if not (isinstance(one, keras.layers.InputLayer) or hasattr(one, "layers"))]
    policies = [str(one.dtype_policy.name) for one in plain]
    if exactly or set(policies) - {keras.config.dtype_policy().name}:
        more.append(policies)
    return of_description("keras", keras.__version__, _without_names(config, _numbers(config)), more)


def of_transformers(config: Any) -> str:
    """A network of transformers by its configuration, wherever it was loaded from."""
    return of_description("transformers", version("transformers"), _without_places(config.to_dict()))


def of_description(library: str, version: str, description: Any, more: Any = None) -> str:
    """A description in JSON types, as one version of a library writes it.

    The first characters of its digest are all that earlier versions of coldframe kept.

    Args:
        more: what those did not consider (JSON).
    """
    return f"{library} {version} {digests.of_json(description)}{digests.whole_of_json([description, more])}"


def differ(one: Any, other: Any) -> bool:
    """Whether two architectures are known to differ: the versions of one library do not describe a network alike.

    A short digest, which an earlier version of coldframe kept, is compared with the beginning of a long one.
    """
    if not (isinstance(one, str) and isinstance(other, str)):
        return False
    (library, digest), (other_library, other_digest) = (text.rpartition(" ")[::2] for text in (one, other))
    if library != other_library:
        return False
    if digests.SHORT in (len(digest), len(other_digest)):
        return digest[: digests.SHORT] != other_digest[: digests.SHORT]
    return digest != other_digest


def _without_places(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_places(inner) for key, inner in value.items() if key not in _OF_PLACE}
    return value if isinstance(value, str | int | float | bool | list | None) else str(value)


def _types(value: Any, *, every: bool, given: frozenset[str] = frozenset()) -> Iterator[str]:
    """The types of numbers that a description names: of inputs, operations and constants.

    Args:
        every: also those of layers and of what they give, which follow from the precision that the process computes in.
        given: what a network within another gets. Its inputs are of the same type, unless they change it.
    """
    if isinstance(value, Mapping):
        kind, config = value.get("class_name"), value.get("config")
        if kind == _RESULT and not every:
            return
        if isinstance(config, Mapping) and "layers" in config:
            given = frozenset(_given(value.get("inbound_nodes")))
        for key, inner in value.items():
            if key == "dtype" and (every or isinstance(inner, str)):
                yield str(inner)
            elif kind == _INPUT and key == "config" and not every and isinstance(inner, Mapping):
                yield "as given" if inner.get("dtype") in given else str(inner.get("dtype"))
            else:
                yield from _types(inner, every=every, given=given)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _types(inner, every=every, given=given)


def _given(value: Any) -> Iterator[str]:
    """The types of what layers gave to the next."""
    if isinstance(value, Mapping):
        if value.get("class_name") == _RESULT:
            yield str(value["config"].get("dtype"))
        for inner in value.values():
            yield from _given(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _given(inner)


def _numbers(config: Any) -> dict[str, int]:
    """The place of each layer by its name: Keras numbers names by what a process has made before."""
    names: dict[str, int] = {}
    for one in _layers(config):
        names.setdefault(str(one["config"].get("name")), len(names))
    return names


def _layers(value: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if "class_name" in value and isinstance(value.get("config"), Mapping):
            yield value
        for inner in value.values():
            yield from _layers(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _layers(inner)


def _without_names(value: Any, names: Mapping[str, int]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _of_entry(key, inner, names) for key, inner in value.items() if key not in ("name", "build_config")
        }
    if isinstance(value, list | tuple):
        return [_without_names(inner, names) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _of_entry(key: str, value: Any, names: Mapping[str, int]) -> Any:
    if key == "dtype":
        name = value.get("config", {}).get("name") if isinstance(value, Mapping) else str(value)
        return "default" if name in _DEFAULT_PRECISIONS else str(name)
    if key == _PLACE and isinstance(value, list | tuple):
        return [names.get(str(value[0]), -1), *value[1:]]
    if key in _PLACES:
        return _places(value, names)
    return _without_names(value, names)


def _places(value: Any, names: Mapping[str, int]) -> Any:
    """``[name, node, tensor]``, or lists or dictionaries of such."""
    if isinstance(value, Mapping):
        return {key: _places(inner, names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        is_place = len(value) == 3 and isinstance(value[0], str)
        return [names.get(value[0], -1), *value[1:]] if is_place else [_places(inner, names) for inner in value]
    return value
