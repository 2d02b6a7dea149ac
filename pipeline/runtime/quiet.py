"""Quiet: turn off telemetry and leftover files of libraries before they are imported.

This is the only place that knows how. Off means off: a variable that says otherwise is overruled. What the user asks for, such
as weights from a hub, is still fetched.
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

# What switches each library off. They read it when imported, and so do child processes.
SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime: a device id in the cache folder, and events to Microsoft
    "HF_HUB_DISABLE_TELEMETRY": "1",  # the Hugging Face hub and its hf_xet: what runs here, how fast files came
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # transformers: asks a service to convert the repository it loads from
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "USE_HUB_KERNELS": "NO",  # transformers: fetches code for some layers
}
# More switches for processes that are entirely ours.
OWN_SWITCHES = {"DO_NOT_TRACK": "1", "DISABLE_TELEMETRY": "1"}
# On import, torch makes a folder for what it compiles, in a place that others may know. We compile nothing, so any existing
# folder will do, if only those who may change the code can write to it.
COMPILED = "TORCHINDUCTOR_CACHE_DIR"
LIBRARY_PATH = "LD_LIBRARY_PATH"  # of the folders in which a process looks for libraries

# Only :func:`load` may import these.
LIBRARIES = (
    "cv2",
    "faiss",
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
    """Import one of :data:`LIBRARIES` so that it sends nothing and leaves nothing behind.

    Args:
        parts: the parts to use, for a library that imports only what it is asked for.

    Raises:
        ImportError: the library is not installed.
    """
    if name not in LIBRARIES:
        raise ValueError(f"{name}: not one of {', '.join(LIBRARIES)}")
    os.environ.update(SWITCHES)
    guard, then = _WHILE.get(name), _AFTER.get(name)
    with guard() if guard else nullcontext(), _nothing_compiled(), _same_library_path():
        library = importlib.import_module(name)
        for part in parts:
            getattr(library, part)
    if then:
        then(library)
    return library


@contextmanager
def _same_library_path() -> Iterator[None]:
    """Keep OpenCV, which Keras imports too, from changing where child processes look for libraries: its change ends in a colon,
    which means the working folder as well."""
    given = os.environ.get(LIBRARY_PATH)
    try:
        yield
    finally:
        if given is not None:
            os.environ[LIBRARY_PATH] = given
        else:
            os.environ.pop(LIBRARY_PATH, None)


def _there() -> str:
    return str(Path(__file__).resolve().parent)


@contextmanager
def _nothing_compiled() -> Iterator[None]:
    """Keep torch, which several of these libraries import, from making its folder; what it makes later is not our concern."""
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
    """Hide ``openvino_telemetry`` from OpenVINO, which has a stub for that case."""
    theirs = sys.modules.get("openvino_telemetry")  # in a process that is not ours
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if theirs is not None:
            sys.modules["openvino_telemetry"] = theirs


def _stub_telemetry(openvino: ModuleType) -> None:
    """Give the stub to those modules of OpenVINO that were imported with the real one."""
    stub = importlib.import_module("openvino.tools.ovc.telemetry_stub")
    for name, module in list(sys.modules.items()):
        if name.startswith("openvino.") and getattr(module, "tm", stub) is not stub:
            vars(module)["tm"] = stub


@contextmanager
def _without_settings_file() -> Iterator[None]:
    """Keep Keras from its settings file in the home folder: from writing it, and from reading what another program set there.

    With channels first networks cannot be built, and with another ``floatx`` vectors are others. The file lies beside downloaded
    weights, in the folder that ``KERAS_HOME`` names; the weights still go where they went.
    """
    given = os.environ.get("KERAS_HOME")
    home = os.path.expanduser("~/.keras") if given is None else given
    if "keras" in sys.modules:
        yield
        return
    os.environ["KERAS_HOME"] = os.devnull  # it exists, and no file can be made in it
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
    """Set the switch as a constant, for a process that imported the hub before."""
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
