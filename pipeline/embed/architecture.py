"""What a network computes besides its weights: under another description, the same numbers give other vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from pipeline.runtime.frameworks import load_keras
from store import digests

# How the default precision is written; in which precision a network computes is kept beside its vectors.
_DEFAULT_PRECISIONS = ("float32", "bfloat16", "mixed_bfloat16")
# In a configuration of transformers: where it comes from, what wrote it, and what the loader decides.
_OF_PLACE = ("_name_or_path", "_attn_implementation", "architectures", "dtype", "torch_dtype", "transformers_version")
# In the description of a network of Keras: a place, which begins with the name of a layer, and lists of places.
_PLACE, _PLACES = "keras_history", ("input_layers", "output_layers")


def of_keras(network: Any, *, exactly: bool = False) -> str:
    """A network of Keras, whatever its layers are called and whichever backend it runs on.

    Args:
        exactly: also tell in which precision each layer computes.
    """
    keras = load_keras()
    config = network.get_config()
    described = _without_names(config, _numbers(config))
    if exactly:
        described = [described, _precisions(network)]
    return of_description("keras", keras.__version__, described)


def of_transformers(config: Any) -> str:
    """A network of transformers by its configuration, wherever it was loaded from."""
    return of_description("transformers", version("transformers"), _without_places(config.to_dict()))


def of_description(library: str, version: str, description: Any) -> str:
    """A description in JSON types, as one version of a library writes it."""
    return f"{library} {version} {digests.of_json(description)}"


def differ(one: Any, other: Any) -> bool:
    """Whether two architectures are known to differ: the versions of one library do not describe a network alike."""
    if not (isinstance(one, str) and isinstance(other, str)):
        return False
    return one != other and one.rsplit(" ", 1)[0] == other.rsplit(" ", 1)[0]


def _without_places(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_places(inner) for key, inner in value.items() if key not in _OF_PLACE}
    return value if isinstance(value, str | int | float | bool | list | None) else str(value)


def _precisions(network: Any) -> list[Any]:
    return [_precisions(one) if hasattr(one, "layers") else str(one.dtype_policy.name) for one in network.layers]


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
