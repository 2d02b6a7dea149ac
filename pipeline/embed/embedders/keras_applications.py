"""The networks of Keras Applications without their top, with average pooling over the picture."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.embed import architecture
from pipeline.embed.embedders import Embedder, FloatArray, Options, Run, weights_digest
from pipeline.ingest.decoding import resize
from pipeline.runtime import keras_files, openvino, quiet
from pipeline.runtime.frameworks import choose_device, frozen_graph, keras_backend, load_keras, set_seed
from store import opening
from store.errors import ColdframeError

# name: (module of keras.applications, class, its own side in pixels)
NETWORKS = {
    "convnext-base": ("convnext", "ConvNeXtBase", 224),
    "convnext-large": ("convnext", "ConvNeXtLarge", 224),
    "convnext-small": ("convnext", "ConvNeXtSmall", 224),
    "convnext-tiny": ("convnext", "ConvNeXtTiny", 224),
    "convnext-xlarge": ("convnext", "ConvNeXtXLarge", 224),
    "densenet-121": ("densenet", "DenseNet121", 224),
    "densenet-169": ("densenet", "DenseNet169", 224),
    "densenet-201": ("densenet", "DenseNet201", 224),
    "efficientnet-b0": ("efficientnet", "EfficientNetB0", 224),
    "efficientnet-b1": ("efficientnet", "EfficientNetB1", 240),
    "efficientnet-b2": ("efficientnet", "EfficientNetB2", 260),
    "efficientnet-b3": ("efficientnet", "EfficientNetB3", 300),
    "efficientnet-b4": ("efficientnet", "EfficientNetB4", 380),
    "efficientnet-b5": ("efficientnet", "EfficientNetB5", 456),
    "efficientnet-b6": ("efficientnet", "EfficientNetB6", 528),
    "efficientnet-b7": ("efficientnet", "EfficientNetB7", 600),
    "efficientnet-v2-b0": ("efficientnet_v2", "EfficientNetV2B0", 224),
    "efficientnet-v2-b1": ("efficientnet_v2", "EfficientNetV2B1", 240),
    "efficientnet-v2-b2": ("efficientnet_v2", "EfficientNetV2B2", 260),
    "efficientnet-v2-b3": ("efficientnet_v2", "EfficientNetV2B3", 300),
    "efficientnet-v2-l": ("efficientnet_v2", "EfficientNetV2L", 480),
    "efficientnet-v2-m": ("efficientnet_v2", "EfficientNetV2M", 480),
    "efficientnet-v2-s": ("efficientnet_v2", "EfficientNetV2S", 384),
    "inception-resnet-v2": ("inception_resnet_v2", "InceptionResNetV2", 299),
    "inception-v3": ("inception_v3", "InceptionV3", 299),
    "mobilenet": ("mobilenet", "MobileNet", 224),
    "mobilenet-v2": ("mobilenet_v2", "MobileNetV2", 224),
    "mobilenet-v3-large": ("mobilenet_v3", "MobileNetV3Large", 224),
    "mobilenet-v3-small": ("mobilenet_v3", "MobileNetV3Small", 224),
    "nasnet-large": ("nasnet", "NASNetLarge", 331),
    "nasnet-mobile": ("nasnet", "NASNetMobile", 224),
    "resnet-101": ("resnet", "ResNet101", 224),
    "resnet-101-v2": ("resnet_v2", "ResNet101V2", 224),
    "resnet-152": ("resnet", "ResNet152", 224),
    "resnet-152-v2": ("resnet_v2", "ResNet152V2", 224),
    "resnet-50": ("resnet", "ResNet50", 224),
    "resnet-50-v2": ("resnet_v2", "ResNet50V2", 224),
    "vgg-16": ("vgg16", "VGG16", 224),
    "vgg-19": ("vgg19", "VGG19", 224),
    "xception": ("xception", "Xception", 299),
}
NAMES = tuple(NETWORKS)
IMAGENET_CLASSES = 1000
OWN = ("imagenet", "random")  # names of weights that are not files
BACKENDS = tuple(dict.fromkeys((keras_backend(), "tensorflow", "torch", openvino.NAME)))


class KerasApplication(Embedder):
    """A frozen backbone: it takes raw 0-255 RGB and gives the global average of its last feature map.

    ``run`` takes a batch from :meth:`prepare`; ``facts`` are the ``dimensions``, the digest of the ``weights`` and the
    ``architecture``.
    """

    def __init__(self, run: Run, size: tuple[int, int], facts: dict[str, Any], *, backend: str, precision: str) -> None:
        self._run, self._size = run, size
        self.dimensions, self.architecture = facts["dimensions"], facts["architecture"]
        self.settings = {
            "size": list(size),
            "weights": facts["weights"],
            "backend": backend,
            "precision": precision,
        }

    def prepare(self, image: Image.Image) -> npt.NDArray[Any]:
        """The picture at the network's size, uint8 (height, width, 3)."""
        return np.asarray(resize(image, *self._size))

    def forward(self, batch: npt.NDArray[Any]) -> FloatArray:
        """Run pictures through the network's own preprocessing, then the network, in inference."""
        return self._run(batch)


def load(name: str, options: Options) -> Embedder:
    """Weights: ``imagenet`` (the default, from Keras), a local ``.h5`` or ``.keras`` file, or ``random``."""
    side = NETWORKS[name][2]
    size = options.size or (side, side)
    weights = options.weights or "imagenet"
    openvino.check_precision(options.precision)
    if options.backend == openvino.NAME:
        to_convert = partial(_to_convert, name, weights, size, options.seed, options.fetch)
        known = _source(name, weights, options.fetch)
        source = {"weights": known, "seed": options.seed, "name": name, "keras": version("keras")}
        found = openvino.converted(to_convert, source=source, kind=[name, size])
        precision = options.precision or openvino.best_precision()
        run = found.network(precision)
        return KerasApplication(run, size, found.facts, backend=openvino.NAME, precision=precision)
    keras = load_keras(options.backend)
    device = choose_device(keras, options.device)
    precision = options.precision or ("bfloat16" if device == "gpu" else "float32")
    # a .keras file says of each of its layers in which precision it computes
    in_bfloat16 = precision == "bfloat16" and keras_files.layout(weights) != keras_files.NETWORK
    keras.config.set_dtype_policy("mixed_bfloat16" if in_bfloat16 else "float32")
    if keras.backend.backend() == "torch":  # under a device, torch cannot build layers with whole numbers
        network = backbone(name, weights=weights, size=size, seed=options.seed, follow=options.fetch)
        network.to("cuda" if device == "gpu" else "cpu")
    else:
        with keras.device(f"{device}:0"):
            network = backbone(name, weights=weights, size=size, seed=options.seed, follow=options.fetch)
    preprocess = preprocessing(name)

    def run_keras(batch: npt.NDArray[Any]) -> FloatArray:
        try:
            with keras.device(f"{device}:0"):
                return np.asarray(network.predict_on_batch(preprocess(batch.astype(np.float32))), np.float32)
        except (TypeError, ValueError, NotImplementedError) as error:  # a file may describe what no backend can compute
            raise ColdframeError(
                f"{name}: the network of {weights} cannot compute pictures ({_short(error)}): give other --weights"
            ) from error

    if any(layer.compute_dtype == "bfloat16" for layer in network.layers):
        precision = "bfloat16"
    return KerasApplication(run_keras, size, _facts(network), backend=keras.backend.backend(), precision=precision)


def preprocessing(name: str) -> Any:
    """The Keras function that scales pictures for a network."""
    return importlib.import_module(f"keras.applications.{NETWORKS[name][0]}").preprocess_input


def _facts(network: Any) -> dict[str, Any]:
    return {
        "dimensions": int(network.outputs[0].shape[-1]),
        "weights": weights_digest(network.get_weights()),
        "architecture": architecture.of_keras(network),
    }


def _source(name: str, weights: str, follow: bool) -> str:
    """What identifies the weights before they are loaded: a file's bytes and how it is read, or one of Keras' own words."""
    if weights in OWN:
        return weights
    with _opened(name, Path(weights), follow) as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()}{keras_files.layout(weights)}"


def _to_convert(
    name: str, weights: str, size: tuple[int, int], seed: int, follow: bool
) -> tuple[dict[str, Any], Callable[[], Any]]:
    """The facts that :class:`KerasApplication` needs, and what converts the network for OpenVINO, uint8 pictures in."""
    load_keras("tensorflow")
    import tensorflow as tf

    ov = quiet.load(openvino.NAME)
    network = backbone(name, weights=weights, size=size, seed=seed, follow=follow)
    preprocess = preprocessing(name)

    def forward(pictures: Any, training: bool) -> Any:
        return network(preprocess(tf.cast(pictures, tf.float32)), training=training)

    facts = _facts(network) | {"exactly": architecture.of_keras(network, exactly=True)}
    if keras_files.layout(weights) == keras_files.NETWORK:  # whose description may say more than Keras tells of it
        facts["file"] = _source(name, weights, follow)
    return facts, lambda: ov.convert_model(frozen_graph(forward, (*size, 3)).graph)


def backbone(name: str, *, weights: str, size: tuple[int, int], seed: int = 0, follow: bool = True) -> Any:
    """The network as a ``keras.Model`` from (height, width, 3) to one vector per picture.

    Args:
        follow: whether ``weights`` may be a link to a file.

    Raises:
        ColdframeError: the weights are not available or are not this network's.
    """
    shape = {"include_top": False, "pooling": "avg", "input_shape": (*size, 3)}
    return _network(name, weights, shape, seed=seed, follow=follow)


def classifier(name: str, *, weights: str) -> Any:
    """The network with its 1000-class top, as a ``keras.Model`` from pictures to one number a class.

    Args:
        weights: ``imagenet``, or a file that a person named.

    Raises:
        ColdframeError: the weights are not available, or are not this network's with such a top.
    """
    if weights == "random":
        raise ColdframeError(
            f"{name}: random weights know no classes; expected a local .h5 or .keras file, or 'imagenet'"
        )
    network = _network(name, weights, {"include_top": True})
    classes = network.outputs[0].shape[-1]
    if classes != IMAGENET_CLASSES:
        raise ColdframeError(
            f"{name}: {weights} gives {classes} numbers a picture, expected {IMAGENET_CLASSES}, one for each class of ImageNet"
        )
    return network


def _network(name: str, weights: str, shape: dict[str, Any], *, seed: int = 0, follow: bool = True) -> Any:
    """The network that Keras makes with the arguments ``shape``, with its weights."""
    keras = load_keras()

    make = getattr(keras.applications, NETWORKS[name][1])

    def build(**given: Any) -> Any:
        try:
            return make(**given)
        except ValueError as error:  # mostly: the size is too small for it
            size = "x".join(map(str, shape.get("input_shape", ())[:2])) or "its own size"
            raise ColdframeError(f"{name}: it cannot be built for pictures of {size} ({_short(error)})") from error

    if weights == "random":
        set_seed(keras, seed)
        return build(weights=None, **shape)
    if weights == "imagenet":
        try:
            with contextlib.redirect_stdout(sys.stderr):  # Keras shows a download's progress on stdout
                return build(weights="imagenet", **shape)
        except ColdframeError:
            raise
        except Exception as error:  # Keras raises a bare Exception for a failed download
            raise ColdframeError(
                f"{name}: its ImageNet weights are not available from Keras Applications ({_short(error)}). Give a local copy: "
                f"--weights FILE, a .weights.h5 or .h5 of {_written(name, shape)}, or a .keras file of the model"
            ) from error
    with _opened(name, Path(weights), follow) as file:
        return _from_file(name, Path(weights), file, build, shape)


def _written(name: str, shape: dict[str, Any]) -> str:
    return f"{NETWORKS[name][1]}(include_top={shape['include_top']})"


def _opened(name: str, file: Path, follow: bool) -> BufferedReader:
    """Open a file of weights.

    Raises:
        ColdframeError: the file does not exist, is not regular, or is larger than the machine can hold.
    """
    found = ""
    if not follow and not file.is_absolute():
        found = " (only the store names them, and not by a full path)"
    elif file.suffix in (keras_files.EARLIER, keras_files.NETWORK):
        try:
            opened = opening.open_regular(file, follow=follow)
            keras_files.check_size(opened)
            return opened
        except (OSError, ValueError) as error:
            if not isinstance(error, FileNotFoundError):
                found = f" ({getattr(error, 'strerror', None) or error})"
    raise ColdframeError(
        f"{name}: no weights at {str(file)!r}{found}; expected a local .h5 or .keras file, 'imagenet' (from Keras Applications) "
        "or 'random'"
    )


def _from_file(name: str, file: Path, opened: BinaryIO, build: Any, shape: dict[str, Any]) -> Any:
    """The network from an open file, or built and given the weights in the file."""
    try:
        if keras_files.layout(file) == keras_files.NETWORK:
            network = keras_files.load_network(opened)
        else:
            network = build(weights=None, **shape)
            keras_files.load_weights(network, opened, file.name)
    except ColdframeError:
        raise
    except Exception as error:  # h5py, zipfile and Keras raise many kinds for a wrong file
        raise ColdframeError(
            f"{name}: {file} does not hold weights of this network {'with' if shape['include_top'] else 'without'} its top "
            f"({_short(error)}): expected those of {_written(name, shape)}"
        ) from error
    if len(network.inputs) != 1:
        raise ColdframeError(f"{name}: {file} takes {len(network.inputs)} inputs, expected one, the pictures")
    given = tuple(network.inputs[0].shape[1:])
    if given != shape.get("input_shape", given) and None not in given[:2]:
        raise ColdframeError(
            f"{name}: {file} takes pictures of {given[:2]}, asked for {shape['input_shape'][:2]}: "
            "give that size with --size HxW"
        )
    shapes = [tuple(one.shape[1:]) for one in network.outputs]
    by_name = isinstance(getattr(network, "_outputs_struct", None), dict)
    if by_name or len(shapes) != 1 or len(shapes[0]) != 1 or not shapes[0][0]:
        raise ColdframeError(
            f"{name}: {file} gives outputs of shape {', '.join(map(str, shapes))}"
            f"{' by name' if by_name else ''}, expected one vector a picture, of a known length "
            "(pooling='avg')"
        )
    return network


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
