"""Garbage collection: remove earlier moments of a store, and unreferenced files, once a grace period is over."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from store import garbage
from store.garbage import Waste
from store.store import COMMIT_WAIT_SECONDS, Store

GRACE = "1h"  # how long a moment stays readable after it is replaced
CACHES = {
    garbage.ACTIVATIONS: "caches of activations",
    garbage.TUNING: "caches of scores of tune's trials",
    garbage.THUMBNAILS: "folders of thumbnails",
    garbage.MAPS: "maps",
}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float | None:
    """``0s``, ``30m``, ``2h`` or ``7d`` in seconds; None for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    return float(found[1]) * SECONDS[found[2]] if found else None


def gc(store: Store, grace: float, *, dry_run: bool, before_removal: Callable[[Waste], None]) -> None:
    """Remove what has not been needed for ``grace`` seconds; ``before_removal`` is called first with what will go.

    If it is killed at any moment, the store stays intact: manifests are removed first, then the parts that no other names.

    Raises:
        StoreDamaged: the newest manifest is torn.
        Locked: a repair or another gc is running.
    """
    if dry_run:
        before_removal(garbage.find(store.root, time.time() - grace))
        return
    # hold the second lock to the end: a part that a commit finds must not be removed before its manifest names it
    with store.lock("maintenance"), store.lock("commit", wait=COMMIT_WAIT_SECONDS):
        waste = garbage.find(store.root, time.time() - grace)
        before_removal(waste)
        garbage.remove_manifests(store.root, waste)
        garbage.remove_parts(waste)


def describe(waste: Waste) -> list[str]:
    """What will be removed, one line each; no lines if nothing will be."""
    lines = []
    if waste.manifests:
        lines.append(f"{len(waste.manifests)} manifests of earlier moments, {megabytes(waste.manifests)} MB")
    for dataset, paths in waste.parts.items():
        lines.append(f"{len(paths)} parts of {dataset}, {megabytes(paths)} MB")
    if waste.temporary:
        lines.append(f"{len(waste.temporary)} temporary files, {megabytes(waste.temporary)} MB")
    for kind, what in CACHES.items():
        folders = [folder for folder in waste.caches if folder.parent.name == kind]
        if folders:
            lines.append(f"{len(folders)} {what}, {sum(map(garbage.size_of, folders)) / 1e6:.1f} MB")
    return lines


def megabytes(paths: tuple[Path, ...]) -> str:
    """The total size of files, in MB with one decimal."""
    return f"{sum(path.stat().st_size for path in paths if path.exists()) / 1e6:.1f}"
