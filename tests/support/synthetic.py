"""Stores made straight from rows, without pictures: for properties of curation over many catalogues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from store.matrices import from_matrix
from store.schemas import SCHEMAS
from store.store import Store

FACTS = {
    "bytes": 1,
    "format": "PNG",
    "mode": "RGB",
    "width": 1,
    "height": 1,
    "frames": 1,
    "is_grey": False,
    "chroma": 99,
    "phash": "0",
}


def image(image_id: str, label: str | None, **more: Any) -> dict[str, Any]:
    """A row of ``images``; its content is its own unless ``content_id`` says otherwise."""
    return {
        "image_id": image_id,
        "content_id": f"content {image_id}",
        "path": image_id,
        "label": label,
        **FACTS,
        **more,
    }


def put_images(store: Store, rows: list[dict[str, Any]]) -> None:
    """Make ``rows`` the store's images, columns beyond ours as text."""
    names = dict.fromkeys(name for row in rows for name in row)
    schema = pa.schema(
        [*SCHEMAS["images"], *(pa.field(n, pa.string()) for n in names if n not in SCHEMAS["images"].names)]
    )
    with store.commit("test") as commit:
        commit.replace("images", pa.Table.from_pylist(rows, schema))


def put_vectors(store: Store, embedder: str, vectors: dict[str, list[float]]) -> None:
    """Give contents their vectors in a feature set."""
    matrix = np.array(list(vectors.values()), np.float32)
    row = {
        "embedder": embedder,
        "network": embedder,
        "dimensions": matrix.shape[1],
        "digest": "d",
        "settings": "{}",
        "source": "{}",
    }
    table = pa.table(
        {
            "content_id": list(vectors),
            "embedder": [embedder] * len(vectors),
            "view": pa.array([0] * len(vectors), pa.int32()),
            "vector": from_matrix(matrix),
        }
    )
    with store.commit("test") as commit:
        commit.replace("feature_sets", pa.Table.from_pylist([row], SCHEMAS["feature_sets"]), key=embedder)
        commit.replace("embeddings", table, key=embedder)


def put_scores(store: Store, scorer: str, values: dict[str, float]) -> None:
    """Give images their scores."""
    rows = [
        {"image_id": one, "content_id": f"content {one}", "scorer": scorer, "value": v} for one, v in values.items()
    ]
    with store.commit("test") as commit:
        commit.replace("scores", pa.Table.from_pylist(rows, SCHEMAS["scores"]), key=scorer)


def fresh_store(folder: Path) -> Store:
    """An empty store."""
    return Store.create(folder / "store")
