"""Find images by an id or a path, and say which have failed."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from store.errors import ColdframeError
from store.schemas import FILE_FACTS, failure_columns
from store.store import Snapshot


def find_images(snapshot: Snapshot, given: list[str]) -> list[str]:
    """The ids of images named by id or by path.

    Raises:
        ColdframeError: one names no readable image; a failed row is said to be one, with its reason.
    """
    found = []
    for name in given:
        rows = snapshot.rows("steps/ingest/find_image", name=name)
        if not rows:
            failures = snapshot.rows("steps/ingest/find_failure", name=name)
            if failures:
                raise ColdframeError(f"{name}: not readable, so there is nothing to judge ({failures[0]['reason']})")
            raise ColdframeError(f"{name}: no image with this id or path; expected one of the catalogue's ids or paths")
        if len(rows) > 1:
            ids = ", ".join(row["image_id"] for row in rows)
            raise ColdframeError(f"{name}: the path of several images ({ids}): name one by its id")
        found.append(rows[0]["image_id"])
    return found


def failure_rows(snapshot: Snapshot, step: str, name: str, failed: Mapping[str, str]) -> pa.Table:
    """Rows of ``failures``, one per image of a content that failed in a step, with the user's columns.

    Args:
        failed: the reason of each content.
    """
    snapshot.register("failed_now", pa.table({"content_id": pa.array(list(failed), pa.string())}))
    rows = snapshot.query("steps/ingest/failed_images")
    reasons = [failed[content_id] for content_id in rows["content_id"].to_pylist()]
    rows = failure_columns(rows.drop_columns(["label", *(fact for fact, _ in FILE_FACTS)]))
    for column, values in (("step", [step] * len(rows)), ("name", [name] * len(rows)), ("reason", reasons)):
        rows = rows.append_column(column, pa.array(values, pa.string()))
    return rows
