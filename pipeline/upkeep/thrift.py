"""Structs in the compact protocol of Apache Thrift, in which Parquet files say what is in them.

All fields are read, those too that no other reader knows. The protocol:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

TRUE, FALSE, I16, I32, I64, BINARY, LIST, STRUCT = 1, 2, 4, 5, 6, 8, 9, 12
BITS = {I16: 16, I32: 32, I64: 64}
LAST_FIELD = 2**15 - 1

# By the number of a field, its type and its value: a number, bytes, a struct, or a list as a type and values. A reader passes
# over a field whose type is not the one it expects, so the type is part of what is said.
Struct = dict[int, tuple[int, Any]]


def value(struct: Struct, field: int, kind: int, default: Any = None) -> Any:
    """The value of a field, of a list its values; ``default`` where the struct does not have it.

    Raises:
        ValueError: it has one of another type, or has none and there is no default.
    """
    found_kind, found = struct.get(field, (kind, default))
    if found_kind != kind or found is None:
        raise ValueError(f"field {field} is {'not there' if found is None else 'of another type'}")
    return found[1] if kind == LIST and field in struct else found


class Reader:
    """Reads structs one after another; ``place`` is where the next begins.

    Other readers cut a number to the bits of its type. What they would read as another one is refused.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self.place = data, 0
        self._values: dict[int, Callable[[], Any]] = {
            3: lambda: self._bytes(1),
            **{kind: functools.partial(self._integer, kind) for kind in BITS},
            7: lambda: self._bytes(8),
            BINARY: lambda: self._bytes(self._count()),
            **dict.fromkeys((LIST, 10), self._list),
            STRUCT: self.struct,
        }

    def struct(self) -> Struct:
        """The next struct.

        Raises:
            ValueError: it is none, has a field twice, or a number that its type cannot hold.
            EOFError: the bytes end within it.
        """
        found: Struct = {}
        field = 0
        while head := self._bytes(1)[0]:
            step, kind = head >> 4, head & 15
            field = field + step if step else self._integer(I16)
            if field in found or not 0 < field <= LAST_FIELD:
                raise ValueError(f"field {field} is there twice, or is none")
            found[field] = (TRUE, kind == TRUE) if kind in (TRUE, FALSE) else (kind, self._value(kind))
        return found

    def _value(self, kind: int) -> Any:
        if kind not in self._values:
            raise ValueError(f"a value is of type {kind}, which coldframe does not write")
        return self._values[kind]()

    def _list(self) -> tuple[int, list[Any]]:
        head = self._bytes(1)[0]
        kind = head & 15
        count = head >> 4 if head >> 4 < 15 else self._count()
        return kind, [self._bytes(1) if kind in (TRUE, FALSE) else self._value(kind) for _ in range(count)]

    def _integer(self, kind: int) -> int:
        number = self._varint(BITS[kind])
        return (number >> 1) ^ -(number & 1)

    def _count(self) -> int:
        return self._varint(31)

    def _varint(self, bits: int) -> int:
        number = shift = 0
        while True:
            byte = self._bytes(1)[0]
            number |= (byte & 127) << shift
            shift += 7
            if number >> bits or (byte == 0 and shift > 7):
                raise ValueError("a number is longer than its type, or than it need be")
            if byte < 128:
                return number

    def _bytes(self, count: int) -> bytes:
        found = self._data[self.place : self.place + count]
        if len(found) < count:
            raise EOFError("the bytes end too early")
        self.place += count
        return found
