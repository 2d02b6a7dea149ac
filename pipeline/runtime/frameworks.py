"""Keras on a backend and a device, without the messages that backends print before they can be silenced."""

from __future__ import annotations

import functools
import importlib.util
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.runtime import quiet
from store.errors import ColdframeError


def load_keras(backend: str | None = None) -> Any:
    """The ``keras`` module on a backend; None means the one that ``KERAS_BACKEND`` names, or TensorFlow if it names none.

    Raises:
        ColdframeError: this process has already loaded Keras on another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if backend and "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend
    with _native_stderr_aside():
        keras = quiet.load("keras")
    if backend and keras.backend.backend() != backend:
        raise ColdframeError(f"this process runs Keras on {keras.backend.backend()}, it cannot change to {backend}")
    if keras.backend.backend() == "torch":
        _keep_from_tensorflow(keras)
    return keras


@functools.cache
def _keep_from_tensorflow(keras: Any) -> None:
    """Hide TensorFlow from Keras on torch, which would load it beside torch the first time it saves something."""
    if "tensorflow" in sys.modules:
        return
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # makes its import fail; Keras remembers that
    try:
        keras.saving.serialize_keras_object(np.zeros(1))
    finally:
        del sys.modules["tensorflow"]


def frozen_graph(network: Any, shape: Sequence[int]) -> Any:
    """A TensorFlow network in inference, as a graph with its weights inside, for converters. With a function that has variables,
    they take a minute instead of seconds.

    Args:
        network: takes pictures, uint8 (n, *shape), and can be called in a TensorFlow function.
        shape: (height, width, 3).
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # without autograph: TensorFlow would first write its rewritten Python code into files
    @tf.function(input_signature=[tf.TensorSpec([None, *shape], tf.uint8)], autograph=False)  # type: ignore[untyped-decorator]
    def forward(pictures: Any) -> Any:
        return network(pictures, training=False)

    return convert_variables_to_constants_v2(forward.get_concrete_function())


def set_seed(keras: Any, seed: int) -> None:
    """Seed everything that Keras draws from: the same weights and order each time."""
    if keras.backend.backend() != "torch":
        keras.utils.set_random_seed(seed)
        return
    import torch  # as Keras does, but Keras would load TensorFlow beside torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def keras_backend() -> str:
    """The backend that Keras uses unless told otherwise."""
    loaded = sys.modules.get("keras")
    return str(loaded.backend.backend()) if loaded else os.environ.get("KERAS_BACKEND", "tensorflow")


def choose_device(keras: Any, asked: str) -> str:
    """The device for a network, ``cpu`` or ``gpu``; ``asked`` may be ``auto``, which takes a GPU if there is one.

    Raises:
        ColdframeError: ``gpu`` was asked for and Keras sees none.
    """
    if asked == "cpu":
        return asked
    if _sees_gpu(keras):
        return "gpu"
    if asked == "gpu":
        raise ColdframeError(
            f"--device gpu: Keras on {keras.backend.backend()} sees none here; leave it out, or install one"
        )
    return "cpu"


def _sees_gpu(keras: Any) -> bool:
    if keras.backend.backend() == "torch":  # Keras lists no devices for torch
        import torch

        return bool(torch.cuda.is_available())
    return bool(keras.distribution.list_devices("gpu"))


def torch_gpu_installed() -> bool:
    """Whether there are a GPU driver and a torch that can use it. This does not load torch, which would take seconds."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    driver = any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd"))
    found = importlib.util.find_spec("torch")
    libraries = Path(found.origin or "").parent / "lib" if found else Path()
    return not hidden and driver and any((libraries / f"libtorch_{kind}.so").exists() for kind in ("cuda", "hip"))


@contextmanager
def _native_stderr_aside() -> Iterator[None]:
    """Hold back what C++ code writes to file descriptor 2; show it only if the block fails."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
