"""ImageNet: how probable it is, for the network itself, that a picture shows what the catalogue should hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.curate.scorers import FeatureSet
from pipeline.embed import feature_sets, tops
from pipeline.embed.embedders.keras_applications import IMAGENET_CLASSES
from pipeline.steps.settings import setting
from store import opening
from store.errors import ColdframeError
from store.matrices import Vectors

GROUPS = Path(__file__).parent / "wanted"  # one file of classes for each word that --wanted knows
NAMES = Path(__file__).parent / "imagenet_classes.txt"  # the WordNet id and the name of each class, in their order
MOST_BYTES = 1 << 20  # of a file of classes
CHUNK_ROWS = 1024
_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)


def groups() -> tuple[str, ...]:
    """The words that ``--wanted`` knows."""
    return tuple(sorted(file.stem for file in GROUPS.glob("*.txt")))


@dataclass(frozen=True)
class Settings:
    """The feature set, the network's weights with its top, and the classes that count as wanted."""

    embedder: str | None = setting(None, "Feature set to score.", metavar="SET", default_text=feature_sets.DEFAULT_TEXT)
    weights: str | None = setting(
        None,
        "The set's network with its 1000-class top: a local .h5 or .keras file, or 'imagenet', from Keras Applications.",
        metavar="PATH|imagenet",
        may_hold_path=True,
        words=("imagenet",),
        default_text="imagenet, if the set was made with that",
    )
    wanted: str = setting(
        "animal",
        f"The classes to add up: {' or '.join(groups())}, or a file with one a line: a number, a range or a name.",
        metavar="WORD|FILE",
        may_hold_path=True,
        words=groups(),
        most_bytes=MOST_BYTES,
    )


def tell(value: float) -> str:
    """A score in words."""
    return f"the wanted classes have {100 * value:.0f} %"


def score(vectors: Vectors, settings: Settings, feature_set: FeatureSet) -> npt.NDArray[np.float64]:
    """Sum of the probabilities of the wanted classes, shape (n,), 0 to 1; low is suspicious.

    The sum is what counts: a beetle is rarely one of the eight beetles of ImageNet with certainty, but nearly always an insect.

    Raises:
        ColdframeError: the set has no such classes, the weights are not available or not those of the set, or ``wanted`` names
            none.
    """
    try:
        run = tops.probabilities(
            feature_set.network,
            _weights(settings, feature_set),
            made_with=feature_set.settings["weights"],
            dimensions=vectors.matrix.shape[1],
        )
    except ColdframeError as error:
        raise ColdframeError(f"imagenet, of the feature set {feature_set.name!r}: {error}") from error
    wanted = classes(settings.wanted)
    values = np.empty(len(vectors.matrix))
    for start in range(0, len(values), CHUNK_ROWS):
        probabilities = run(vectors.matrix[start : start + CHUNK_ROWS])
        values[start : start + CHUNK_ROWS] = probabilities[:, wanted].sum(axis=1, dtype=np.float64)
    return values


def _weights(settings: Settings, feature_set: FeatureSet) -> str:
    """The weights to load. Those that the store names are never taken, apart from Keras' own.

    Raises:
        ColdframeError: none are named, and the set was made with others than Keras' own.
    """
    if settings.weights is not None:
        return settings.weights
    if feature_set.source.get("weights") in (None, "imagenet"):
        return "imagenet"
    raise ColdframeError(
        "it was made with weights of its own, so the top has to be named: --weights FILE, with the whole network in it"
    )


def _file_of(wanted: str) -> Path:
    return GROUPS / f"{wanted}.txt" if wanted in groups() else Path(wanted)


def classes(wanted: str) -> list[int]:
    """The ImageNet classes of a word or a file, ascending.

    A line of a file is a number (0 to 999), a range such as ``80-100``, or a class as Keras calls it (``great_white_shark`` or
    ``n01484850``); what follows a # is a remark.

    Raises:
        ColdframeError: there is no such file, or a line is none of these.
    """
    file = _file_of(wanted)
    try:
        text = opening.read_regular(file, follow=True, most=MOST_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ColdframeError(
            f"wanted = {wanted!r}: expected {' or '.join(groups())}, or a text file of ImageNet classes "
            f"({getattr(error, 'strerror', None) or error})"
        ) from error
    is_wanted, names = np.zeros(IMAGENET_CLASSES, bool), _names()
    for number, line in enumerate(text.splitlines(), start=1):
        named = line.partition("#")[0].strip()
        span = _RANGE.fullmatch(named)
        if span is not None:
            first, last = int(span[1]), int(span[2] or span[1])
            if not first <= last < IMAGENET_CLASSES:
                raise ColdframeError(
                    f"{file}, line {number}: {named}, expected numbers from 0 to {IMAGENET_CLASSES - 1}"
                )
            is_wanted[first : last + 1] = True
        elif named:
            if (word := named.lower().replace(" ", "_")) not in names:
                raise ColdframeError(f"{file}, line {number}: no ImageNet class is called {named!r}")
            is_wanted[names[word]] = True
    if not is_wanted.any():
        raise ColdframeError(f"{file}: no class in it, expected one ImageNet class a line")
    found: list[int] = np.flatnonzero(is_wanted).tolist()
    return found


def _names() -> dict[str, list[int]]:
    """The classes by their names in lower case, and by their WordNet ids; two names are of two classes each."""
    found: dict[str, list[int]] = {}
    for number, line in enumerate(NAMES.read_text(encoding="utf-8").splitlines()):
        for word in line.split():
            found.setdefault(word.lower(), []).append(number)
    return found
