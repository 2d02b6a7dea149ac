"""Lists of verdicts: a CSV of images, with a label and a reason each where wanted."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from store.errors import ColdframeError

IMAGE, LABEL, WHY = "image_id", "label", "why"
MOST_BYTES = 256 * 2**20


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

    The first line may name the columns: ``image_id`` (or ``path``), ``label``, ``why``, and others, which are not read. If it
    names none of the first two, each line is an image, with its label after a comma if ``with_label``.

    Args:
        content: CSV in UTF-8, at most 256 MB.
        source: what it is called in errors.
        why: the reason of rows without one of their own.

    Raises:
        ColdframeError: it is not UTF-8 or no CSV, has no rows or a column twice, or a row lacks its image, label or reason, or
            has more cells than there are columns.
    """
    if len(content) > MOST_BYTES:
        raise ColdframeError(f"{source}: more than {MOST_BYTES // 2**20} MB, which is no list of images")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ColdframeError(f"{source}: not UTF-8 at byte {error.start}: save it as UTF-8") from error
    listed = list(_rows(text, source))
    if not listed:
        raise ColdframeError(f"{source}: no images; expected one a line")
    first = [cell.strip().lower() for cell in listed[0][1]]
    columns = {name: place for place, name in enumerate(first)}
    image = columns.get(IMAGE, columns.get("path"))
    if image is None:
        columns, image = ({LABEL: 1} if with_label else {}), 0
        width = 1 + len(columns)
    else:
        del listed[0]
        width = len(first)
        twice = next((name for name in (IMAGE, "path", LABEL, WHY) if first.count(name) > 1), None)
        if twice:
            raise ColdframeError(f"{source}: it has the column {twice!r} twice: leave one of them out")
    if with_label and LABEL not in columns:
        raise ColdframeError(f"{source}: no column {LABEL!r}; its columns: {', '.join(first)}")
    if not listed:
        raise ColdframeError(f"{source}: no images below its first line")
    found = []
    for line, cells in listed:
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
    return found


def _rows(text: str, source: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise ColdframeError(f"{source}: line {reader.line_num} is no CSV: {error}") from error


def _judged(cells: list[str], image: int, columns: dict[str, int], why: str, *, with_label: bool) -> Judged:
    def cell(place: int | None) -> str:
        return cells[place] if place is not None and place < len(cells) else ""

    return Judged(cell(image), cell(columns.get(WHY)).strip() or why, cell(columns[LABEL]) if with_label else None)
