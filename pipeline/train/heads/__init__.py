"""Heads: classifiers of vectors, one file each, named as on the command line with underscores for hyphens.

A file says which ``SETTINGS`` it heeds and its own ``DEFAULTS`` for those that are None; ``fit(task, settings)`` gives
arrays and a history, ``predict(arrays, matrix)`` class probabilities out of those arrays. What a head learned is in its
arrays alone, so that it is one file without code in it. A head for one kind of vectors names their feature set as
``EMBEDDER``; one that looks at no training row says ``LEARNS = False``. Arrays out of a file may be anybody's: those of dense
layers are checked by :mod:`pipeline.train.layers`, and any other head may say whether they are its own by
``fits(arrays, dimensions)``.
"""

from __future__ import annotations

import functools
import importlib
import io
import pkgutil
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.runs import neighbours
from pipeline.train import layers
from pipeline.train.loop import OPTIMIZERS, Fit, Task
from pipeline.train.scaling import KINDS, Scaling
from store import arrays as stored
from store.errors import ColdframeError
from store.matrices import FloatMatrix

TEMPLATE = "a photo of a {}"
MOST_DIMENSIONS = 1 << 24  # of the vectors that a head takes


@dataclass(frozen=True)
class Settings:
    """What heads may be told; each heeds those it names. None is the head's own default.

    ``input``: raw, l2 (each feature set's vector to length 1) or standard. ``units``: width of the dense layers, one number
    a layer. ``early_stopping`` and ``reduce_lr_patience``: epochs without improvement, 0 for never. ``strength``: inverse of
    the L2 penalty of a logistic regression (scikit-learn's C). ``k``: neighbours that vote. ``template``: sentences for
    zero-shot, in which ``{}`` stands for the class.
    """

    input: str | None = None
    units: int | tuple[int, ...] = 600
    dropout: float = 0.4
    optimizer: str | None = None
    learning_rate: float | None = None
    batch: int = 32
    epochs: int | None = None
    early_stopping: int | None = None
    reduce_lr_factor: float = 0.1
    reduce_lr_patience: int | None = None
    label_smoothing: float = 0.0
    class_weights: bool = True
    strength: float = 1.0
    k: int = 10
    template: tuple[str, ...] = (TEMPLATE,)
    seed: int = 0


AnySettings = TypeVar("AnySettings", bound=Settings)
ALL_SETTINGS = tuple(one.name for one in fields(Settings))


@dataclass(frozen=True)
class Head:
    """A fitted head: its name, how vectors are scaled before it, and its arrays."""

    name: str
    scaling: Scaling
    arrays: dict[str, npt.NDArray[Any]]

    @property
    def parameters(self) -> int:
        """The numbers in its arrays."""
        return layers.parameters(self.arrays)

    @property
    def dimensions(self) -> int:
        """Length of the vectors it takes."""
        return sum(self.scaling.blocks)

    def predict(self, matrix: FloatMatrix) -> npt.NDArray[np.float64]:
        """Class probabilities of vectors (n, dimensions), which are scaled where they lie; shape (n, classes), float64."""
        probabilities: npt.NDArray[np.float64] = module(self.name).predict(self.arrays, self.scaling.apply(matrix))
        return probabilities

    def to_bytes(self) -> bytes:
        """The head as one ``.npz`` file."""
        buffer = io.BytesIO()
        named = {f"head/{name}": array for name, array in self.arrays.items()}
        np.savez(buffer, allow_pickle=False, name=np.array(self.name), **self.scaling.to_arrays(), **named)
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path) -> Head:
        """A head out of its file.

        Raises:
            ColdframeError: the file is none of a head, or what it holds does not fit together.
        """
        try:
            held = stored.read(path)
            arrays = {name.removeprefix("head/"): array for name, array in held.items() if name.startswith("head/")}
            head = cls(str(held["name"]), Scaling.from_arrays(held), arrays)
            head._check()
        except (ColdframeError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ColdframeError(f"{path}: not the file of a head ({error}): train again") from error
        return head

    def _check(self) -> None:
        """Raises:
        ColdframeError: it is no head that there is, or its arrays do not fit its vectors.
        """
        blocks, standard = self.scaling.blocks, (self.scaling.mean, self.scaling.deviation)
        if self.scaling.kind not in KINDS or not blocks or not all(type(one) is int and one > 0 for one in blocks):
            raise stored.Malformed("its scaling is none that there is")
        if self.dimensions > MOST_DIMENSIONS:
            raise stored.Malformed(f"it takes vectors of {self.dimensions} numbers")
        needs = self.scaling.kind == "standard"
        for one in standard:
            if (one is not None) != needs or (one is not None and one.shape != (self.dimensions,)):
                raise stored.Malformed("its scaling does not fit its vectors")
            if one is not None and not stored.is_float(one, dimensions=1):
                raise stored.Malformed("its scaling is not of finite numbers")
        neighbours.check(self.arrays)
        of = module(self.name)
        if of.predict is layers.predict or layers.LAYERS in self.arrays:
            layers.check(self.arrays, self.dimensions)
        elif hasattr(of, "fits") and not of.fits(self.arrays, self.dimensions):
            raise stored.Malformed("its arrays do not fit each other or its vectors")


def names() -> list[str]:
    """The heads there are, as written on the command line."""
    return sorted(info.name.replace("_", "-") for info in pkgutil.iter_modules(__path__))


@functools.cache
def module(name: str) -> ModuleType:
    """The file of a head.

    Raises:
        ColdframeError: no such head.
    """
    if name not in names():
        raise ColdframeError(f"no head {name!r}; available: {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def heeded(name: str) -> tuple[str, ...]:
    """The settings that a head heeds."""
    return tuple(dict.fromkeys(("input", "seed", *module(name).SETTINGS)))


def draws(name: str) -> bool:
    """Whether a head draws at random in training; the seed of one that does not is that of its folds alone."""
    return "epochs" in module(name).SETTINGS


def learns(name: str) -> bool:
    """Whether a head learns from the training rows, and not from the names of their classes alone."""
    return bool(getattr(module(name), "LEARNS", True))


def resolve(name: str, settings: AnySettings) -> AnySettings:
    """Settings with the head's own defaults where they are None; a copy of the same type.

    Raises:
        ColdframeError: no such head, or a value out of range.
    """
    own = {one: value for one, value in module(name).DEFAULTS.items() if getattr(settings, one) is None}
    unused = {one: 0 for one in ("epochs", "early_stopping", "reduce_lr_patience") if one not in module(name).SETTINGS}
    resolved = replace(settings, **unused | own)
    if isinstance(resolved.units, int):
        resolved = replace(resolved, units=(resolved.units,))
    _check(name, resolved)
    return resolved


def _check(name: str, settings: Any) -> None:
    trained = "epochs" in module(name).SETTINGS
    for setting, is_right, expected in (
        ("input", settings.input in KINDS, f"one of {', '.join(KINDS)}"),
        ("optimizer", not trained or settings.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"),
        ("epochs", not trained or settings.epochs >= 1, "at least 1"),
        ("batch", settings.batch >= 1, "at least 1"),
        ("units", settings.units and all(width >= 1 for width in settings.units), "at least 1 each"),
        ("dropout", 0 <= settings.dropout < 1, "from 0 to below 1"),
        ("learning_rate", not trained or settings.learning_rate > 0, "above 0"),
        ("early_stopping", settings.early_stopping >= 0, "epochs, 0 for never"),
        ("reduce_lr_patience", settings.reduce_lr_patience >= 0, "epochs, 0 for never"),
        ("reduce_lr_factor", 0 < settings.reduce_lr_factor < 1, "between 0 and 1"),
        ("label_smoothing", 0 <= settings.label_smoothing < 1, "from 0 to below 1"),
        ("strength", settings.strength > 0, "above 0"),
        ("k", settings.k >= 1, "at least 1"),
        ("template", settings.template and all("{}" in one for one in settings.template), "sentences with {} in them"),
        ("seed", 0 <= settings.seed < 2**32, "from 0 to 4294967295"),
    ):
        if not is_right:
            raise ColdframeError(f"train: {setting} = {getattr(settings, setting)}, expected {expected}")


def fit(name: str, task: Task, settings: Settings) -> Fit:
    """Fit a head; ``settings`` as :func:`resolve` gives them, the vectors of ``task`` scaled already.

    Raises:
        ColdframeError: it cannot learn from this, or its training diverged.
    """
    fitted: Fit = module(name).fit(task, settings)
    return fitted
