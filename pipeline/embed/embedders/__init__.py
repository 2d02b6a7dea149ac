"""Embedders: one file each, named as on the command line with underscores for hyphens.

A file defines ``load(name, options)``, which returns an :class:`Embedder`. If it serves several networks, ``NAMES`` lists
their names. If several backends can compute it, ``BACKENDS`` lists them, the reference first. Frameworks are imported inside
``load``, never at the top: listing embedders must stay quick.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.embed import allowed, architecture
from pipeline.runtime import openvino
from pipeline.runtime.frameworks import torch_gpu_installed
from pipeline.steps.settings import LARGEST_SEED, is_size
from store.errors import ColdframeError
from store.memory import memory_bytes

BYTES_A_PIXEL = 12  # three colours as float32
LEAST_SIDE = 64  # in pixels, of a picture to be turned: a coarser grid loses too much of it

FloatArray = npt.NDArray[np.float32]
Run = Callable[[npt.NDArray[Any]], FloatArray]


@dataclass(frozen=True)
class Options:
    """What the user may ask of an embedder.

    ``weights``: a hub name, a local folder, a local file, ``random``, or None for the embedder's own default.
    ``size``: (height, width) in pixels, or None for the network's own. ``seed``: for random weights. ``backend``: one of the
    embedder's, or None for its reference, the framework it comes from. ``precision``: ``float32``, ``bfloat16``, or None for what
    suits the machine. ``device``: ``auto``, ``cpu`` or ``gpu``. ``fetch``: whether ``weights`` may be fetched, and a link to them
    followed, because a person named them.
    """

    weights: str | None = None
    size: tuple[int, int] | None = None
    seed: int = 0
    backend: str | None = None
    precision: str | None = None
    device: str = "cpu"
    fetch: bool = True

    def to_json(self) -> dict[str, Any]:
        """The options as the store remembers them: which network it is, not what computes it."""
        return {"weights": self.weights, "size": self.size, "seed": self.seed}

    @classmethod
    def from_json(cls, source: dict[str, Any]) -> Options:
        """The options from what the store remembers. The store may be a stranger's: weights that only it names are never fetched.

        Raises:
            ColdframeError: this is not what a store remembers, or the recipe that may name the weights cannot be read.
        """
        weights, size, seed = source.get("weights"), source.get("size"), source.get("seed", 0)
        if not (weights is None or isinstance(weights, str)) or type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
            raise ColdframeError(
                f"the store names weights {weights!r} with the seed {seed!r}: expected a name and a number"
            )
        if size and not is_size(list(size) if isinstance(size, tuple) else size):
            raise ColdframeError(f"the store names pictures of size {size!r}: expected height and width in pixels")
        return cls(
            weights,
            (size[0], size[1]) if size else None,
            seed,
            fetch=weights is None or allowed.is_named(weights),
        )


class Embedder(ABC):
    """Turns pictures into vectors. A subclass defines how a picture becomes an input, and a batch of inputs becomes vectors.

    Attributes:
        dimensions: length of a vector.
        batch: pictures per call of the network. This is always exact: the last batch is padded.
        settings: what the vectors depend on (JSON types): weights digest, size, backend, precision, ….
        architecture: what the network computes besides its weights, as :mod:`pipeline.embed.architecture` writes it; empty if
            there is only one way.
    """

    dimensions: int
    batch: int = 32
    settings: dict[str, Any]
    architecture: str = ""

    @abstractmethod
    def prepare(self, image: Image.Image) -> npt.NDArray[Any]:
        """Convert one RGB picture to the array that the network takes. Called in several threads at once."""

    def working_size(self, image: Image.Image) -> tuple[int, int]:
        """Height and width at which a picture may be augmented without losing anything that :meth:`prepare` would show.

        By default, this is the network's size if ``settings`` have it, enlarged until each side is at least :data:`LEAST_SIDE`;
        otherwise it is the picture's own size.
        """
        size = self.settings.get("size")
        if not isinstance(size, list | tuple) or len(size) != 2:
            return image.height, image.width
        height, width = (int(side) * -(-LEAST_SIDE // int(side)) for side in size)
        return height, width

    @abstractmethod
    def forward(self, batch: npt.NDArray[Any]) -> FloatArray:
        """Vectors of shape (n, dimensions), float32, for ``n == self.batch`` prepared pictures."""

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> FloatArray:
        """Vectors of up to ``batch`` prepared pictures, shape (len(prepared), dimensions), float32.

        Raises:
            ColdframeError: the network gave vectors of another shape.
        """
        stacked = np.stack(prepared)
        missing = self.batch - len(stacked)
        if missing:
            stacked = np.concatenate([stacked, np.repeat(stacked[-1:], missing, axis=0)])
        vectors = np.asarray(self.forward(stacked), np.float32)[: len(prepared)]
        if vectors.shape != (len(prepared), self.dimensions):
            raise ColdframeError(
                f"the network gave vectors of shape {vectors.shape}, expected {(len(prepared), self.dimensions)}: "
                "are the weights those of another network?"
            )
        return vectors


def weights_digest(arrays: Iterable[npt.NDArray[Any]]) -> str:
    """Digest of a network's weights themselves: the same weights in another file have the same digest."""
    digest = hashlib.sha256()
    for array in arrays:
        if np.issubdtype(array.dtype, np.signedinteger):  # the backends of Keras choose different widths for these
            array = array.astype(np.int64)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


@functools.cache
def _modules() -> dict[str, ModuleType]:
    found: dict[str, ModuleType] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for name in getattr(module, "NAMES", (info.name.replace("_", "-"),)):
            if name in found:
                raise RuntimeError(f"two embedders are called {name}: {found[name].__name__} and {module.__name__}")
            found[name] = module
    return found


def backends(name: str) -> tuple[str, ...]:
    """The backends that can compute an embedder, its reference first.

    Raises:
        ColdframeError: no such embedder.
    """
    found: tuple[str, ...] = getattr(_module(name), "BACKENDS", ())
    return found


def choose_backend(name: str, asked: str, device: str, made_with: str | None) -> str | None:
    """The backend to embed with; None if an embedder has no choice.

    ``reference`` is the framework the network comes from. ``auto`` is the feature set's own backend if the set exists. Otherwise
    it is torch on a GPU, unless ``KERAS_BACKEND`` names another, and OpenVINO on a processor, if installed. ``device`` is
    ``auto``, ``cpu`` or ``gpu``.

    Raises:
        ColdframeError: the embedder has no such backend, or it is not installed, or it cannot use that device.
    """
    known = backends(name)
    if asked not in ("auto", "reference", *known):
        raise ColdframeError(f"--backend {asked}: {name} is computed by {' or '.join(known) or 'no backend at all'}")
    if not known:
        return None
    if asked == "reference":
        asked = known[0]
    if asked == "auto" and made_with in known:
        asked = made_with
    if asked == "auto":
        asked = known[0]
        if device == "gpu" or (device == "auto" and torch_gpu_installed()):
            if "torch" in known and "KERAS_BACKEND" not in os.environ:
                asked = "torch"
        elif openvino.NAME in known and openvino.installed():
            asked = openvino.NAME
    if asked == openvino.NAME:
        openvino.require()
        if device == "gpu":
            raise ColdframeError(
                f"--device gpu: the backend openvino computes on the processor; for a GPU choose --backend {known[0]} and, if "
                "the feature set was made with openvino, another name with --as NAME"
            )
    return asked


def names() -> list[str]:
    """The available embedders, as written on the command line."""
    return sorted(_modules())


def load(name: str, options: Options) -> Embedder:
    """Load an embedder with its weights.

    Raises:
        ColdframeError: there is no such embedder, or its weights are not available.
    """
    embedder: Embedder = _module(name).load(name, options)
    check_batch(embedder)
    return embedder


def check_batch(embedder: Embedder) -> None:
    """Check that a batch of pictures takes no more than an eighth of the memory, before the first is prepared.

    Raises:
        ColdframeError: it takes more.
    """
    size = embedder.settings.get("size")
    if isinstance(size, list | tuple) and len(size) == 2:
        taken, most = BYTES_A_PIXEL * int(size[0]) * int(size[1]) * embedder.batch, memory_bytes() // 8
        if taken > most:
            raise ColdframeError(
                f"pictures of {size[0]}x{size[1]}, {embedder.batch} at a time, take {taken / 1e9:.1f} GB, expected at most "
                f"{most / 1e9:.1f} GB: give a smaller --size or --batch"
            )


def text_side(
    name: str, source: dict[str, Any], weights: str, *, set_name: str, asker: str
) -> Callable[[Sequence[str]], FloatArray]:
    """A function from texts to unit-length features, shape (texts, dimensions), in the space of this embedder's feature set.

    Args:
        source: how to load the network, as a feature set remembers it, and its architecture.
        weights: the digest of the weights that the set was made with.
        set_name, asker: named in errors: the set, and what asks for its text side.

    Raises:
        ColdframeError: the network has no text side, or its weights are not those that the set was made with.
    """
    network = load(name, Options.from_json(source))
    embed_texts: Callable[[Sequence[str]], FloatArray] | None = getattr(network, "embed_texts", None)
    if embed_texts is None:
        raise ColdframeError(
            f"{asker}: the feature set {set_name!r} is of {name}, which reads no text; expected a CLIP set"
        )
    if network.settings["weights"] != weights or architecture.differ(source.get("architecture"), network.architecture):
        raise ColdframeError(
            f"{asker}: the weights at {source.get('weights') or 'the default place'} are not those that {set_name!r} was made "
            "with"
        )
    return embed_texts


def _module(name: str) -> ModuleType:
    if name not in _modules():
        raise ColdframeError(f"no embedder {name!r}; available: {', '.join(names())}")
    return _modules()[name]
