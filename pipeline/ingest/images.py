"""Find images by an id or a path."""

from __future__ import annotations

from store.errors import ColdframeError
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
