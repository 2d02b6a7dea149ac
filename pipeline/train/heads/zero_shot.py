"""CLIP's own guess from the class names, without any training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.train.heads import Settings
from pipeline.train.layers import Arrays, softmax
from pipeline.train.loop import Fit, Task
from store.arrays import is_float
from store.errors import ColdframeError
from store.matrices import FloatMatrix, unit_length

SETTINGS = ("template",)
DEFAULTS = {"input": "l2"}
EMBEDDER = "clip"  # the feature set it reads unless told otherwise
LEARNS = False  # it does not learn from rows
SCALE = 100.0  # of the cosines before softmax: where CLIP's own training ends (Radford et al. 2021)


def fit(task: Task, settings: Settings) -> Fit:
    """The unit-length text features of each class: the mean over the templates.

    Raises:
        ColdframeError: the feature set has no text side.
    """
    if task.embed_texts is None:
        raise ColdframeError("zero-shot reads the names of the classes: name one CLIP feature set with --embedder")
    texts = [one.replace("{}", str(name).replace("_", " ")) for name in task.class_names for one in settings.template]
    features = task.embed_texts(texts).reshape(task.classes, len(settings.template), -1)
    return Fit({"texts": unit_length(features.mean(axis=1))})


def fits(arrays: Arrays, dimensions: int) -> bool:
    """Whether the arrays have the form that :func:`fit` gives, for vectors with ``dimensions`` values."""
    texts = arrays["texts"]
    return is_float(texts, dimensions=2) and texts.shape[0] > 0 and texts.shape[1] == dimensions


def predict(arrays: Arrays, matrix: FloatMatrix) -> npt.NDArray[np.float64]:
    """Softmax of a hundred times the cosine."""
    return softmax(SCALE * (matrix @ arrays["texts"].T))
