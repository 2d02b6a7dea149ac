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

from pipeline.upkeep.thrift import BINARY, I32, I64, LIST, STRUCT, TRUE, Reader, Struct, value

MAGIC = b"PAR1"  # how a Parquet file begins and ends
LENGTH_BYTES = 4  # of the number before the last magic: the length of the footer
WRITER = b"parquet-cpp-arrow version "  # how Arrow calls itself
ARROW_TYPES = b"ARROW:schema"  # the only metadata of ours
PAGE_BYTES = 1024  # of a page that are read at first, for its header
FOOTER_SCHEMA, FOOTER_GROUPS, FOOTER_METADATA, FOOTER_WRITER = 2, 4, 5, 6
GROUP_COLUMNS, CHUNK_COLUMN = 1, 3
COLUMN_PATH, COLUMN_VALUES, COLUMN_SIZE, COLUMN_DATA, COLUMN_DICTIONARY, COLUMN_STATISTICS = 3, 5, 7, 9, 11, 12
PAGE_TYPE, PAGE_SIZE = 1, 3
DICTIONARY_PAGE = 2
DATA_PAGES = {0: (5, 5), 3: (8, 8)}  # by the type of a page, what it says as a data page, and the statistics in that
# Fields that say where values lie and how compactly, not what they are: their types, by the fields of the structs they are in.
LAYOUT: Mapping[int, Any] = {
    FOOTER_METADATA: LIST,
    FOOTER_WRITER: BINARY,
    FOOTER_GROUPS: {
        GROUP_COLUMNS: {
            2: I64,
            CHUNK_COLUMN: {2: LIST, 6: I64, COLUMN_SIZE: I64, COLUMN_DATA: I64, COLUMN_DICTIONARY: I64, 13: LIST},
        },
        2: I64,
        5: I64,
        6: I64,
    },
}
# All that the header of a page may have, in the same way: sizes, encodings, numbers of values, statistics.
PAGE: Mapping[int, Any] = {
    **dict.fromkeys((PAGE_TYPE, 2, PAGE_SIZE), I32),
    5: {**dict.fromkeys((1, 2, 3, 4), I32), 5: STRUCT},
    7: {1: I32, 2: I32, 3: TRUE},
    8: {**dict.fromkeys((1, 2, 3, 4, 5, 6), I32), 7: TRUE, 8: STRUCT},
}
UNTRUE = "its statistics do not match its values, or are not as coldframe writes them"


def problem(theirs: BinaryIO, ours: BinaryIO, values: pq.ParquetFile) -> str | None:
    """What a Parquet file says that ours, of the same groups of rows, does not; None if it says nothing else.

    It may say less, as an earlier Arrow does, but not of the types. ``values`` is their file.

    Raises:
        ValueError, EOFError: one is no Parquet file.
    """
    there, again = read(theirs), read(ours)
    names = [value(entry, 1, BINARY) for entry in value(there, FOOTER_METADATA, LIST, [])]
    if not value(there, FOOTER_WRITER, BINARY, b"").startswith(WRITER) or names not in ([], [ARROW_TYPES]):
        return "its footer is not one that coldframe writes"
    if there.get(FOOTER_SCHEMA) != again.get(FOOTER_SCHEMA):
        return "its types are not as coldframe writes them"
    if not _is_within(_without(there, LAYOUT), _without(again, LAYOUT)):
        return UNTRUE
    end = len(MAGIC)
    for group, (columns, known) in enumerate(zip(_columns(there), _columns(again), strict=True)):
        for place, (column, own) in enumerate(zip(columns, known, strict=True)):
            begin, data = _begin(column), value(column, COLUMN_DATA, I64)
            if value(column, COLUMN_VALUES, I64) and not end <= begin <= data:
                return "its columns overlap"
            end = max(end, begin + value(column, COLUMN_SIZE, I64))
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
    for group in value(footer, FOOTER_GROUPS, LIST):
        yield [value(chunk, CHUNK_COLUMN, STRUCT) for chunk in value(group, GROUP_COLUMNS, LIST)]


def _begin(column: Struct) -> int:
    """Where the first page of a column is."""
    found: int = value(column, COLUMN_DICTIONARY, I64, 0) or value(column, COLUMN_DATA, I64)
    return found


def _without(struct: Struct, layout: Mapping[int, Any]) -> Struct:
    """A struct less some fields, its own and those of structs in it.

    Raises:
        ValueError: one of them is of another type than it should be.
    """
    kept: Struct = {}
    for field, (kind, found) in struct.items():
        inner = layout.get(field, {})
        if isinstance(inner, int):
            if kind != inner:
                raise ValueError(f"field {field} is of another type")
        elif inner and kind == LIST and found[0] == STRUCT:
            kept[field] = kind, (STRUCT, [_without(one, inner) for one in found[1]])
        else:
            kept[field] = kind, _without(found, inner) if inner and kind == STRUCT else found
    return kept


def _is_known(struct: Struct, layout: Mapping[int, Any]) -> bool:
    """Whether a struct has no field but those of a layout, each of its type."""
    for field, (kind, found) in struct.items():
        inner = layout.get(field)
        if not (
            kind == inner if inner is None or isinstance(inner, int) else kind == STRUCT and _is_known(found, inner)
        ):
            return False
    return True


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
        return _is_within(pages[0][1], value(own, COLUMN_STATISTICS, STRUCT, {}))
    path = value(column, COLUMN_PATH, LIST)
    rows = values.read_row_group(group, columns=[b".".join(path).decode()])
    written = io.BytesIO()
    begin = 0
    with pq.ParquetWriter(written, rows.schema, store_schema=False) as writer:
        for count, _ in pages:
            writer.write_table(rows.slice(begin, count), row_group_size=max(count, 1))
            begin += count
    true = [one for columns in _columns(read(written)) for one in columns if value(one, COLUMN_PATH, LIST) == path]
    return len(true) == len(pages) and all(
        _is_within(statistics, value(one, COLUMN_STATISTICS, STRUCT, {}))
        for (_, statistics), one in zip(pages, true, strict=True)
    )


def _pages(file: BinaryIO, column: Struct) -> Iterator[tuple[int, Struct]]:
    """Number of values and statistics of each data page of a column, in order.

    Raises:
        ValueError: a page is not such as coldframe writes.
    """
    place, left, is_first = _begin(column), value(column, COLUMN_VALUES, I64), True
    while left > 0:
        header, begin = _header(file, place)
        if not _is_known(header, PAGE):
            raise ValueError("a page says more than coldframe writes")
        kind, size = value(header, PAGE_TYPE, I32), value(header, PAGE_SIZE, I32)
        if kind in DATA_PAGES:
            inner, statistics = DATA_PAGES[kind]
            data = value(header, inner, STRUCT)
            count = value(data, 1, I32)
            left -= count
            yield count, value(data, statistics, STRUCT, {})
        elif kind != DICTIONARY_PAGE or not is_first:
            raise ValueError("a page is of a kind that coldframe does not write there")
        if size < 0 or left < 0 or (kind in DATA_PAGES and count <= 0):
            raise ValueError("a page has an odd number of bytes or values")
        place, is_first = begin + size, False


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
