"""Recompute: are stored vectors what the reference gives, in float32 by the framework a network comes from?"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np

from pipeline import decoding, embedders
from pipeline.filling import prepared_or_reason
from pipeline.lookup import image_root
from store.errors import ColdframeError
from store.matrices import to_matrix, unit_length
from store.store import Store

LEAST_COSINE = 0.99  # bfloat16 of a trained network is above 0.999; below this the vectors are of something else


@dataclass(frozen=True)
class Recomputed:
    """The worst cosine between stored and recomputed vectors of a set, and the file it is of; how many could not be read."""

    embedder: str
    backend: str
    precision: str
    images: int
    unreadable: int
    worst_cosine: float
    worst_path: str


def recompute(store: Store, name: str, count: int) -> Recomputed:
    """Embed ``count`` contents of a set again and compare.

    Raises:
        ColdframeError: the set has no vectors, its weights cannot be had or are others now, or no file can be read.
    """
    snapshot = store.snapshot()
    root = image_root(snapshot)
    row = snapshot.rows("steps/embed/feature_set", embedder=name)[0]
    made = json.loads(row["settings"])
    source = embedders.Options.from_json(json.loads(row["source"]))
    network = embedders.load(row["network"], replace(source, precision="float32"))
    if network.settings["weights"] != made["weights"]:
        raise ColdframeError(
            f"{name}: the weights at {source.weights or 'the default place'} are not those that the set was made with"
        )
    sample = snapshot.query("steps/embed/sample", embedder=name, count=count)
    if not sample.num_rows:
        raise ColdframeError(f"{name}: no vectors yet, so there is nothing to compare: run 'coldframe embed' first")
    pictures = [
        prepared_or_reason(network, root, content, paths, max_pixels=decoding.MAX_PIXELS)
        for content, paths in zip(sample["content_id"].to_pylist(), sample["paths"].to_pylist(), strict=True)
    ]
    readable = [at for at, picture in enumerate(pictures) if not isinstance(picture, str)]
    if not readable:
        raise ColdframeError(f"{name}: none of {len(pictures)} files of the set can be read again below {root}")
    again = np.concatenate(
        [
            network.embed([pictures[at] for at in readable[start : start + network.batch]])  # type: ignore[misc]
            for start in range(0, len(readable), network.batch)
        ]
    )
    stored = to_matrix(sample["vector"])[readable]
    cosines = (unit_length(stored) * unit_length(again)).sum(axis=1)
    worst = int(cosines.argmin())
    return Recomputed(
        name,
        made["backend"],
        made["precision"],
        len(readable),
        len(pictures) - len(readable),
        float(cosines[worst]),
        sample["paths"][readable[worst]].as_py()[0],
    )
