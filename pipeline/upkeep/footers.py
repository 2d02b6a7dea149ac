"""What a Parquet file says of its values, in its footer and before each of its pages, whichever reader goes by it.

Readers leave rows unread by what a file says of them, and no two readers use the same of it. So all that a file says must be what
our own writer says of the same values; fields are numbered as in ``parquet.thrift`` of Apache Parquet
(https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow.parquet as pq

from pipeline.upkeep.thrift import LIST, STRUCT, Reader, Struct, value

MAGIC = b"PAR1"  # how a Parquet file begins and ends
LENGTH_BYTES = 4  # of the number before the last magic: the length of the footer
WRITER = b"parquet-cpp-arrow version "  # how Arrow calls itself
ARROW_TYPES = b"ARROW:schema"  # the only metadata of ours
PAGE_BYTES = 1024  # of a page that are read at first, for its header
FOOTER_SCHEMA, FOOTER_GROUPS, FOOTER_METADATA, FOOTER_WRITER = 2, 4, 5, 6
GROUP_COLUMNS, CHUNK_COLUMN = 1, 3
COLUMN_PATH, COLUMN_VALUES, COLUMN_SIZE, COLUMN_DATA, COLUMN_DICTIONARY, COLUMN_STATISTICS = 3, 5, 7, 9, 11, 12
PAGE_TYPE, PAGE_SIZE = 1, 3
DATA_PAGES = {
    (5, 0): (5, 5),
    (5, 3): (8, 8),
}  # by the type of a page, what it says as a data page, and the statistics in that
# Fields that say where values lie and how compactly, not what they are, by struct and by the field that holds a struct.
LAYOUT: Mapping[int, Any] = {
    FOOTER_METADATA: None,
    FOOTER_WRITER: None,
    FOOTER_GROUPS: {
        GROUP_COLUMNS: {2: None, CHUNK_COLUMN: dict.fromkeys((2, 6, COLUMN_SIZE, COLUMN_DATA, COLUMN_DICTIONARY, 13))},
        **dict.fromkeys((2, 5, 6)),
    },
}
UNTRUE = "its statistics do not match its values, or are not as coldframe writes them"


def problem(theirs: BinaryIO, ours: BinaryIO, values: pq.ParquetFile) -> str | None:
    """What a Parquet file says that ours, of the same groups of rows, does not; None if it says nothing else.

    It may say less, as an earlier Arrow does, but not of the types. ``values`` is their file.

    Raises:
        ValueError, EOFError: one is no Parquet file.
    """
    there, again = read(theirs), read(ours)
    names = [value(entry, 1) for entry in value(there, FOOTER_METADATA, [])]
    if not value(there, FOOTER_WRITER, b"").startswith(WRITER) or names not in ([], [ARROW_TYPES]):
        return "its footer is not one that coldframe writes"
    if there.get(FOOTER_SCHEMA) != again.get(FOOTER_SCHEMA):
        return "its types are not as coldframe writes them"
    if not _is_within(_without(there, LAYOUT), _without(again, LAYOUT)):
        return UNTRUE
    end = len(MAGIC)
    for group, (columns, known) in enumerate(zip(_columns(there), _columns(again), strict=True)):
        for place, (column, own) in enumerate(zip(columns, known, strict=True)):
            begin = value(column, COLUMN_DICTIONARY) or value(column, COLUMN_DATA)
            if value(column, COLUMN_VALUES) and not end <= begin <= value(column, COLUMN_DATA):
                return "its columns overlap"
            end = max(end, begin + value(column, COLUMN_SIZE))
            is_flat = values.schema.column(place).max_repetition_level == 0  # a page of others may begin inside a row
            if is_flat and not _are_pages_true(theirs, column, own, values, group):
                return UNTRUE
    return None


def read(file: BinaryIO) -> Struct:
    """The footer of a Parquet file.

    Raises:
        ValueError, EOFError: the file does not end with one.
    """
    size = file.seek(0, os.SEEK_END)
    end = LENGTH_BYTES + len(MAGIC)
    file.seek(max(size - end, 0))
    last = file.read(end)
    length = int.from_bytes(last[:LENGTH_BYTES], "little")
    if last[LENGTH_BYTES:] != MAGIC or length > size - end - len(MAGIC):
        raise ValueError("it does not end as a Parquet file does")
    file.seek(size - end - length)
    reader = Reader(file.read(length))
    footer = reader.struct()
    if reader.place != length:
        raise ValueError("its footer is followed by something else")
    return footer


def _columns(footer: Struct) -> Iterator[list[Struct]]:
    """For each group of rows what is said of its columns."""
    for group in value(footer, FOOTER_GROUPS, []):
        yield [value(chunk, CHUNK_COLUMN) for chunk in value(group, GROUP_COLUMNS)]


def _without(struct: Struct, layout: Mapping[int, Any]) -> Struct:
    """A struct less some fields, its own and those of structs in it."""
    kept: Struct = {}
    for field, (kind, found) in struct.items():
        inner = layout.get(field, {})
        if inner is None:
            continue
        if inner and kind == LIST and found[0] == STRUCT:
            kept[field] = kind, (STRUCT, [_without(one, inner) for one in found[1]])
        else:
            kept[field] = kind, _without(found, inner) if inner and kind == STRUCT else found
    return kept


def _is_within(some: object, more: object) -> bool:
    """Whether one struct has no field that another has not, and none with another value."""
    if isinstance(some, dict) and isinstance(more, dict):
        return all(field in more and _is_within(found, more[field]) for field, found in some.items())
    if isinstance(some, list | tuple) and isinstance(more, list | tuple):
        return len(some) == len(more) and all(map(_is_within, some, more))
    return type(some) is type(more) and some == more


def _are_pages_true(file: BinaryIO, column: Struct, own: Struct, values: pq.ParquetFile, group: int) -> bool:
    """Whether the statistics before the pages of a column are those of the values in them."""
    pages = list(_pages(file, column))
    if not any(statistics for _, statistics in pages):
        return True
    if len(pages) == 1:
        return _is_within(pages[0][1], value(own, COLUMN_STATISTICS, {}))
    path = value(column, COLUMN_PATH)
    rows = values.read_row_group(group, columns=[b".".join(path).decode()])
    written = io.BytesIO()
    begin = 0
    with pq.ParquetWriter(written, rows.schema, store_schema=False) as writer:
        for count, _ in pages:
            writer.write_table(rows.slice(begin, count), row_group_size=max(count, 1))
            begin += count
    true = [one for columns in _columns(read(written)) for one in columns if value(one, COLUMN_PATH) == path]
    return len(true) == len(pages) and all(
        _is_within(statistics, value(one, COLUMN_STATISTICS, {}))
        for (_, statistics), one in zip(pages, true, strict=True)
    )


def _pages(file: BinaryIO, column: Struct) -> Iterator[tuple[int, Struct]]:
    """Number of values and statistics of each data page of a column, in order."""
    place = value(column, COLUMN_DICTIONARY) or value(column, COLUMN_DATA)
    left = value(column, COLUMN_VALUES)
    while left > 0:
        header, begin = _header(file, place)
        size = value(header, PAGE_SIZE)
        if size < 0:
            raise ValueError("a page is shorter than nothing")
        place = begin + size
        if header.get(PAGE_TYPE) in DATA_PAGES:
            kind, statistics = DATA_PAGES[header[PAGE_TYPE]]
            data = value(header, kind)
            left -= value(data, 1)
            yield value(data, 1), value(data, statistics, {})


def _header(file: BinaryIO, place: int) -> tuple[Struct, int]:
    """The header of the page at a place, and where the page begins."""
    size = PAGE_BYTES
    while True:
        file.seek(place)
        reader = Reader(file.read(size))
        try:
            return reader.struct(), place + reader.place
        except EOFError:
            if file.tell() < place + size:
                raise
            size *= 2
