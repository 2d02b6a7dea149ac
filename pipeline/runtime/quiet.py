"""Quiet: libraries that send figures about their use, or leave files behind, are told not to before they are imported.

This is the only place that knows how. Off means off: a variable that says otherwise is overruled. What a person asks for, such
as weights from a hub, is fetched all the same.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

# What switches each library off; they read it when they are imported, and children of this process as well.
SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime: a device id in the cache folder and events to Microsoft
    "HF_HUB_DISABLE_TELEMETRY": "1",  # the Hugging Face hub and its hf_xet: what runs here, how fast files came
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # transformers: asks a service to convert the repository it loads from
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
}
# Beside those in processes that are all ours.
OWN_SWITCHES = {"DO_NOT_TRACK": "1", "DISABLE_TELEMETRY": "1"}
# torch makes a folder for what it compiles as soon as it is imported, in a place that others may know. We compile nothing: a
# folder that is there, and that nobody writes to who may not change the code, will do.
COMPILED = "TORCHINDUCTOR_CACHE_DIR"

# What only :func:`load` may import.
LIBRARIES = (
    "huggingface_hub",
    "keras",
    "keras_tuner",
    "onnxruntime",
    "openvino",
    "tf2onnx",
    "tokenizers",
    "transformers",
)


def own_process() -> None:
    """Switch everything off in a process of ours, and in all that it starts."""
    os.environ.update(SWITCHES | OWN_SWITCHES)
    os.environ.setdefault(COMPILED, _there())


def load(name: str, *parts: str) -> Any:
    """One of :data:`LIBRARIES`, imported so that it sends nothing and leaves nothing behind.

    Args:
        parts: what is to be used of one that imports only what it is asked for.

    Raises:
        ImportError: it is not installed.
    """
    if name not in LIBRARIES:
        raise ValueError(f"{name}: not one of {', '.join(LIBRARIES)}")
    os.environ.update(SWITCHES)
    guard, then = _WHILE.get(name), _AFTER.get(name)
    with guard() if guard else nullcontext(), _nothing_compiled():
        library = importlib.import_module(name)
        for part in parts:
            getattr(library, part)
    if then:
        then(library)
    return library


def _there() -> str:
    return str(Path(__file__).resolve().parent)


@contextmanager
def _nothing_compiled() -> Iterator[None]:
    """Keep torch, which several of these import, from making its folder; what it makes later is not ours to decide."""
    given = os.environ.get(COMPILED)
    if given is None:
        os.environ[COMPILED] = _there()
    try:
        yield
    finally:
        if given is None:
            os.environ.pop(COMPILED, None)


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Let OpenVINO find no ``openvino_telemetry``: it has a stub for that."""
    theirs = sys.modules.get("openvino_telemetry")  # in a process of somebody else's
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if theirs is not None:
            sys.modules["openvino_telemetry"] = theirs


def _stub_telemetry(openvino: ModuleType) -> None:
    """Give the stub to those modules of OpenVINO that were imported with the real one before."""
    stub = importlib.import_module("openvino.tools.ovc.telemetry_stub")
    for name, module in list(sys.modules.items()):
        if name.startswith("openvino.") and getattr(module, "tm", stub) is not stub:
            vars(module)["tm"] = stub


@contextmanager
def _without_settings_file() -> Iterator[None]:
    """Keep Keras from writing its defaults to a settings file in the home folder, where there is none.

    Keras writes it beside the weights that it downloads, in the folder that ``KERAS_HOME`` names; those go where they went.
    """
    given = os.environ.get("KERAS_HOME")
    home = os.path.expanduser("~/.keras") if given is None else given
    if "keras" in sys.modules or Path(os.path.expanduser(home), "keras.json").exists():
        yield
        return
    os.environ["KERAS_HOME"] = os.devnull  # which is there, and in which no file can be made
    try:
        yield
    finally:
        if given is None:
            os.environ.pop("KERAS_HOME", None)
        else:
            os.environ["KERAS_HOME"] = given
        config = sys.modules.get("keras.src.backend.config")
        if config is not None:
            vars(config)["_KERAS_DIR"] = home


def _silence_hub(library: ModuleType) -> None:
    """The switch as a constant, for a process that imported the hub before."""
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        vars(constants)["HF_HUB_DISABLE_TELEMETRY"] = True


def _silence_runtime(onnxruntime: ModuleType) -> None:
    disable = getattr(onnxruntime, "disable_telemetry_events", None)
    if disable is not None:
        disable()


_WHILE: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "openvino": _without_telemetry,
    "keras": _without_settings_file,
    "keras_tuner": _without_settings_file,
}
_AFTER: dict[str, Callable[[ModuleType], None]] = {
    "openvino": _stub_telemetry,
    "huggingface_hub": _silence_hub,
    "transformers": _silence_hub,
    "onnxruntime": _silence_runtime,
}
