"""Inspect: what a catalogue holds. The module is not called ``inspect``, as that is in the standard library."""

from __future__ import annotations

import unicodedata

import pyarrow as pa

from store.store import Snapshot

MOST_SAID = 5  # groups of labels that a sentence names

SECTIONS = ("overview", "classes", "labels", "sizes", "modes", "copies", "leaks", "failures")


def inspect(snapshot: Snapshot) -> dict[str, pa.Table]:
    """A table for each section: totals, classes, labels alike, sizes, modes, copies, copies that splits divide, failures."""
    return {section: snapshot.query(f"steps/ingest/inspect/{section}") for section in SECTIONS}


def labels_alike(snapshot: Snapshot) -> tuple[str, ...]:
    """A sentence about labels that differ only in blanks, case or Unicode form, with their counts, if there are any."""
    groups: dict[str, list[str]] = {}
    for row in snapshot.rows("steps/ingest/inspect/labels"):
        label = row["label"]
        said = repr(label) if unicodedata.is_normalized("NFC", label) else ascii(label)
        groups.setdefault(row["like_label"], []).append(f"{said} ({row['images']})")
    if not groups:
        return ()
    shown = "; ".join(" and ".join(one) for one in list(groups.values())[:MOST_SAID])
    more = f"; and {len(groups) - MOST_SAID} more groups" if len(groups) > MOST_SAID else ""
    return (
        f"labels that differ only in blanks, case or Unicode form, each a class of its own: {shown}{more}; "
        "see 'coldframe inspect labels', and correct the catalogue",
    )
