"""How large a catalogue may be: its columns, and its share of the memory."""

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
    """The file of a catalogue, opened for reading once it is known that there is memory for it.

    No reader gets its path: one would wait for a pipe that was put there meanwhile, or unpack a file by the ending of its name.

    Raises:
        ColdframeError: it is not there, is a pipe or a device, or is larger than what it may take of the memory.
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
    """What a catalogue may take of the memory: it is there twice, once with all columns as text for rows that fail."""
    return memory_bytes() // 2


def too_large() -> str:
    """What is said of a catalogue that takes too much memory."""
    return (
        f"it takes more than the {most_bytes() / 1e9:.1f} GB of memory that a catalogue may take: leave out columns that no "
        "query needs, or divide it among several stores"
    )


def check_columns(source: Path, count: int) -> None:
    """Raises:
    ColdframeError: more columns than SQL is comfortable with.
    """
    if count > MOST_COLUMNS:
        raise ColdframeError(
            f"{source}: {count} columns, expected at most {MOST_COLUMNS} (each field of a structure counts): leave out those "
            "that no query needs, and see that the first row names the columns"
        )
