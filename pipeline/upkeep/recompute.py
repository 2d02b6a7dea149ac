"""Recompute: check stored vectors against the reference: the network's own framework in float32."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from pipeline.embed import embedders, feature_sets
from pipeline.embed.augmentation import Augmentation
from pipeline.embed.filling import picture_or_reason, prepared_or_reasons
from pipeline.ingest.pictures import image_root, ingested_max_pixels
from store.errors import ColdframeError
from store.matrices import to_matrix, unit_length
from store.store import Store

LEAST_COSINE = 0.99  # bfloat16 of a trained network gives above 0.999; below this, the vectors are of something else


@dataclass(frozen=True)
class Recomputed:
    """The worst cosine between a set's stored and recomputed vectors, and its file; how many files could not be read.

    Each view of a picture counts as an image; the view is written after the path.
    """

    embedder: str
    backend: str
    precision: str
    images: int
    unreadable: int
    worst_cosine: float
    worst_path: str


def recompute(store: Store, name: str, count: int) -> Recomputed:
    """Embed ``count`` contents of a set, or augmented views of them, again and compare the vectors.

    Raises:
        ColdframeError: the set has no vectors, its weights are not available or have changed, or no file can be read.
    """
    snapshot = store.snapshot()
    root, max_pixels = image_root(snapshot), ingested_max_pixels(snapshot)
    row = feature_sets.row_of(snapshot, name)
    made = json.loads(row["settings"])
    augmentation = feature_sets.augmentation(made) or Augmentation()
    source = embedders.Options.from_json(json.loads(row["source"]))
    network = embedders.load(row["network"], replace(source, precision="float32"))
    feature_sets.check_network(row, network.settings["weights"], network.architecture)
    sample = snapshot.query("steps/embed/sample", embedder=name, count=count)
    if not sample.num_rows:
        raise ColdframeError(f"{name}: no vectors yet, so there is nothing to compare: run 'coldframe embed' first")
    cosines: dict[str, float] = {}  # by path and view
    for start in range(0, sample.num_rows, network.batch):
        rows = sample.slice(start, network.batch)
        pictures: dict[int, Any] = {}
        asked = rows.select(["content_id", "view", "paths"]).to_pylist()
        for at, one in enumerate(asked):
            image = picture_or_reason(root, one["content_id"], one["paths"], max_pixels=max_pixels)
            if not isinstance(image, str):
                view = one["view"]
                array = prepared_or_reasons(network, image, one["content_id"], [view], augmentation)[view]
                if not isinstance(array, str):
                    pictures[at] = array
        if pictures:
            again, stored = network.embed(list(pictures.values())), to_matrix(rows["vector"])[list(pictures)]
            alike = (unit_length(stored) * unit_length(again)).sum(axis=1)
            alike[~stored.any(axis=1) & ~again.any(axis=1)] = 1.0  # two zero vectors have no angle, but are equal
            for at, cosine in zip(pictures, alike, strict=True):
                of_view = f" (view {asked[at]['view']})" if asked[at]["view"] else ""
                cosines[asked[at]["paths"][0] + of_view] = float(cosine)
    if not cosines:
        raise ColdframeError(f"{name}: none of {sample.num_rows} files of the set can be read again below {root}")
    worst = min(cosines, key=lambda path: (cosines[path] >= LEAST_COSINE, cosines[path]))  # NaN counts as the worst
    return Recomputed(
        embedder=name,
        backend=made["backend"],
        precision=made["precision"],
        images=len(cosines),
        unreadable=sample.num_rows - len(cosines),
        worst_cosine=cosines[worst],
        worst_path=worst,
    )
