"""Folders that hold no picture of a person's: what systems and programs leave behind, and what coldframe writes itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from store import manifest

# Folders that systems, storages and programs leave behind: what lies in them is no picture of a class. In lower case.
STORAGES = ("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "@sharebin", "~snapshot")
SYSTEMS = ("$recycle.bin", "recycler", "recycled", "system volume information", "found.000", "lost+found", "__macosx")
PROGRAMS = ("__pycache__", "node_modules", "network trash folder", "temporary items")
JUNK = frozenset((*STORAGES, *SYSTEMS, *PROGRAMS))
BESIDE_REPORT = "coldframe-report.txt"  # in a folder of pictures beside a report: their names


def is_junk(name: str) -> bool:
    """Whether a folder is one that a system or a program leaves behind, by its name."""
    return name.startswith(".") or name.lower() in JUNK


def is_ours(folder: Path, folders: Sequence[str], files: Sequence[str]) -> bool:
    """Whether a folder with these folders and files in it is a store, or has the pictures of a report.

    Both hold small copies of a person's pictures: taken for pictures of a class, each would be there twice.
    """
    return BESIDE_REPORT in files or (manifest.FOLDER in folders and bool(manifest.numbers(folder)))
