"""Read a catalogue from text with delimiters: CSV, TSV and their kin. Every line becomes a row, or the error names it.

A quote at the start of a cell may enclose it or be part of it. Both readings are tried where they could differ, and no reading
is taken that merges lines while another one reads each of them as a row.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from pipeline.ingest import catalogue_limits
from pipeline.ingest.listed import Listed
from pipeline.ingest.readers import text
from pipeline.ingest.readers.reading import Reading, Row, Unread
from store.errors import ColdframeError

DELIMITERS = (",", ";", "\t", "|")
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
WORDS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "space": " ", "pipe": "|"}
TAB_ENDINGS = (".tsv", ".tab")
SEPARATOR = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)
BEGINNING = 1 << 20  # characters in which the header must end, for its delimiter to be found
ROWS_AT_ONCE, CHARACTERS_AT_ONCE = 4096, 1 << 24
MOST_CELL = 1 << 26  # characters
CELLS = ": every row needs as many; put text that holds a delimiter in quotes, or name another one with --delimiter"


@dataclass(frozen=True)
class Dialect:
    """How a text is to be read, as the user says it. What is None is found from the file.

    Attributes:
        delimiter: a character, or ``tab``, ``comma``, ``semicolon``, ``pipe``, ``space``.
        quote: a character, or ``none``.
        escape: the character before one that is meant as it is.
        encoding: a name that Python knows.
    """

    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    encoding: str | None = None


@dataclass
class _Seen:
    """What the rows of a text show of its quotes, for a reading and a number of columns."""

    reading: Reading
    width: int
    merged: int = 0
    odd: int = 0
    first_odd: int = 0
    _enclosed: int = 0
    _is_sure: bool = False

    def see(self, row: Row, *, is_header: bool = False) -> None:
        if row.last > row.first and not self.merged and self.reading.could_be_rows(row.lines, self.width):
            self.merged = row.first
        if self.reading.quote is None:
            for cell in row.cells:
                if not cell.startswith('"'):
                    continue
                if len(cell) > 1 and cell.endswith('"'):
                    self._enclosed += 1
                    self._is_sure = self._is_sure or is_header or '""' in cell[1:-1]
                else:
                    self.odd += 1
        elif self.reading.is_loose:
            self._enclosed += sum(map(self.reading.enclosed, row.lines))
            self.odd += row.odd
            self.first_odd = self.first_odd or (row.first if row.odd else 0)

    def is_enclosed(self) -> bool:
        """Whether quotes enclose cells. Text with tabs is often written without: there, most quotes must."""
        return self._is_sure or self._enclosed > (self.odd if self.reading.delimiter == "\t" else 0)


@dataclass(frozen=True)
class Parsed:
    """A text as one reading has it.

    Attributes:
        header: the line of the names.
        merged: the first line of the first row that takes several lines, each of which could be a row as well; 0 if none does.
        is_enclosed: whether cells show that quotes enclose them.
        odd: how many cells keep their quotes in a reading that is loose, and the line of the first.
    """

    table: pa.Table
    numbers: Sequence[int]
    header: int
    merged: int
    is_enclosed: bool
    odd: tuple[int, int]


def read(source: Path, how: Dialect) -> Listed:
    """The rows of a text file. All columns are text, as given; an empty cell is NULL.

    Raises:
        ColdframeError: a line does not have as many cells as the header, a quote is not closed, the bytes are no text in the
            encoding, or the file can be read in several ways; the message names the line.
    """
    opening = text.of_file(source)
    encoding = text.encoding_of(source, opening, how.encoding)
    with text.lines(source, opening, encoding) as lines:
        begin, size = [], 0
        for line in lines:
            begin.append(line)
            size += len(line)
            if size > BEGINNING:
                break
    if not any(line.strip() for line in begin):
        raise ColdframeError(f"{source}: empty; expected a header row with the names of the columns")
    stated = SEPARATOR.fullmatch(begin[0])
    escape = _one(source, "--escape", how.escape)
    asked = Reading("", _one(source, "--quote", how.quote), escape, skip=int(stated is not None))
    given = _one(source, "--delimiter", how.delimiter) or (stated[1] if stated else None)
    likely = [given] if given else _delimiters(source, "".join(begin[asked.skip :]))
    readings = [replace(asked, delimiter=one) for one in likely]
    fitting, misfit = [], None
    for reading in readings:
        try:
            fitting.append(read_as(source, opening, encoding, reading, is_free=how.quote is None))
        except Unread as error:
            misfit = misfit or error
    if not fitting:
        raise ColdframeError(f"{source}: {misfit}")
    if len(fitting) > 1:
        ways = " or by ".join(NAMES.get(reading.delimiter, repr(reading.delimiter)) for reading, _ in fitting)
        raise ColdframeError(
            f"{source}: line {fitting[0][1].header}: the cells may be divided by {ways}: say by which with --delimiter"
        )
    reading, parsed = fitting[0]
    notes = (f"{source}: {said(reading, encoding)}", *(f"{source}: {one}" for one in kept_quotes(parsed)))
    return Listed(parsed.table, parsed.numbers, notes, is_text=True)


def said(reading: Reading, encoding: str) -> str:
    """How a text was read, as a sentence."""
    divided = NAMES.get(reading.delimiter, repr(reading.delimiter))
    quotes = f"quoted with {reading.quote}" if reading.quote else "quotes are part of the text"
    return f"read as text in {text.said(encoding)}, cells divided by {divided}, {quotes}"


def kept_quotes(parsed: Parsed) -> list[str]:
    """A sentence on the cells that keep their quotes while others are enclosed by them, if there are any."""
    count, line = parsed.odd if parsed.odd[1] else (0, 0)
    said = "1 cell keeps its quotes" if count == 1 else f"{count} cells keep their quotes"
    return [f"{said}, since text follows the closing one: see line {line}"] if count else []


def _one(source: Path, option: str, given: str | None) -> str | None:
    """The character that an option names; None if it names none.

    Raises:
        ColdframeError: it is not one character.
    """
    if given is None:
        return '"' if option == "--quote" else None
    found = WORDS.get(given.lower(), given)
    if option != "--delimiter" and given.lower() == "none":
        return None
    if len(found) != 1 or found in "\r\n\0":
        words = (
            f" or a word ({', '.join(one for one in WORDS if one.isalpha())})"
            if option == "--delimiter"
            else " or none"
        )
        raise ColdframeError(f"{source}: {option} {given!r}: expected one character{words}")
    return found


def _delimiters(source: Path, begin: str) -> list[str]:
    """The delimiters that the header may have, the likeliest first."""
    if source.name.lower().removesuffix(".gz").endswith(TAB_ENDINGS):
        return ["\t"]
    unquoted = re.sub(r'"[^"]*"', "", begin)
    header = next((line for line in re.split(r"[\r\n]+", unquoted) if line.strip(" ")), "")  # perhaps tabs alone
    return sorted(filter(header.count, DELIMITERS), key=header.count, reverse=True) or [DELIMITERS[0]]


def read_as(
    source: Path, opening: text.Opening, encoding: str, asked: Reading, *, is_free: bool
) -> tuple[Reading, Parsed]:
    """A text read with one delimiter; where nobody says what quotes mean (``is_free``), in the way that fits.

    Raises:
        Unread: no way fits, or two do and one of them merges lines.
    """
    bare = replace(asked, quote=None)
    try:
        parsed = parse(source, opening, encoding, asked)
    except Unread as error:
        if not is_free:
            raise
        if error.is_odd:
            try:
                loose = replace(asked, is_loose=True)
                parsed = parse(source, opening, encoding, loose)
                if parsed.is_enclosed and not parsed.merged:
                    return loose, parsed
            except Unread:
                pass
        try:
            parsed = parse(source, opening, encoding, bare)
        except Unread as other:
            raise max(error, other, key=lambda one: one.line) from None  # the reading that came further is likelier
        if parsed.is_enclosed:  # quoted all the same, with a fault
            raise error from None
        return bare, parsed
    if is_free and parsed.merged:
        raise Unread(
            parsed.merged,
            "a quote is opened here and closed on a later line, but each of these lines could be a row as well",
            ": give --quote none if quotes are part of the text, or --quote '\"' if they enclose cells",
        )
    return asked, parsed


def parse(source: Path, opening: text.Opening, encoding: str, reading: Reading) -> Parsed:
    """All rows of a text, as one reading has them.

    Raises:
        Unread: it does not fit; the line is named.
        ColdframeError: there are too many columns, or the text is too large or not in this encoding.
    """
    before = csv.field_size_limit(MOST_CELL)
    try:
        with text.lines(source, opening, encoding) as lines:
            return _parsed(source, reading, reading.rows(lines))
    finally:
        csv.field_size_limit(before)


def _parsed(source: Path, reading: Reading, rows: Iterator[Row]) -> Parsed:
    names, header = reading.names, 0
    first = next(rows, None) if names is None else None
    if names is None:
        if first is None:
            raise Unread(1, "empty; expected a header row with the names of the columns")
        header, names = first.first, tuple(first.cells)
    catalogue_limits.check_columns(source, len(names))
    seen = _Seen(reading, len(names))
    if first is not None:
        seen.see(first, is_header=True)
    pieces: list[pa.RecordBatch] = []
    schema = pa.schema([(name, pa.string()) for name in names])
    pending: list[list[str]] = []
    numbers, size, taken = array("q"), 0, 0

    def pack() -> None:
        nonlocal size, taken
        columns = [pa.array([one or None for one in column], pa.string()) for column in zip(*pending, strict=True)]
        pieces.append(pa.RecordBatch.from_arrays(columns, schema=schema))
        taken += pieces[-1].nbytes
        catalogue_limits.check_bytes(source, taken)
        pending.clear()
        size = 0

    for row in rows:
        cells = row.cells
        if len(cells) != len(names):
            if len(cells) == 1 and not cells[0].strip():  # a line of blanks
                continue
            raise Unread(row.first, _wrong_count(len(cells), len(names), header), CELLS)
        seen.see(row)
        numbers.append(row.first)
        pending.append(cells)
        size += sum(map(len, cells))
        if len(pending) == ROWS_AT_ONCE or size > CHARACTERS_AT_ONCE:
            pack()
    if pending:
        pack()
    table = pa.Table.from_batches(pieces, schema)
    return Parsed(table, _shorter(numbers), header, seen.merged, seen.is_enclosed(), (seen.odd, seen.first_odd))


def _wrong_count(found: int, wanted: int, header: int) -> str:
    named = f" as the header in line {header}" if header else ""
    cells = "1 cell" if found == 1 else f"{found} cells"
    return f"{cells}, expected {wanted}{named}"


def _shorter(numbers: array[int]) -> Sequence[int]:
    """The same numbers, in a form that takes no memory if none is left out."""
    if not numbers or numbers[-1] - numbers[0] == len(numbers) - 1:
        return range(numbers[0], numbers[-1] + 1) if numbers else range(0)
    return numbers
