"""Inspect: what a catalogue holds. Named so because ``inspect`` is the standard library's."""

from __future__ import annotations

import pyarrow as pa

from store.store import Snapshot

SECTIONS = ("overview", "classes", "sizes", "modes", "copies", "failures")


def inspect(snapshot: Snapshot) -> dict[str, pa.Table]:
    """One table per section: totals and imbalance, classes, sizes, modes, copies, failures."""
    return {section: snapshot.query(f"steps/ingest/inspect/{section}") for section in SECTIONS}
