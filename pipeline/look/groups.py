"""Groups of classes: the value that a column of the catalogue has with each."""

from __future__ import annotations

import pyarrow as pa

from store.schemas import as_text
from store.store import Snapshot


def groups_of_labels(snapshot: Snapshot, column: str) -> dict[str, str]:
    """The value that a column of the catalogue has most often with each class; none for a class without one."""
    values = snapshot.select("images", "image_id", column)
    shown = pa.table({"image_id": values["image_id"], "value": as_text(values[column])})
    snapshot.register("values_by_image", shown)
    return {row["label"]: row["value"] for row in snapshot.rows("steps/look/values_of_labels")}
