"""Limits on the size of a catalogue: its columns, and its share of the memory."""

from __future__ import annotations

import io
import os
from pathlib import Path

from store import opening
from store.errors import ColdframeError
from store.memory import memory_bytes

KINDS = "a CSV, TSV or Parquet file, or a folder of class folders"
MOST_COLUMNS = 2000


def opened(source: Path) -> io.BufferedReader:
    """Open the file of a catalogue for reading, after checking that there is memory for it.

    Readers do not get its path. Given a path, one could wait for a pipe put there meanwhile, or unpack a file by its suffix.

    Raises:
        ColdframeError: the file does not exist, is a pipe or a device, or is larger than its share of the memory.
    """
    try:
        file = opening.open_regular(source, follow=True)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise ColdframeError(f"{source}: no such file; expected {KINDS}") from error
    except opening.NotRegular as error:
        found = str(error.strerror).removesuffix(", expected a regular file")
        raise ColdframeError(f"{source}: {found}; expected {KINDS}") from error
    if os.fstat(file.fileno()).st_size > most_bytes():
        file.close()
        raise ColdframeError(f"{source}: {too_large()}")
    return file


def most_bytes() -> int:
    """Memory that a catalogue may take: it is held twice, once with all columns as text for rows that fail."""
    return memory_bytes() // 2


def too_large() -> str:
    """The message for a catalogue that takes too much memory."""
    return (
        f"it takes more than the {most_bytes() / 1e9:.1f} GB of memory that a catalogue may take: leave out columns that no "
        "query needs, or divide it among several stores"
    )


def check_columns(source: Path, count: int) -> None:
    """Raises:
    ColdframeError: there are more columns than SQL handles well.
    """
    if count > MOST_COLUMNS:
        raise ColdframeError(
            f"{source}: {count} columns, expected at most {MOST_COLUMNS} (each field of a structure counts): leave out those "
            "that no query needs, and see that the first row names the columns"
        )
