"""What every reader of a catalogue returns: a table of rows, and how a person finds one of them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa


@dataclass(frozen=True)
class Listed:
    """The rows of a catalogue as they are written.

    Attributes:
        table: a row for each row of the catalogue, with its columns; each can be held by DuckDB and by Python.
        numbers: the number of each row as a person finds it: its line in a text file, else counted from 1. For a catalogue of
            several files, with the file's name.
        notes: sentences for the user, among them how the file was read.
        path, label: the columns to take where nobody names others.
        ours: columns that only say what ``path`` and ``label`` say already, and so are no columns of the user's.
        failed: for paths that cannot be read, the reason.
        files: the files of a folder that the rows were read from.
        is_text: whether it was read as text with delimiters.
        no_text: columns that became text only to be shown, and what their values are: no path, id or label.
    """

    table: pa.Table
    numbers: Sequence[int | str]
    notes: tuple[str, ...] = ()
    path: str | None = None
    label: str | None = None
    ours: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    is_text: bool = False
    no_text: Mapping[str, str] = field(default_factory=dict)
