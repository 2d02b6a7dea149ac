"""Label doubt: how much the images most like a picture contradict its label, and the label that they suggest."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from pipeline.curate import doubt
from pipeline.curate.scorers import FeatureSet
from pipeline.embed import feature_sets
from pipeline.steps.settings import setting
from store.errors import ColdframeError
from store.matrices import Vectors


@dataclass(frozen=True)
class Settings:
    """What to compare."""

    embedder: str | None = setting(
        None, "Feature set to compare.", metavar="SET", default_text=feature_sets.DEFAULT_TEXT
    )


def score_images(vectors: Vectors, images: pa.Table, settings: Settings, feature_set: FeatureSet) -> pa.Table:
    """The doubt of each labelled image, judged by all labelled images: see :mod:`pipeline.curate.doubt`.

    Raises:
        ColdframeError: no class has two images with vectors.
    """
    found = doubt.of_images(vectors, images)
    if not len(found):
        raise ColdframeError(
            "label-doubt: no class has two different images with vectors, so there is nothing to compare: "
            "ingest with --label, or embed first"
        )
    return found
