"""Finding images by what a person calls them, and what the last ingest knows of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline import decoding
from store.errors import ColdframeError
from store.rows import json_of, not_ours
from store.store import Snapshot


def find_images(snapshot: Snapshot, given: list[str]) -> list[str]:
    """The ids of images named by id or by path.

    Raises:
        ColdframeError: one names no readable image; a failed row is said to be one, with its reason.
    """
    found = []
    for name in given:
        rows = snapshot.rows("steps/images/find_image", name=name)
        if not rows:
            failures = snapshot.rows("steps/images/find_failure", name=name)
            if failures:
                raise ColdframeError(f"{name}: not readable, so there is nothing to judge ({failures[0]['reason']})")
            raise ColdframeError(f"{name}: no image with this id or path; expected one of the catalogue's ids or paths")
        if len(rows) > 1:
            ids = ", ".join(row["image_id"] for row in rows)
            raise ColdframeError(f"{name}: the path of several images ({ids}): name one by its id")
        found.append(rows[0]["image_id"])
    return found


def image_root(snapshot: Snapshot) -> Path:
    """The image folder of the last ingest.

    Raises:
        ColdframeError: nothing was ingested yet, or the folder is gone.
    """
    root = Path(_ingest_settings(snapshot)["images"])
    if not root.is_dir():
        raise ColdframeError(
            f"{root}: the image folder is not there any more; run 'coldframe ingest' again with --images where it is now"
        )
    return root


def ingested_max_pixels(snapshot: Snapshot) -> int:
    """The largest picture that the last ingest took, in pixels.

    Raises:
        ColdframeError: nothing was ingested yet.
    """
    found: int = _ingest_settings(snapshot)["max_pixels"]
    return found


def _ingest_settings(snapshot: Snapshot) -> dict[str, Any]:
    records = snapshot.rows("steps/status/step", step="ingest", name="")
    if not records:
        raise ColdframeError(f"{snapshot.root}: no catalogue yet; start with 'coldframe ingest METADATA --images DIR'")
    where = "the settings of the last ingest"
    settings = {"max_pixels": decoding.MAX_PIXELS, **json_of(records[0]["settings"], where)}
    if not isinstance(settings.get("images"), str):
        raise not_ours(where, "they name no image folder")
    if type(settings["max_pixels"]) is not int or settings["max_pixels"] < 1:
        raise not_ours(where, f"max_pixels = {ascii(settings['max_pixels'])[:60]}, expected a count")
    return settings
