"""Structs in the compact protocol of Apache Thrift, in which Parquet files say what is in them.

All fields are read, those too that no other reader knows. The protocol:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TRUE, FALSE, LIST, STRUCT = 1, 2, 9, 12
MOST_BYTES = 10  # of a whole number of 64 bits

# By the number of a field, its type and its value: a number, bytes, a struct, or a list as a type and values. A reader passes
# over a field whose type is not the one it expects, so the type is part of what is said.
Struct = dict[int, tuple[int, Any]]


def value(struct: Struct, field: int, default: Any = None) -> Any:
    """The value of a field; of a list its values."""
    kind, found = struct.get(field, (None, default))
    return found[1] if kind == LIST else found


class Reader:
    """Reads structs one after another; ``place`` is where the next begins."""

    def __init__(self, data: bytes) -> None:
        self._data, self.place = data, 0
        self._values: dict[int, Callable[[], Any]] = {
            3: lambda: self._bytes(1),
            **dict.fromkeys((4, 5, 6), self._integer),
            7: lambda: self._bytes(8),
            8: lambda: self._bytes(self._varint()),
            **dict.fromkeys((LIST, 10), self._list),
            STRUCT: self.struct,
        }

    def struct(self) -> Struct:
        """The next struct.

        Raises:
            ValueError: it is none, or has a field twice.
            EOFError: the bytes end within it.
        """
        found: Struct = {}
        field = 0
        while head := self._bytes(1)[0]:
            step, kind = head >> 4, head & 15
            field = field + step if step else self._integer()
            if field in found:
                raise ValueError("a field is there twice")
            found[field] = (TRUE, kind == TRUE) if kind in (TRUE, FALSE) else (kind, self._value(kind))
        return found

    def _value(self, kind: int) -> Any:
        if kind not in self._values:
            raise ValueError(f"a value is of type {kind}, which coldframe does not write")
        return self._values[kind]()

    def _list(self) -> tuple[int, list[Any]]:
        head = self._bytes(1)[0]
        kind = head & 15
        count = head >> 4 if head >> 4 < 15 else self._varint()
        return kind, [self._bytes(1) if kind in (TRUE, FALSE) else self._value(kind) for _ in range(count)]

    def _integer(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = 0
        for place in range(MOST_BYTES):
            byte = self._bytes(1)[0]
            number |= (byte & 127) << 7 * place
            if byte < 128:
                return number
        raise ValueError("a number is too long")

    def _bytes(self, count: int) -> bytes:
        found = self._data[self.place : self.place + count]
        if len(found) < count:
            raise EOFError("the bytes end too early")
        self.place += count
        return found
