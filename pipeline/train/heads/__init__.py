"""Heads: classifiers of vectors, one file each, named as on the command line with underscores for hyphens.

A file lists the ``SETTINGS`` it uses, and its own ``DEFAULTS`` for those that are None. ``fit(task, settings)`` gives arrays
and a history; ``predict(arrays, matrix)`` gives class probabilities from those arrays. Everything a head learned is in its
arrays, so it is stored as one file without code. A head for one kind of vectors names their feature set as ``EMBEDDER``; one
that uses no training rows has ``LEARNS = False``. Arrays from a file may be anybody's: those of dense layers are checked by
:mod:`pipeline.train.layers`; any other head may define ``fits(arrays, dimensions)`` to check its own.
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
from pipeline.steps import settings as declared
from pipeline.steps.settings import LARGEST_COUNT, LARGEST_SEED, setting
from pipeline.train import layers, optimizers
from pipeline.train.loop import Fit, Task
from pipeline.train.scaling import KINDS, Scaling
from store import arrays as stored
from store.errors import ColdframeError
from store.matrices import FloatMatrix

DEFAULT = "mlp"  # the head that is trained if none is named
TEMPLATE = "a photo of a {}"
MOST_DIMENSIONS = 1 << 24  # of the vectors that a head takes


@dataclass(frozen=True)
class Settings:
    """The settings of all heads; each head uses those it lists. None means the head's own default."""

    input: str | None = setting(
        None, "How vectors are scaled: raw, l2 (to length 1) or standard (mean 0, deviation 1).", choices=KINDS
    )
    units: int | tuple[int, ...] = setting(600, "Units of a dense layer; repeat it to add layers.", least=1)
    dropout: float = setting(0.4, "Dropout rate: share of units dropped in training.", least=0, below=1)
    optimizer: str | None = setting(None, "Optimizer.", choices=optimizers.NAMES)
    learning_rate: float | None = setting(None, "Learning rate.", above=0)
    batch: int = setting(32, "Batch size: rows per training step.", least=1, most=LARGEST_COUNT)
    epochs: int | None = setting(
        None, "Largest number of epochs (passes over the training rows).", least=1, most=LARGEST_COUNT
    )
    early_stopping: int | None = setting(
        None, "Stop after N epochs without improvement; 0 for never.", least=0, most=LARGEST_COUNT
    )
    reduce_lr_factor: float = setting(0.1, "What the learning rate is multiplied by when it falls.", above=0, below=1)
    reduce_lr_patience: int | None = setting(
        None, "Epochs without improvement until the learning rate falls; 0 for never.", least=0, most=LARGEST_COUNT
    )
    label_smoothing: float = setting(
        0.0, "Label smoothing: share of each label spread over all classes.", least=0, below=1
    )
    class_weights: bool = setting(True, "Weight rows so that every class counts the same.")
    strength: float = setting(1.0, "Inverse of the penalty on weights (C in scikit-learn).", above=0)
    k: int = setting(10, "Neighbours that vote.", least=1, most=LARGEST_COUNT)
    template: tuple[str, ...] = setting((TEMPLATE,), "A sentence with {} for the class; repeatable.", metavar="TEXT")
    seed: int = setting(0, "Seed of the first weights and of the order of rows.", least=0, most=LARGEST_SEED)


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
        """How many numbers its arrays have."""
        return layers.parameters(self.arrays)

    @property
    def dimensions(self) -> int:
        """Length of the vectors it takes."""
        return sum(self.scaling.blocks)

    def predict(self, matrix: FloatMatrix) -> npt.NDArray[np.float64]:
        """Class probabilities of vectors (n, dimensions), which are scaled in place; shape (n, classes), float64.

        NaN where numbers of the head, or of a vector, are too large.
        """
        with np.errstate(all="ignore"):
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
        """Read a head from its file.

        Raises:
            ColdframeError: the file does not hold a head, or its contents do not fit together.
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
        ColdframeError: there is no such head, or its arrays do not fit its vectors.
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
        for name, array in self.arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise stored.Malformed(f"its {name} is not of finite numbers")
        neighbours.check(self.arrays)
        of = module(self.name)
        if layers.LAYERS in self.arrays and of.predict is not layers.predict:
            raise stored.Malformed(f"it has layers, which the head {self.name} has not")
        if of.predict is layers.predict:
            layers.check(self.arrays, self.dimensions)
        elif hasattr(of, "fits") and not of.fits(self.arrays, self.dimensions):
            raise stored.Malformed("its arrays do not fit each other or its vectors")


def names() -> list[str]:
    """The available heads, as written on the command line."""
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
    """The settings that a head uses."""
    return tuple(dict.fromkeys(("input", "seed", *module(name).SETTINGS)))


def draws(name: str) -> bool:
    """Whether a head draws at random in training; for one that does not, the seed affects only its folds."""
    return "epochs" in module(name).SETTINGS


def learns(name: str) -> bool:
    """Whether a head learns from training rows, not just from the names of their classes."""
    return bool(getattr(module(name), "LEARNS", True))


def resolve(name: str, settings: AnySettings) -> AnySettings:
    """A copy of settings, of the same type, with the head's own defaults in place of None.

    Raises:
        ColdframeError: there is no such head, or a value is out of range.
    """
    own = {one: value for one, value in module(name).DEFAULTS.items() if getattr(settings, one) is None}
    unused = {one: 0 for one in ("epochs", "early_stopping", "reduce_lr_patience") if one not in module(name).SETTINGS}
    resolved = replace(settings, **unused | own)
    if isinstance(resolved.units, int):
        resolved = replace(resolved, units=(resolved.units,))
    _check(name, resolved)
    return resolved


def _check(name: str, settings: Settings) -> None:
    declared.check("train", _heeded_alone(name, settings))
    if not settings.units:
        raise declared.wrong("train", "units", settings.units, "at least one width")
    if not settings.template or not all("{}" in one for one in settings.template):
        raise declared.wrong("train", "template", settings.template, "sentences with {} in them")


def _heeded_alone(name: str, settings: Settings) -> Settings:
    """The settings that a head uses, with the others set to their defaults: a setting without effect is not an error."""
    return Settings(**{one: getattr(settings, one) for one in heeded(name)})


def fit(name: str, task: Task, settings: Settings) -> Fit:
    """Fit a head, with ``settings`` from :func:`resolve` and a ``task`` whose vectors are already scaled.

    Raises:
        ColdframeError: the head cannot learn from this, or its training diverged.
    """
    fitted: Fit = module(name).fit(task, settings)
    return fitted
