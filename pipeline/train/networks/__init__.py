"""Networks that learn from pixels: one file each, named as on the command line.

A file defines ``network(classes, size)``. It returns an uncompiled ``keras.Model`` from raw RGB of 0-255, shape (n, height,
width, 3), to class probabilities (n, classes). Everything else is here. Keras is imported inside the functions.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime import keras_files
from pipeline.runtime.frameworks import load_keras, set_seed
from pipeline.runtime.progress import Progress
from pipeline.steps.settings import LARGEST_COUNT, LARGEST_SEED, check, parse_size, setting, show_size
from pipeline.train import optimizers
from pipeline.train.loop import Diverged
from store import opening
from store.errors import ColdframeError

LEAST_SIDE = 16  # pixels: after four poolings, one is left
# The report's augmentation. A rotation is a share of a full turn, a zoom a share of the side.
ROTATION, ZOOM = 15 / 360, 0.10

Pixels = npt.NDArray[np.uint8]
Targets = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Settings:
    """How a network is trained. Classes are weighted by n / (classes · n of the class)."""

    size: tuple[int, int] = setting(
        (128, 128), "Height and width of the pictures in pixels.", metavar="HxW", parse=parse_size, show=show_size
    )
    optimizer: str = setting("adam", choices=optimizers.NAMES)
    learning_rate: float = setting(1e-3, above=0)
    batch: int = setting(32, least=1, most=LARGEST_COUNT)
    epochs: int = setting(20, least=1, most=LARGEST_COUNT)
    early_stopping: int = setting(3, least=0, most=LARGEST_COUNT)
    reduce_lr_factor: float = setting(0.1, above=0, below=1)
    reduce_lr_patience: int = setting(2, least=0, most=LARGEST_COUNT)
    class_weights: bool = setting(True)
    label_smoothing: float = setting(0.0, least=0, below=1)
    augmentation: bool = setting(True, "Mirror, turn (15 degrees) and zoom (10 %) each picture, anew in every epoch.")
    seed: int = setting(0, least=0, most=LARGEST_SEED)


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Attributes:
        file: the bytes of its ``.keras`` file, without augmentation and optimiser.
        parameters: how many weights it has.
        history: one value per epoch for ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy`` (the last two only with
            validation) and whatever else Keras logs. The losses are those minimised, including label smoothing.
    """

    file: bytes
    parameters: int
    history: dict[str, list[float]]


def names() -> list[str]:
    """The available networks, as written on the command line."""
    return sorted(info.name.replace("_", "-") for info in pkgutil.iter_modules(__path__))


def build(name: str, classes: int, size: tuple[int, int]) -> Any:
    """A network with random weights as an uncompiled ``keras.Model``.

    Raises:
        ColdframeError: there is no such network, or pictures are too small for it.
    """
    if name not in names():
        raise ColdframeError(f"no network {name!r}; available: {', '.join(names())}")
    if min(size) < LEAST_SIDE:
        raise ColdframeError(f"{name}: size {size[0]}x{size[1]}, expected at least {LEAST_SIDE} pixels a side")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").network(classes, size)


def fit(
    name: str,
    pictures: Pixels,
    targets: Targets,
    validation: tuple[Pixels, Targets] | None,
    classes: int,
    settings: Settings,
    quiet: bool = False,
) -> Fitted:
    """Train the network ``name`` from random weights.

    The validation loss, or the training loss without validation, stops training early and lowers the learning rate. The weights
    of the best epoch are kept. Equal seeds give equal results on the same machine.

    Args:
        name: one of :func:`names`.
        pictures: raw RGB, uint8 of shape (n, height, width, 3) at ``settings.size``; a memory map is read batch by batch.
        targets: the class of each, integers from 0 to ``classes`` - 1, shape (n,).
        validation: pictures and targets of the same kind, or None.
        classes: how many there are; a class without a picture is never predicted, but is no error.
        settings: how to train.
        quiet: no progress on stderr.

    Raises:
        ColdframeError: the network is unknown, settings are out of range, pictures or targets have another shape, fewer than two
            classes have pictures, or the loss is no longer finite.
    """
    check("train from scratch", settings)
    _check_rows("training", pictures, targets, classes, settings.size)
    if validation is not None:
        _check_rows("validation", *validation, classes, settings.size)
    _check_classes(name, targets)
    keras = load_keras()
    from sklearn.utils.class_weight import compute_sample_weight

    set_seed(keras, settings.seed)
    network = build(name, classes, settings.size)
    model = _compiled(keras, network, settings)
    weights = compute_sample_weight("balanced", targets) if settings.class_weights else np.ones(len(targets))
    batches = _batches(keras, pictures, targets, classes, settings.batch, weights, seed=settings.seed)
    with Progress(settings.epochs * len(batches), f"train {name}", quiet=quiet) as progress:
        history = model.fit(
            batches,
            validation_data=_batches(keras, *validation, classes, settings.batch) if validation is not None else None,
            epochs=settings.epochs,
            shuffle=False,
            callbacks=_callbacks(keras, settings, "loss" if validation is None else "val_loss", progress.advance),
            verbose=0,
        ).history
    weights_are_finite = all(np.isfinite(one).all() for one in network.get_weights())
    if not np.isfinite(history["loss"]).all() or not weights_are_finite:
        raise Diverged(
            f"training diverged (the loss or a weight is not finite): try a learning rate below {settings.learning_rate}"
        )
    return Fitted(
        _to_bytes(network),
        int(network.count_params()),
        {key: [float(value) for value in values] for key, values in history.items()},
    )


def _check_classes(name: str, targets: Targets) -> None:
    """Raises:
    ColdframeError: there are fewer than two classes to tell apart.
    """
    count = len(np.unique(targets))
    if count < 2:
        raise ColdframeError(
            f"{name}: {len(targets)} training pictures of {count} classes; expected at least two classes"
        )


def _compiled(keras: Any, network: Any, settings: Settings) -> Any:
    """The network behind its augmentation, compiled."""
    model = keras.Sequential([keras.Input((*settings.size, 3)), *_augmentation(keras, settings), network])
    optimizer = keras.optimizers.get(
        {"class_name": settings.optimizer, "config": {"learning_rate": settings.learning_rate}}
    )
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def opened(file: Path) -> Callable[[Pixels], npt.NDArray[np.float64]]:
    """Load a network from its file; return a function from pictures to class probabilities, shape (n, classes).

    The network takes pictures one at a time, which is as fast as in batches on a processor. A picture's result then depends on
    that picture alone, to the bit, not on the others in the call.

    Args:
        file: the ``.keras`` file of a :class:`Fitted`.

    Raises:
        ColdframeError: there is no such file, or it is not a network. The returned function raises it for pictures of another
            size than the network was trained on.
    """
    try:
        with opening.open_regular(file) as held:
            network = keras_files.load_network(held)
    except ColdframeError:
        raise
    except Exception as error:  # Keras, zipfile and h5py raise many kinds for a wrong file
        reason = " ".join(str(error).split())[:200]
        raise ColdframeError(f"{file}: not a network that coldframe trained ({reason}): train it again") from error
    wanted = tuple(network.input_shape[1:])

    def predict(pictures: Pixels) -> npt.NDArray[np.float64]:
        if pictures.shape[1:] != wanted:
            raise ColdframeError(
                f"{file}: takes pictures of shape {wanted}, got {pictures.shape[1:]}: load them at the size it was trained on"
            )
        given = [network.predict_on_batch(picture[None])[0] for picture in pictures]
        return np.array(given, np.float64).reshape(len(pictures), network.output_shape[-1])

    return predict


def predict(file: Path, pictures: Pixels) -> npt.NDArray[np.float64]:
    """Class probabilities of pictures, uint8 (n, height, width, 3), by the network in a file; see :func:`opened`."""
    return opened(file)(pictures)


def _check_rows(what: str, pictures: Pixels, targets: Targets, classes: int, size: tuple[int, int]) -> None:
    if pictures.dtype != np.uint8 or pictures.shape[1:] != (*size, 3):
        raise ColdframeError(
            f"{what} pictures are {pictures.dtype} of shape {pictures.shape}, expected uint8 of (n, {size[0]}, {size[1]}, 3)"
        )
    if targets.shape != (len(pictures),):
        raise ColdframeError(
            f"{what}: {len(pictures)} pictures and targets of shape {targets.shape}, expected one each"
        )
    wrong = np.flatnonzero((targets < 0) | (targets >= classes))
    if len(wrong):
        raise ColdframeError(f"{what} row {wrong[0]} is of class {targets[wrong[0]]}, expected from 0 to {classes - 1}")


def _augmentation(keras: Any, settings: Settings) -> list[Any]:
    if not settings.augmentation:
        return []
    return [
        keras.layers.RandomFlip("horizontal", seed=settings.seed),
        keras.layers.RandomRotation(ROTATION, seed=settings.seed + 1),
        keras.layers.RandomZoom(ZOOM, seed=settings.seed + 2),
    ]


def _callbacks(keras: Any, settings: Settings, monitor: str, advance: Callable[[int], None]) -> list[Any]:
    callbacks = [
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: advance(1)),
    ]
    if settings.early_stopping:
        callbacks.append(
            keras.callbacks.EarlyStopping(monitor, patience=settings.early_stopping, restore_best_weights=True)
        )
    if settings.reduce_lr_patience:
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor, factor=settings.reduce_lr_factor, patience=settings.reduce_lr_patience
            )
        )
    return callbacks


def _batches(
    keras: Any,
    pictures: Pixels,
    targets: Targets,
    classes: int,
    size: int,
    weights: npt.NDArray[np.floating] | None = None,
    *,
    seed: int | None = None,
) -> Any:
    """Batches straight from the array, which Keras would otherwise copy whole; with a seed, in a new order each epoch."""

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._random = np.random.default_rng(seed)
            self._order = np.arange(len(targets))
            self.on_epoch_end()

        def __len__(self) -> int:
            return math.ceil(len(targets) / size)

        def __getitem__(self, number: int) -> tuple[npt.NDArray[Any], ...]:
            rows = self._order[number * size : (number + 1) * size]
            one_hot = np.zeros((len(rows), classes), np.float32)
            one_hot[np.arange(len(rows)), targets[rows]] = 1
            batch = (pictures[rows], one_hot)
            return batch if weights is None else (*batch, weights[rows].astype(np.float32))

        def on_epoch_end(self) -> None:
            if seed is not None:
                self._order = self._random.permutation(len(targets))

    return Batches()


def _to_bytes(network: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.keras"
        network.save(file)
        return file.read_bytes()
