"""Text of a catalogue: its encoding, what unpacks it, and its lines."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.ingest import catalogue_limits
from store.errors import ColdframeError

Opening = Callable[[], IO[bytes]]
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class NotText(ColdframeError):
    """Bytes are no text in an encoding. ``fault`` says which and where, without the advice."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        super().__init__(
            f"{fault}; save it as CSV with UTF-8 encoding, or name its encoding with --encoding, such as cp1252 for a file "
            "from Excel"
        )


def of_file(source: Path) -> Opening:
    """Opens the bytes of a file, unpacked where they are packed with gzip."""
    return lambda: catalogue_limits.unpacked(source, catalogue_limits.opened(source))


def encoding_of(source: Path, opening: Opening, given: str | None) -> str:
    """The encoding of a text: the one that was given, or else what its first bytes say; UTF-8 if they say nothing.

    Raises:
        ColdframeError: there is no such encoding.
    """
    with opening() as file:
        begin = file.read(64)
    marked = next((name for mark, name in MARKS if begin.startswith(mark)), "utf-8")
    if given is None:
        return _unmarked(begin) if marked == "utf-8" else marked
    try:
        "".encode(given)  # only encodings of text can do that
        name = codecs.lookup(given).name
    except (LookupError, ValueError) as error:
        raise ColdframeError(
            f"{source}: no encoding {given!r} (--encoding); expected one such as utf-8, utf-16, latin-1 or cp1252"
        ) from error
    return marked if name == "utf-8" else name


def _unmarked(begin: bytes) -> str:
    """UTF-16 if every other byte of a beginning is zero, as in names of columns; else UTF-8."""
    even, odd = begin[::2], begin[1::2]
    if len(begin) < 4 or all(even) == all(odd):
        return "utf-8"
    return "utf-16-le" if not any(odd) else "utf-16-be" if not any(even) else "utf-8"


@contextmanager
def lines(source: Path, opening: Opening, encoding: str) -> Iterator[Iterator[str]]:
    """The lines of a text, each with its end: a line feed, a carriage return, or both.

    Raises:
        NotText: the text is not in this encoding; the message names the line.
    """
    with opening() as file, io.TextIOWrapper(file, encoding, newline="") as text:
        try:
            yield text
        except UnicodeError as error:
            raise _not_in(source, opening, encoding) from error


def _not_in(source: Path, opening: Opening, encoding: str) -> NotText:
    """The error for bytes that are no text in this encoding."""
    where = ""
    with opening() as file, io.TextIOWrapper(file, encoding, errors="surrogateescape", newline="") as text:
        try:
            wrong = (
                number for number, line in enumerate(text, start=1) if any("\ud800" <= one <= "\udfff" for one in line)
            )
            where = f"line {next(wrong)}: "
        except (UnicodeError, StopIteration):  # an encoding whose errors cannot be skipped
            pass
    said = "UTF-8" if encoding.startswith("utf-8") else encoding
    return NotText(f"{source}: {where}not {said} text")


def said(encoding: str) -> str:
    """The name of an encoding as people write it."""
    return {
        "utf-8": "UTF-8",
        "utf-8-sig": "UTF-8",
        "utf-16": "UTF-16",
        "utf-16-le": "UTF-16",
        "utf-16-be": "UTF-16",
    }.get(encoding, encoding)
