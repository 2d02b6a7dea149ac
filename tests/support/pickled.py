"""Files of pickled tensors that a test makes by hand: the program, and the archive around it."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

MAKES = b"}]cXRt\x85\x86\x87"  # operations whose result pickle remembers at once
MEMBERS = (("archive/data/0", bytes(64)), ("archive/version", b"3\n"))  # beside the program
Member = tuple[str | zipfile.ZipInfo, bytes]


def text(value: str) -> bytes:
    """The operation that makes a text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def named(module: str, of: str) -> bytes:
    """The operation that finds something by its name."""
    return f"c{module}\n{of}\n".encode()


def again(place: int) -> bytes:
    """The operation that takes what was made before: by its place among what pickle remembers."""
    return b"j" + struct.pack("<I", place)


def program(*operations: bytes) -> bytes:
    """The program of these operations, which remembers what it makes as pickle does."""
    made, parts = 0, [b"\x80\x02"]
    for one in operations:
        parts.append(one)
        if one[:1] in [bytes([code]) for code in MAKES]:
            parts.append(b"r" + struct.pack("<I", made))
            made += 1
    return b"".join([*parts, b"."])


ORDERED = (named("collections", "OrderedDict"), b")", b"R")


def tensor(*, key: str = "0", count: int = 4, hooks: Sequence[bytes] = ORDERED) -> tuple[bytes, ...]:
    """The operations for a tensor of so many numbers of four bytes, in the storage of a key."""
    storage = (b"(", text("storage"), named("torch", "FloatStorage"), text(key), text("cpu"))
    number = b"J" + struct.pack("<i", count)
    shape = (b"K\0", number, b"\x85", b"K\1", b"\x85")
    makes = named("torch._utils", "_rebuild_tensor_v2")
    return makes, b"(", *storage, number, b"t", b"Q", *shape, b"\x89", *hooks, b"t", b"R"


def write(file: Path, code: bytes, *first: Member, last: Sequence[Member] = MEMBERS, top: str = "archive") -> Path:
    """An archive with a program and other members before and behind it."""
    with zipfile.ZipFile(file, "w") as opened:
        for one, data in (*first, (f"{top}/data.pkl", code), *last):
            opened.writestr(one, data)
    return file
