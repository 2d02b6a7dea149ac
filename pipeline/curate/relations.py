"""Relations for rules: made from vectors and the candidates of a stage, when the SQL of its rule reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.curate import centroids, doubt
from pipeline.embed import feature_sets
from pipeline.steps.settings import setting
from store.matrices import Vectors
from store.schemas import TRAIN


@dataclass(frozen=True)
class CentroidSettings:
    """The settings of a rule for the ``centroid_distances`` that it reads."""

    embedder: str | None = setting(
        None, "Feature set whose vectors they are of.", metavar="SET", default_text=feature_sets.DEFAULT_TEXT
    )
    leave_one_out: bool = setting(False, "Measure each distance to the centroid of the other images of the class.")


@dataclass(frozen=True)
class DoubtSettings:
    """The settings of a rule for the ``label_doubt`` that it reads."""

    embedder: str | None = setting(
        None, "Feature set whose vectors are compared.", metavar="SET", default_text=feature_sets.DEFAULT_TEXT
    )


def _centroid_distances(known: Vectors, candidates: pa.Table, settings: Mapping[str, Any]) -> pa.Table:
    """One row per candidate with a vector whose class has a centroid: ``image_id, label, split, distance, class_size``."""
    return centroids.of_candidates(known, candidates, leave_one_out=bool(settings.get("leave_one_out")))


def _label_doubt(known: Vectors, candidates: pa.Table, settings: Mapping[str, Any]) -> pa.Table:
    """One row per training image with a label and a vector: ``image_id, content_id, label, doubt, suggested``.

    Other images have no part in it.
    """
    table = doubt.of_images(known, candidates.filter(pc.equal(candidates["split"], TRAIN)).drop_columns("split"))
    return table.rename_columns({"value": "doubt"}).drop_columns("evidence")


@dataclass(frozen=True)
class Relation:
    """A relation: the settings that a rule has for it, the function that makes it, and the column that rules compare.

    The function takes the vectors of a feature set, the candidates as ``image_id, content_id, label, split``, and the settings.
    """

    settings: type
    make: Callable[[Vectors, pa.Table, Mapping[str, Any]], pa.Table]
    value: str


RELATIONS: Mapping[str, Relation] = {
    "centroid_distances": Relation(CentroidSettings, _centroid_distances, "distance"),
    "label_doubt": Relation(DoubtSettings, _label_doubt, "doubt"),
}
