"""Groups of classes: the value that a column of the catalogue has with each. Pages and the report put classes together alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.runs.taxonomy import is_rank
from store.schemas import as_text
from store.store import Snapshot

MOST_GROUPS = 26  # that fit into a matrix
NO_GROUP = "(none)"


@dataclass(frozen=True)
class Groups:
    """The column that puts classes together, and the group of each class; no column where none does."""

    column: str | None = None
    of_label: Mapping[str, str] = field(default_factory=dict)


def groups_of_labels(snapshot: Snapshot, labels: Sequence[str]) -> Groups:
    """The groups of classes by the column named like a rank that has the most values, but not too many for a matrix."""
    best, most = Groups(), 1
    for column in filter(is_rank, snapshot.columns("images")):
        found = _values_of_labels(snapshot, column)
        of_label = {label: found.get(label, NO_GROUP) for label in labels}
        number = len(set(of_label.values()))
        if most < number <= MOST_GROUPS and number < len(of_label):
            best, most = Groups(column, of_label), number
    return best


def in_order(labels: Sequence[str], groups: Groups) -> list[str]:
    """Classes in the order in which they are shown: those of a group beside each other."""
    return sorted(labels, key=lambda label: (groups.of_label.get(label, ""), label))


def _values_of_labels(snapshot: Snapshot, column: str) -> dict[str, str]:
    """The value that a column of the catalogue has most often with each class; none for a class without one."""
    values = snapshot.select("images", "image_id", column)
    shown = pa.table({"image_id": values["image_id"], "value": as_text(values[column])})
    snapshot.register("values_by_image", shown)
    return {row["label"]: row["value"] for row in snapshot.rows("steps/look/values_of_labels")}
