"""Read a catalogue from text with delimiters: CSV, TSV and their kin. Every line becomes a row, or the error names it.

A quote at the start of a cell may enclose it or be part of it. Both readings are tried where they could differ, and no reading
is taken that merges lines while another one reads each of them as a row.
"""

from __future__ import annotations

import csv
import itertools
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from pipeline.ingest import catalogue_limits
from pipeline.ingest.listed import Listed
from pipeline.ingest.readers import text
from store.errors import ColdframeError

DELIMITERS = (",", ";", "\t", "|")
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
WORDS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "space": " ", "pipe": "|"}
TAB_ENDINGS = (".tsv", ".tab")
SEPARATOR = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)
BEGINNING = 1 << 20  # characters in which the header must end, for its delimiter to be found
ROWS_AT_ONCE, CHARACTERS_AT_ONCE = 4096, 1 << 24
MOST_CELL = 1 << 26  # characters
MIXED = (
    "it does not end as the lines before do (with a line feed or a carriage return), so that its end may be part of a cell: "
    "save the file with one kind of line ends"
)


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


@dataclass(frozen=True)
class Reading:
    """One way to read a text.

    Attributes:
        quote: None where quotes are part of the text.
        names: the names of the columns; None if the first row has them.
        skip: lines to leave out at the start.
    """

    delimiter: str
    quote: str | None = '"'
    escape: str | None = None
    names: tuple[str, ...] | None = None
    skip: int = 0

    def cells(self, lines: Iterator[str]) -> Iterator[tuple[int, int, list[str]]]:
        """Yield each row with its first and last line, blank lines left out.

        Raises:
            Unread: a quote is not closed where it should be, or a line may have lost the end of a cell.
        """
        line = first_end = ""

        def watched() -> Iterator[str]:
            nonlocal line
            for line in itertools.islice(lines, self.skip, None):  # noqa: UP028 - the line is kept
                yield line

        reader = csv.reader(
            watched(),
            delimiter=self.delimiter,
            quotechar=self.quote,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape,
            strict=True,
        )
        last = self.skip
        try:
            for cells in reader:
                first, last = last + 1, self.skip + reader.line_num
                end = line[len(line.rstrip("\r\n")) :]
                first_end = first_end or end
                if end not in ("", first_end, *(["\n"] if first_end == "\r\n" else [])):
                    raise Unread(last, MIXED)
                if cells:
                    yield first, last, cells
        except csv.Error as error:
            raise Unread(last + 1, self._why(error)) from error

    def _why(self, error: csv.Error) -> str:
        if "limit" in str(error) or "end of data" in str(error):
            what = "a quote is opened and not closed" if self.quote else str(error)
        elif "expected after" in str(error):
            what = "text follows a closing quote"
        else:
            what = str(error)
        return f"{what}; close each quote and double those within, or, where quotes are part of the text, give --quote none"


class Unread(Exception):
    """A reading does not fit a text."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line


@dataclass(frozen=True)
class Parsed:
    """A text as one reading has it.

    Attributes:
        header: the line of the names.
        merged: the first line of the first row that takes several lines; 0 if none does.
        is_enclosed: whether cells show that quotes enclose them.
    """

    table: pa.Table
    numbers: Sequence[int]
    header: int
    merged: int
    is_enclosed: bool


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
    return Listed(parsed.table, parsed.numbers, (f"{source}: {said(reading, encoding)}",), is_text=True)


def said(reading: Reading, encoding: str) -> str:
    """How a text was read, as a sentence."""
    divided = NAMES.get(reading.delimiter, repr(reading.delimiter))
    quotes = f"quoted with {reading.quote}" if reading.quote else "quotes are part of the text"
    return f"read as text in {text.said(encoding)}, cells divided by {divided}, {quotes}"


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
    header = next((line for line in re.split(r"[\r\n]+", unquoted) if line.strip()), "")
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
        try:
            parsed = parse(source, opening, encoding, bare)
        except Unread as other:
            raise max(error, other, key=lambda one: one.line) from None  # the reading that came further is likelier
        if parsed.is_enclosed:  # quoted all the same, with a fault
            raise error from None
        return bare, parsed
    if is_free and parsed.merged:
        try:
            parse(source, opening, encoding, bare)
        except Unread:
            return asked, parsed
        raise Unread(
            parsed.merged,
            "a quote is opened here and closed on a later line, but each of these lines could be a row as well: "
            "give --quote none if quotes are part of the text, or --quote '\"' if they enclose cells",
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
            return _parsed(source, reading, reading.cells(lines))
    finally:
        csv.field_size_limit(before)


def _parsed(source: Path, reading: Reading, rows: Iterator[tuple[int, int, list[str]]]) -> Parsed:
    names, header = reading.names, 0
    if names is None:
        header, last, found = next(rows, (0, 0, []))
        names = tuple(found)
        if not found:
            raise Unread(1, "empty; expected a header row with the names of the columns")
    merged = header if reading.names is None and last > header else 0
    is_enclosed = reading.quote is None and any(map(_encloses, names))
    catalogue_limits.check_columns(source, len(names))
    pieces: list[pa.RecordBatch] = []
    schema = pa.schema([(name, pa.string()) for name in names])
    pending: list[list[str]] = []
    numbers, size, taken = array("q"), 0, 0

    def pack() -> None:
        nonlocal size, taken
        columns = [pa.array([one or None for one in column], pa.string()) for column in zip(*pending, strict=True)]
        pieces.append(pa.RecordBatch.from_arrays(columns, schema=schema))
        taken += pieces[-1].nbytes
        if taken > catalogue_limits.most_bytes():
            raise ColdframeError(f"{source}: {catalogue_limits.too_large()}")
        pending.clear()
        size = 0

    for first, last, cells in rows:
        if len(cells) != len(names):
            if len(cells) == 1 and not cells[0].strip():  # a line of blanks
                continue
            raise Unread(first, _wrong_count(len(cells), len(names), header))
        if last > first and not merged:
            merged = first
        if reading.quote is None and not is_enclosed:
            is_enclosed = any(_encloses(one) and '""' in one[1:-1] for one in cells if one.startswith('"'))
        numbers.append(first)
        pending.append(cells)
        size += sum(map(len, cells))
        if len(pending) == ROWS_AT_ONCE or size > CHARACTERS_AT_ONCE:
            pack()
    if pending:
        pack()
    return Parsed(pa.Table.from_batches(pieces, schema), _shorter(numbers), header, merged, is_enclosed)


def _wrong_count(found: int, wanted: int, header: int) -> str:
    named = f" as the header in line {header}" if header else ""
    cells = "1 cell" if found == 1 else f"{found} cells"
    return (
        f"{cells}, expected {wanted}{named}: every row needs as many; put text that holds a delimiter in quotes, or name "
        "another one with --delimiter"
    )


def _encloses(cell: str) -> bool:
    """Whether a cell as it stands begins and ends with a quote."""
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _shorter(numbers: array[int]) -> Sequence[int]:
    """The same numbers, in a form that takes no memory if none is left out."""
    if not numbers or numbers[-1] - numbers[0] == len(numbers) - 1:
        return range(numbers[0], numbers[-1] + 1) if numbers else range(0)
    return numbers
