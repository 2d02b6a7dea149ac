"""One way to read text with delimiters: its rows, each with the lines that it was read from."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

MIXED = "it does not end as the lines before do (with a line feed or a carriage return), so that its end may be part of a cell"
MANY = 10  # lines that all end with a carriage return before the line feed: no longer by chance
ONE_KIND = ": save the file with one kind of line ends"
QUOTES = "; close each quote and double those within, or, where quotes are part of the text, give --quote none"


class Unread(Exception):
    """A reading does not fit a text.

    Attributes:
        fault: the line and what is wrong there, without the advice.
        is_odd: whether that is because text follows a closing quote, in a row of one line.
    """

    def __init__(self, line: int, why: str, advice: str = "", *, is_odd: bool = False) -> None:
        self.line, self.fault, self.is_odd = line, f"line {line}: {why}", is_odd
        super().__init__(self.fault + advice)


class Row(NamedTuple):
    """A row with its first and last line, counted from 1.

    Attributes:
        lines: the lines as they stand.
        odd: how many cells keep their quotes, since text follows the closing one.
    """

    first: int
    last: int
    cells: list[str]
    lines: tuple[str, ...]
    odd: int = 0


@dataclass
class _Ends:
    """The ends of rows. Where a line feed ends them, a carriage return before one may be part of a cell."""

    first: str = ""
    changed: int = 0
    count: int = 0

    def see(self, line: str, number: int, *, is_enclosed: bool) -> None:
        """Raises:
        Unread: a line may have lost the end of a cell.
        """
        end = line[len(line.rstrip("\r\n")) :]
        self.first = self.first or end
        if self.first == "\n" and end == "\r\n":
            self.changed = self.changed or number
            self.count += MANY if is_enclosed else 1
        elif self.changed and end:
            raise Unread(self.changed, MIXED, ONE_KIND)
        elif end not in ("", self.first, *(["\n"] if self.first == "\r\n" else [])):
            raise Unread(number, MIXED, ONE_KIND)

    def check(self) -> None:
        """Raises:
        Unread: too few lines end in another way than those before.
        """
        if 0 < self.count < MANY:
            raise Unread(self.changed, MIXED, ONE_KIND)


@dataclass(frozen=True)
class Reading:
    """One way to read a text.

    Attributes:
        quote: None where quotes are part of the text.
        names: the names of the columns; None if the first row has them.
        skip: lines to leave out at the start.
        is_loose: whether a cell is taken as it stands if text follows its closing quote.
    """

    delimiter: str
    quote: str | None = '"'
    escape: str | None = None
    names: tuple[str, ...] | None = None
    skip: int = 0
    is_loose: bool = False

    def rows(self, lines: Iterator[str]) -> Iterator[Row]:
        """Yield each row, blank lines left out.

        Raises:
            Unread: a quote is not closed where it should be, or a line may have lost the end of a cell.
        """
        taken: list[str] = []

        def watched() -> Iterator[str]:
            for line in itertools.islice(lines, self.skip, None):
                taken.append(line)
                yield line

        reader = self._reader(watched())
        ends, last = _Ends(), self.skip
        while True:
            taken.clear()
            odd = 0
            try:
                cells = next(reader)
            except StopIteration:
                ends.check()
                return
            except csv.Error as error:
                is_odd = "expected after" in str(error) and len(taken) == 1
                loose = self._as_they_stand(taken[0]) if is_odd and self.is_loose else None
                if loose is None:
                    raise Unread(last + 1, self._why(error), QUOTES, is_odd=is_odd) from error
                cells, odd = loose
            first, last = last + 1, self.skip + reader.line_num
            ends.see(taken[-1], last, is_enclosed=self.quote is not None and taken[-1].endswith(f"{self.quote}\r\n"))
            if cells:
                yield Row(first, last, cells, tuple(taken), odd)

    def could_be_rows(self, lines: Sequence[str], width: int) -> bool:
        """Whether each of these lines is a row of so many cells, if quotes are part of the text."""
        bare = replace(self, quote=None, skip=0)
        try:
            found = [row.cells for line in lines if line.strip() for row in bare.rows(iter([line]))]
        except Unread:
            return False
        return all(len(cells) == width for cells in found)

    def enclosed(self, line: str) -> int:
        """How many cells of a line are enclosed by quotes."""
        return sum(1 for _ in self._enclosing.finditer(line))

    def _reader(self, lines: Iterator[str]) -> Any:
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape,
            strict=True,
        )

    @cached_property
    def _enclosing(self) -> re.Pattern[str]:
        quote, delimiter = re.escape(self.quote or ""), re.escape(self.delimiter)
        return re.compile(rf"(?:^|{delimiter}){quote}(?:[^{quote}]|{quote}{quote})*+{quote}(?={delimiter}|[\r\n]|\Z)")

    def _as_they_stand(self, line: str) -> tuple[list[str], int] | None:
        """The cells of a line, one with text after its closing quote as it stands, and how many such there are.

        None if that cell ends with a quote: then one within was not doubled, and it is enclosed.
        """
        if self.quote is None or self.escape is not None:
            return None
        quote, delimiter = re.escape(self.quote), re.escape(self.delimiter)
        enclosed = rf"{quote}(?:[^{quote}]|{quote}{quote})*+{quote}"
        found = re.findall(rf"({enclosed})?([^{delimiter}]*+)(?:{delimiter}|\Z)", line.rstrip("\r\n"))
        if not line.rstrip("\r\n").endswith(self.delimiter):
            found.pop()  # the empty one at the end
        cells, odd = [], 0
        for inside, rest in found:
            if inside and rest:
                odd += 1
                if rest.endswith(self.quote):
                    return None
            elif rest.startswith(self.quote):  # opened and not closed
                return None
            cells.append(inside + rest if rest else inside[1:-1].replace(self.quote * 2, self.quote))
        return cells, odd

    def _why(self, error: csv.Error) -> str:
        if "limit" in str(error) or "end of data" in str(error):
            return "a quote is opened and not closed" if self.quote else str(error)
        return "text follows a closing quote" if "expected after" in str(error) else str(error)
