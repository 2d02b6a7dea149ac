"""CLIP's own guess from the class names, without any training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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
SHOWN = 5  # classes that a note names
LONG = 40  # characters from which a text is tried with a word more: the limit of CLIP is 77 pieces of words
WORD = "zebra"
SAME = 1 - 1e-6  # cosine of two texts that are one to the network
SCALE = 100.0  # of the cosines before softmax: where CLIP's own training ends (Radford et al. 2021)


def fit(task: Task, settings: Settings) -> Fit:
    """The unit-length text features of each class: the mean over the templates.

    Raises:
        ColdframeError: the feature set has no text side.
    """
    if task.embed_texts is None:
        raise ColdframeError("zero-shot reads the names of the classes: name one CLIP feature set with --embedder")
    texts = [one.replace("{}", str(name).replace("_", " ")) for name in task.class_names for one in settings.template]
    features = task.embed_texts(texts)
    mean = unit_length(features.reshape(task.classes, len(settings.template), -1).mean(axis=1))
    names = task.class_names.tolist()
    cut = sorted({names[place // len(settings.template)] for place in _cut(task.embed_texts, texts, features)})
    return Fit({"texts": mean}, notes=tuple(_notes(cut, _alike(mean, names))))


def _cut(embed_texts: Callable[[Sequence[str]], FloatMatrix], texts: Sequence[str], features: FloatMatrix) -> list[int]:
    """The places of texts that fill what the tokenizer takes: another word after them changes nothing."""
    long = [place for place, text in enumerate(texts) if len(text) >= LONG]
    if not long:
        return []
    longer = embed_texts([f"{texts[place]} {WORD}" for place in long])
    return [place for place, one in zip(long, longer, strict=True) if float(one @ features[place]) > SAME]


def _alike(features: FloatMatrix, names: list[str]) -> list[list[str]]:
    """Groups of classes whose texts are the same to the network."""
    groups: dict[int, list[str]] = {}
    for place, one in enumerate(features):
        first = int((features[: place + 1] @ one > SAME).argmax())
        groups.setdefault(first, []).append(names[place])
    return [group for group in groups.values() if len(group) > 1]


def _notes(cut: list[str], alike: list[list[str]]) -> Iterator[str]:
    """What a user should know of the texts."""
    if cut:
        told = ", ".join(cut[:SHOWN]) + (", …" if len(cut) > SHOWN else "")
        yield f"{len(cut)} classes have a text that is cut at the tokenizer's limit: {told}: shorten their names or the template"
    if alike:
        told = "; ".join(" = ".join(group[:SHOWN]) for group in alike[:SHOWN]) + ("; …" if len(alike) > SHOWN else "")
        yield f"{sum(map(len, alike))} classes have the same text as another, and cannot be told apart: {told}"


def fits(arrays: Arrays, dimensions: int) -> bool:
    """Whether the arrays have the form that :func:`fit` gives, for vectors with ``dimensions`` values."""
    texts = arrays["texts"]
    return is_float(texts, dimensions=2) and texts.shape[0] > 0 and texts.shape[1] == dimensions


def predict(arrays: Arrays, matrix: FloatMatrix) -> npt.NDArray[np.float64]:
    """Softmax of a hundred times the cosine."""
    return softmax(SCALE * (matrix @ arrays["texts"].T))
