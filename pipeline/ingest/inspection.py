"""Inspect: what a catalogue holds. The module is not called ``inspect``, as that is in the standard library."""

from __future__ import annotations

import pyarrow as pa

from store.store import Snapshot

SECTIONS = ("overview", "classes", "sizes", "modes", "copies", "leaks", "failures")


def inspect(snapshot: Snapshot) -> dict[str, pa.Table]:
    """One table per section: totals and imbalance, classes, sizes, modes, copies, copies that splits divide, failures."""
    return {section: snapshot.query(f"steps/ingest/inspect/{section}") for section in SECTIONS}
