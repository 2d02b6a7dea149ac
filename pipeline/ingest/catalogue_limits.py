"""Limits on the size of a catalogue: its columns, and its share of the memory."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from store import opening
from store.errors import ColdframeError
from store.memory import at_most, memory_bytes

KINDS = "a CSV, TSV or Parquet file, JSON, a Darwin Core archive, or a folder of class folders"
MOST_COLUMNS = 2000
Packed = IO[bytes] | gzip.GzipFile
GZIP = b"\x1f\x8b"
RATIO, UNPACKED_BYTES = 100, 1 << 27  # that packed text may unpack to: times its bytes, and always so many
OBJECTS = 8  # times the bytes of a JSON text: what it takes as Python objects


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


class Bounded(io.RawIOBase):
    """Bytes that are unpacked while they are read, and never more of them than a catalogue may take.

    Args:
        size: how many bytes are packed.
        packed, below: what they are read from, and what that reads; closed with this.
        most: how many there may be; if it is None, what the memory allows and a table that was packed can have.
    """

    def __init__(self, source: Path, size: int, packed: Packed, *below: IO[bytes], most: int | None = None) -> None:
        self._source, self._packed, self._below = source, packed, below
        self._most = min(most_bytes(), max(UNPACKED_BYTES, RATIO * size)) if most is None else most
        self._left = self._most

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, into: Any) -> int:
        """Read some bytes.

        Raises:
            ColdframeError: there are too many of them, or they cannot be unpacked.
        """
        try:
            data = self._packed.read(min(len(into), 1 << 20))
        except (OSError, EOFError, ValueError, RuntimeError, zlib.error) as error:
            raise ColdframeError(f"{self._source}: cannot be unpacked: {error}; see that it is whole") from error
        self._left -= len(data)
        if self._left < 0:
            why = f"it unpacks to more than {self._most / 1e6:.0f} MB, as hardly a table does: unpack it, and look at it first"
            raise ColdframeError(f"{self._source}: {too_large() if self._most == most_bytes() else why}")
        into[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close what is read from, too."""
        if not self.closed:
            for one in (self._packed, *self._below):
                one.close()
        super().close()


def unpacked(source: Path, file: io.BufferedReader) -> io.BufferedReader:
    """The bytes of a file, unpacked where its first bytes say that it is packed with gzip, whatever its name."""
    if not file.peek(2).startswith(GZIP):
        return file
    return io.BufferedReader(
        Bounded(source, os.fstat(file.fileno()).st_size, gzip.GzipFile(fileobj=file, mode="rb"), file)
    )


def most_bytes() -> int:
    """Memory that a catalogue may take: it is held twice, once with all columns as text for rows that fail."""
    return memory_bytes() // 2


def too_large() -> str:
    """The message for a catalogue that takes too much memory."""
    return (
        f"it takes more than the {most_bytes() / 1e9:.1f} GB of memory that a catalogue may take: leave out columns that no "
        "query needs, or divide it among several stores"
    )


@contextmanager
def within(source: Path) -> Iterator[None]:
    """Read a catalogue within its share of the memory. What a reader adds up itself is only the sooner refused.

    Raises:
        ColdframeError: it takes more.
    """
    try:
        with at_most(most_bytes()):
            yield
    except MemoryError as error:
        raise ColdframeError(f"{source}: {too_large()}") from error


def check_bytes(source: Path, taken: int) -> None:
    """Raises:
    ColdframeError: so many bytes are more than a catalogue may take.
    """
    if taken > most_bytes():
        raise ColdframeError(f"{source}: {too_large()}")


def whole(source: Path) -> bytes:
    """All bytes of a catalogue that has to be parsed at once, as a JSON document, unpacked if need be.

    Raises:
        ColdframeError: it is larger than the memory can hold as Python objects.
    """
    most = most_bytes() // OBJECTS
    with unpacked(source, opened(source)) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ColdframeError(f"{source}: {too_large()}")
    return data


def check_columns(source: Path, count: int) -> None:
    """Raises:
    ColdframeError: there are more columns than SQL handles well.
    """
    if count > MOST_COLUMNS:
        raise ColdframeError(
            f"{source}: {count} columns, expected at most {MOST_COLUMNS} (each field of a structure counts): leave out those "
            "that no query needs, and see that the first row names the columns"
        )
