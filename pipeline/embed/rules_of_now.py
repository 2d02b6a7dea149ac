"""Bring a feature set that was made under earlier decoding rules to those of now, where pictures look different."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from pipeline.embed.made import Made, copy_of
from pipeline.ingest import decoding
from store import digests
from store.rows import json_of
from store.schemas import SCHEMAS
from store.store import Snapshot, Store


def redrawn(moment: Snapshot, made: Made) -> pa.Table:
    """The contents whose vectors in a set are of pictures that look different now: ``content_id``.

    None while files of the catalogue are known by earlier rules only: they may have vectors of the same kind, which could not be
    told from new ones later.
    """
    is_of_now = made.settings.get("decoding") not in decoding.ALIKE[:-1]
    if is_of_now or moment.value("steps/ingest/count_read_otherwise"):
        return moment.query("steps/embed/redrawn", embedder=made.name).slice(0, 0)
    return moment.query("steps/embed/redrawn", embedder=made.name)


def bring_up(store: Store, name: str) -> int:
    """Take the vectors of such contents out of a set, to be made again, and note that the set is of the present rules.

    Returns:
        How many contents they were of.
    """
    moment = store.snapshot()
    made = Made.of(moment, name)
    gone = redrawn(moment, made)
    if not gone.num_rows:
        return 0
    settings = dict(made.settings) | {"decoding": decoding.RULES_VERSION}
    kept = settings | ({"augmentation": made.augmentation, "views": made.views} if made.views else {})
    row: dict[str, Any] = dict(made.row) | {
        "digest": digests.of_json(settings),
        "settings": json.dumps(kept, sort_keys=True),
    }
    with store.commit("embed") as commit:
        moment.register("redrawn", gone)
        commit.replace_stream("embeddings", moment.stream("steps/embed/vectors_kept", embedder=name), key=name)
        commit.replace("feature_sets", pa.Table.from_pylist([row], SCHEMAS["feature_sets"]), key=name)
        for record in moment.rows("steps/steps/step", step="embed", name=name):
            inputs = json_of(record["inputs"], f"the inputs of step embed {name}") | copy_of(row)
            record |= {"inputs": json.dumps(inputs, sort_keys=True)}
            commit.replace("steps", pa.Table.from_pylist([record], SCHEMAS["steps"]), key=f"embed/{name}")
    return int(gone.num_rows)
