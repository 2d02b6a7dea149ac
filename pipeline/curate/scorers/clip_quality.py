"""CLIP quality: is a picture closer to what the catalogue should hold, or to what it should not?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.curate.scorers import FeatureSet
from pipeline.embed import embedders
from pipeline.steps.settings import setting
from store.errors import ColdframeError
from store.matrices import Vectors, unit_length

GOOD = (
    "a photo of an animal in the wild",
    "a wildlife photograph",
    "a close-up photo of an animal",
    "a photo of an insect",
    "a photo of a bird",
    "an underwater photo of a sea animal",
)
BAD = (
    "an x-ray image",
    "a scientific diagram",
    "a page of text",
    "a photo of food on a plate",
    "a photo of a person",
    "a map",
    "a sign with writing on it",
)
AGGREGATES = ("best", "mean")


def _told(prompts: tuple[str, ...]) -> str:
    return f"{len(prompts)} of them, such as {prompts[0]!r}"


@dataclass(frozen=True)
class Settings:
    """The CLIP feature set, the prompts, and how similarities to them are aggregated."""

    embedder: str | None = setting("clip", "Feature set to score.", metavar="SET")
    good: tuple[str, ...] = setting(
        GOOD, "A good prompt, in place of the configured ones; repeatable.", metavar="TEXT", default_text=_told(GOOD)
    )
    bad: tuple[str, ...] = setting(
        BAD, "A bad prompt, in place of the configured ones; repeatable.", metavar="TEXT", default_text=_told(BAD)
    )
    aggregate: str = setting("best", "Over each list of prompts: its best or its mean.", choices=AGGREGATES)


def tell(value: float) -> str:
    """A score in words."""
    return f"closer to the {'good' if value >= 0 else 'bad'} prompts by {abs(value):.3f}"


def score(vectors: Vectors, settings: Settings, feature_set: FeatureSet) -> npt.NDArray[np.float64]:
    """Similarity to the good prompts minus similarity to the bad ones, shape (n,), -2 to 2; below 0 leans to bad.

    Cosine similarities, aggregated over each list by its best or its mean.

    Raises:
        ColdframeError: an empty prompt list, a feature set without a text side, or weights that are not those the set was
            made with.
    """
    if not settings.good or not settings.bad:
        raise ColdframeError("clip-quality: good and bad each need at least one prompt")
    embed_texts = embedders.text_side(
        feature_set.network,
        feature_set.source,
        feature_set.settings["weights"],
        set_name=feature_set.name,
        asker="clip-quality",
    )
    unit = unit_length(vectors.matrix)
    return _aggregate(unit @ embed_texts(settings.good).T, settings.aggregate) - _aggregate(
        unit @ embed_texts(settings.bad).T, settings.aggregate
    )


def _aggregate(similarities: npt.NDArray[np.float32], how: str) -> npt.NDArray[np.float64]:
    wide = similarities.astype(np.float64)
    aggregated: npt.NDArray[np.float64] = wide.max(axis=1) if how == "best" else wide.mean(axis=1)
    return aggregated
