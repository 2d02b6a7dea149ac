"""Parquet files whose footers and pages say what nobody of ours would write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.upkeep.thrift import BINARY, FALSE, LIST, STRUCT, TRUE, Reader, Struct, value

MAGIC = b"PAR1"


def footer(data: bytes) -> tuple[bytes, Struct]:
    """What comes before the footer of a file, and the footer."""
    length = int.from_bytes(data[-8:-4], "little")
    return data[: -8 - length], Reader(data[-8 - length : -8]).struct()


def with_footer(data: bytes, change: Callable[[Struct], object]) -> bytes:
    """A file with its footer changed."""
    body, found = footer(data)
    change(found)
    written = encoded(found)
    return body + written + len(written).to_bytes(4, "little") + MAGIC


def element(found: Struct, column: str) -> Struct:
    """What a footer says of a column's type."""
    return next(one for one in value(found, 2, LIST) if value(one, 4, BINARY) == column.encode())


def chunks(found: Struct, column: str) -> list[Struct]:
    """What a footer says of a column in each group of rows."""
    columns = (value(chunk, 3, STRUCT) for group in value(found, 4, LIST) for chunk in value(group, 1, LIST))
    return [one for one in columns if value(one, 3, LIST) == [column.encode()]]


def encoded(struct: Struct) -> bytes:
    """A struct in Thrift's compact protocol."""
    out, last = b"", 0
    for field, (kind, found) in sorted(struct.items()):
        if kind in (TRUE, FALSE):
            kind = TRUE if found else FALSE
        step = field - last
        out += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _varint(field << 1)
        out += b"" if kind in (TRUE, FALSE) else _value(kind, found)
        last = field
    return out + b"\0"


def _value(kind: int, found: Any) -> bytes:
    if kind in (4, 5, 6):
        return _varint(found << 1 if found >= 0 else (-found << 1) - 1)
    if kind == 8:
        return _varint(len(found)) + bytes(found)
    if kind == STRUCT:
        return encoded(found)
    if kind == LIST:
        inner, values = found
        head = bytes([len(values) << 4 | inner]) if len(values) < 15 else bytes([240 | inner]) + _varint(len(values))
        return head + b"".join(one if inner in (TRUE, FALSE) else _value(inner, one) for one in values)
    return bytes(found)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
