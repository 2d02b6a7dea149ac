"""Lists of verdicts: a CSV of images, with a label and a reason each where wanted."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from store.errors import ColdframeError

IMAGE, LABEL, WHY = "image_id", "label", "why"
# Of a list, and of one row: what 2 GB of memory hold with all that becomes of it.
MOST_BYTES, MOST_ROWS, MOST_CHARACTERS = 128 * 2**20, 1_000_000, 2**20


@dataclass(frozen=True)
class Judged:
    """What a person says of one image, named by id or path; ``label`` is the right one, if the label was wrong.

    Image and label as they were written, with white space around them.
    """

    image: str
    why: str
    label: str | None = None


def read(content: bytes, source: str, why: str, *, needs_why: bool, with_label: bool) -> list[Judged]:
    """The rows of a list.

    Cells are divided by commas, or by the semicolons or tabs of a spreadsheet if the first line has several cells only by those.
    The first line may name the columns: ``image_id`` (or ``path``), ``label``, ``why``, and others, which are not read. If it
    names none of the first two, each line is an image, with its label after a comma if ``with_label``.

    Args:
        content: CSV in UTF-8.
        source: what it is called in errors.
        why: the reason of rows without one of their own.

    Raises:
        ColdframeError: it is not UTF-8 or no CSV, has no rows or more than 128 MB or a million rows, or a column twice, or a row
            lacks its image, label or reason, or has more cells than there are columns.
    """
    if len(content) > MOST_BYTES:
        raise ColdframeError(f"{source}: more than {MOST_BYTES // 2**20} MB: give it in parts")
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ColdframeError(f"{source}: not UTF-8 at byte {error.start}: save it as UTF-8") from error
    rows = _rows(content, source, _delimiter(content, with_label=with_label))
    head = next(rows, None)
    if head is None:
        raise ColdframeError(f"{source}: no images; expected one a line")
    first = [cell.strip().lower() for cell in head[1]]
    columns = {name: place for place, name in enumerate(first)}
    image = columns.get(IMAGE, columns.get("path"))
    if image is None:
        columns, image = ({LABEL: 1} if with_label else {}), 0
        rows, width = chain([head], rows), 1 + len(columns)
    else:
        width = len(first)
        twice = next((name for name in (IMAGE, "path", LABEL, WHY) if first.count(name) > 1), None)
        if twice:
            raise ColdframeError(f"{source}: it has the column {twice!r} twice: leave one of them out")
    if with_label and LABEL not in columns:
        raise ColdframeError(f"{source}: no column {LABEL!r}; its columns: {', '.join(first)}")
    found = []
    for line, cells in rows:
        if any(cell.strip() for cell in cells[width:]):
            raise ColdframeError(
                f"{source}: line {line} has {len(cells)} cells, expected {width}: put a text with a comma in quotes"
            )
        one = _judged(cells, image, columns, why, with_label=with_label)
        needed = {IMAGE: one.image, LABEL: one.label, WHY: one.why if needs_why else None}
        lacking = next((name for name, value in needed.items() if value is not None and not value.strip()), None)
        if lacking:
            told = ": give one in a column 'why', or one for all with --why" if lacking == WHY else ""
            raise ColdframeError(f"{source}: line {line} has no {lacking}{told}")
        found.append(one)
    if not found:
        raise ColdframeError(f"{source}: no images below its first line")
    return found


def _delimiter(content: bytes, *, with_label: bool) -> str:
    """What divides the cells, by the first line; a comma, unless that would leave a label or a named column unseen."""
    first = content[:MOST_CHARACTERS].lstrip().partition(b"\n")[0].decode("utf-8-sig", "replace").lower()
    if "," not in first:
        for delimiter in ";\t":
            cells = [cell.strip().strip('"') for cell in first.split(delimiter)]
            if len(cells) > 1 and (with_label or not {IMAGE, "path"}.isdisjoint(cells)):
                return delimiter
    return ","


def _rows(content: bytes, source: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of its last line; none is held."""
    length = 0

    def lines() -> Iterator[str]:
        nonlocal length
        for line in io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=""):
            length += len(line)
            if length > MOST_CHARACTERS:
                raise ColdframeError(
                    f"{source}: the row at line {reader.line_num + 1} has more than {MOST_CHARACTERS:,} characters; expected an "
                    "image, with a label and a reason where wanted"
                )
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    try:
        for row, cells in enumerate(reader, start=1):
            length = 0
            if row > MOST_ROWS + 1:  # the first may name the columns
                raise ColdframeError(f"{source}: more than {MOST_ROWS:,} rows: give it in parts")
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise ColdframeError(f"{source}: line {reader.line_num} is no CSV: {error}") from error


def _judged(cells: list[str], image: int, columns: dict[str, int], why: str, *, with_label: bool) -> Judged:
    def cell(place: int | None) -> str:
        return cells[place] if place is not None and place < len(cells) else ""

    return Judged(cell(image), cell(columns.get(WHY)).strip() or why, cell(columns[LABEL]) if with_label else None)
