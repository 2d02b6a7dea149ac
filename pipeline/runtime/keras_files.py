"""Files of Keras that may come from a stranger: networks (``.keras``), and weights alone (``.h5``).

Keras makes whatever a network's description names, even in its safe mode: the name of one of its functions is enough to fetch
files from the net. So the description is read first, and Keras gets it only if all its objects do nothing but compute. Neither a
file nor its metadata can make Keras take more memory or disk space than the file has bytes: archives and HDF5 can both claim
far more.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO
from zipfile import ZipFile

from pipeline.runtime import hdf5
from pipeline.runtime.frameworks import load_keras
from pipeline.runtime.hdf5 import Unfit as Unfit
from store import arrays, spill
from store.errors import ColdframeError
from store.memory import memory_bytes
from store.worker import Died, TookTooLong, Worker

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = {"metadata.json", CONFIG, WEIGHTS}
# Endings of names; the last for the earlier layout of weights.
NETWORK, OF_WEIGHTS, EARLIER = ".keras", ".weights.h5", ".h5"
MOST_CONFIG = arrays.MOST_DIRECTORY  # bytes: four times the largest network of Keras Applications
NAMES_MEMORY = 2 << 30  # address space for looking through an HDF5 file, including Python and the library
NAMES_SECONDS = 60.0

# What a description may name, by module. Layers: those that only compute from their inputs and weights. Left out: Lambda and
# wrappers of other frameworks, which run code; lookup layers, which read files; and layers around layers.
KNOWN: dict[str, frozenset[str]] = {
    module: frozenset(names.split())
    for module, names in {
        "keras": "DTypePolicy Sequential",
        "keras.src.models.functional": "Functional",
        "keras.layers": """
            Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D
            AveragePooling2D AveragePooling3D BatchNormalization CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D
            Conv2DTranspose Conv3D Conv3DTranspose Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot
            Dropout ELU EinsumDense Embedding Flatten GaussianDropout GaussianNoise GlobalAveragePooling1D
            GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
            GroupNormalization GroupQueryAttention Identity InputLayer LayerNormalization LeakyReLU MaxPooling1D MaxPooling2D
            MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization
            RandomBrightness RandomContrast RandomCrop RandomFlip RandomRotation RandomTranslation RandomZoom ReLU
            RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D Softmax SpatialDropout1D SpatialDropout2D
            SpatialDropout3D Subtract UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D
            ZeroPadding3D
        """,
        "keras.initializers": """
            Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones
            Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
        """,
        "keras.regularizers": "L1 L1L2 L2 OrthogonalRegularizer",
        "keras.constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm",
        # operations, for the preparation of pictures in Keras Applications
        "keras.src.ops.core": "Cast",
        "keras.src.ops.numpy": "Add Divide GetItem Multiply Stack Subtract TrueDivide",
        "keras.src.applications.convnext": "LayerScale",
        "keras.src.applications.inception_resnet_v2": "CustomScaleLayer",
    }.items()
}
# Plain values written as an object. Left out: __lambda__, which is code, __bytes__ and __typespec__.
VALUES = {"__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__"}

_counting = threading.Lock()  # for counting the weights of layers, one network at a time


def layout(file: str | Path) -> str:
    """How Keras reads a file, by its name: one file may be read in several ways, each of which gives other weights.

    The name is that of the path that is opened, in which a text's last ``/`` or ``/.`` does not count.
    """
    name = Path(file).name
    return next((one for one in (NETWORK, OF_WEIGHTS) if name.endswith(one)), EARLIER)


def load_network(file: BinaryIO) -> Any:
    """The network in a ``.keras`` file as a ``keras.Model``, not compiled.

    Raises:
        Unfit: the file is not a network, names something that does more than compute, or claims more than it has.
        ColdframeError: there is no space to unpack it.
        Exception: Keras cannot make a network from it; the kinds are Keras' own.
    """
    keras = load_keras()
    check_size(file)
    with _archive(file) as members:
        config = _config(members)
        with members.open(WEIGHTS) as weights, _private(weights, WEIGHTS) as path, _strict():
            with _no_more_weights_than(keras, _count_values(path)):
                network = keras.saving.deserialize_keras_object(config, safe_mode=True)
            if not isinstance(network, keras.Model):
                raise Unfit("it describes no network")
            network.load_weights(path)
    return network


def load_weights(network: Any, file: BinaryIO, name: str) -> None:
    """Load the weights in a ``.h5`` file into a network.

    Args:
        name: the file's name, of which Keras goes by the :func:`layout`.

    Raises:
        Unfit: the file claims more than it has.
        ColdframeError: there is no space for a copy.
        Exception: it holds no such weights; the kinds are Keras' own.
    """
    check_size(file)
    is_earlier = layout(name) != OF_WEIGHTS
    with _private(file, "model.h5" if is_earlier else WEIGHTS) as path, _strict():
        _count_values(path, has_lists=is_earlier)
        network.load_weights(path)


def check_size(file: BinaryIO) -> None:
    """Raises:
    Unfit: a file, which may have holes, is larger than the machine's memory.
    """
    size = file.seek(0, 2)
    file.seek(0)
    if size > memory_bytes():
        raise Unfit(f"its {size} bytes are more than this machine can hold in memory")


def _archive(file: BinaryIO) -> ZipFile:
    try:
        return arrays.archive(file)
    except arrays.Malformed as error:
        raise Unfit(str(error)) from error


def _config(members: ZipFile) -> Any:
    """The description of a network, after :func:`_look_through`."""
    names = set(members.namelist())
    for strange in sorted(names ^ MEMBERS):
        what = "it holds" if strange in names else "it lacks"
        raise Unfit(f"{what} {strange[:100]!r}, and Keras writes {', '.join(sorted(MEMBERS))}")
    if members.getinfo(CONFIG).file_size > MOST_CONFIG:
        raise Unfit(f"its {CONFIG} is larger than {MOST_CONFIG} bytes")
    try:
        config = json.loads(members.read(CONFIG))
    except RecursionError:
        raise Unfit(f"its {CONFIG} is nested too deep") from None
    _look_through(config)
    return config


def _look_through(config: Any) -> None:
    """Check that a description names only what computes. Take out how to train it, which is not used, and the recorded inputs of
    its layers, which may be false.

    Raises:
        Unfit: it names something else.
    """
    rest = [config]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            if "class_name" in one:
                _check_object(one)
                for told in ("compile_config", "build_config"):  # layers are built by their actual inputs
                    one.pop(told, None)
            rest += one.values()
        elif isinstance(one, list):
            rest += one


def _check_object(given: dict[str, Any]) -> None:
    """Raises:
    Unfit: an object of a description is not one of those that only compute.
    """
    kind, module = given["class_name"], given.get("module")
    if isinstance(kind, str) and kind in VALUES and given.keys() <= {"class_name", "config"}:
        return
    if isinstance(kind, str) and isinstance(module, str) and kind in KNOWN.get(module, ()):
        # under it, Keras would look for an object that a program has registered
        if given.get("registered_name") in (None, kind):
            return
        kind = given["registered_name"]
    name = given.get("config") if kind == "function" else kind
    what = ".".join(map(_brief, (name,) if module is None else (module, name)))
    raise Unfit(f"it names {what}, and only layers that do no more than compute are taken")


def _brief(given: Any) -> str:
    text = given if isinstance(given, str) and given.isprintable() else ascii(given)
    return text if len(text) <= 60 else f"{text[:60]}…"


@contextmanager
def _private(file: IO[bytes], name: str) -> Iterator[Path]:
    """A copy of a file in a folder that only this user may enter; it is removed afterwards, or with the process."""
    place = spill.new()
    try:
        path = Path(place, name)
        try:
            if not place:
                raise OSError("no folder can be made")
            Path(place).mkdir(mode=0o700)
            with path.open("xb") as copy:
                shutil.copyfileobj(file, copy, 1 << 20)
        except OSError as error:
            raise ColdframeError(
                f"the weights of a network cannot be unpacked ({error.strerror or error}): make room in the temporary folder, or "
                "name another in TMPDIR"
            ) from error
        yield path
    finally:
        spill.remove(place)


@contextmanager
def _strict() -> Iterator[None]:
    """Let no layer keep random weights: Keras only warns of weights that a file lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*freshly-initialized")
        yield


@contextmanager
def _no_more_weights_than(keras: Any, count: int) -> Iterator[None]:
    """Limit the weights of layers made by this thread to ``count``: more would be random, and could take any memory."""
    layer, owner, left = keras.layers.Layer, threading.get_ident(), count

    def add_weight(self: Any, shape: Any = None, *given: Any, **more: Any) -> Any:
        nonlocal left
        if threading.get_ident() == owner:
            left -= math.prod(shape or ())
            if left < 0:
                raise Unfit(f"its layers have more weights than the {count} numbers that it holds")
        return made(self, shape, *given, **more)

    with _counting:
        made = layer.add_weight
        layer.add_weight = add_weight
        try:
            yield
        finally:
            layer.add_weight = made


def _count_values(path: Path, *, has_lists: bool = False) -> int:
    """:func:`hdf5.count_values` in a separate process: whatever else HDF5 unfolds there has a limit.

    Raises:
        Unfit: as there, or looking through the file takes too much memory or time.
    """
    with Worker(memory=NAMES_MEMORY) as process:
        try:
            count: int = process.call(partial(hdf5.count_values, has_lists=has_lists), path, seconds=NAMES_SECONDS)
        except (TookTooLong, Died, MemoryError, OSError):
            raise Unfit("the names in it cannot be read, or take more memory or time than they may") from None
    return count
