"""Pickled tensors: a file of a few bytes must not become any number of them."""

from __future__ import annotations

import os
import pickletools
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from store import arrays, opening

MOST_PROGRAM = 8 * 2**20  # bytes of what says which tensors a pickle has
# Of a zip archive: the record at its end, what leads to the one for large archives, and that one; of each the size of the
# list of members and its place, or the place of the next.
_END, _LOCATOR, _END_64 = struct.Struct("<12x2L2x"), struct.Struct("<8xQ4x"), struct.Struct("<40x2Q")
MAKES_TENSORS = re.compile(
    r"torch._utils (_rebuild_tensor_v2|_rebuild_parameter)|collections OrderedDict"
    r"|torch (\w+Storage|[a-z]+[0-9]+)|torch.storage \w+"
)


def check(file: Path) -> None:
    """Check that a pickle is an archive as torch writes it, that its program makes nothing but tensors, and that these have no
    more numbers than the file has bytes: a tensor may repeat a single number many times.

    Raises:
        ValueError: it is not so.
        OSError: it cannot be read, or is no regular file.
        Exception: of torch, if it cannot load it.
    """
    import torch

    with opening.open_regular(file, follow=True) as opened:
        _check_program(opened)
        held = torch.load(file, map_location="meta", weights_only=True)
    if sum(one.numel() for one in _tensors(held)) > file.stat().st_size:
        raise ValueError("its tensors have more numbers than it has bytes")


def _tensors(held: Any) -> Iterator[Any]:
    """The tensors in what was loaded, however deep they lie; lists that hold one another are looked at once."""
    import torch

    seen, todo = set[int](), [held]
    while todo:
        one = todo.pop()
        if isinstance(one, torch.Tensor):
            yield one
        elif isinstance(one, Mapping | list | tuple | set | frozenset) and id(one) not in seen:
            seen.add(id(one))
            todo += [*one, *one.values()] if isinstance(one, Mapping) else one


def _check_directory(file: BinaryIO) -> None:
    """Check that an archive has one list of its members, right before its end: of two, torch and Python read different ones.

    Raises:
        ValueError: it has not.
    """
    size = file.seek(0, os.SEEK_END)
    tail = min(size, _END.size + _LOCATOR.size + _END_64.size)
    file.seek(size - tail)
    last = file.read(tail)
    file.seek(0)
    end = size - _END.size
    if tail >= _END.size and last[-_END.size :].startswith(b"PK\5\6"):
        length, begin = _END.unpack(last[-_END.size :])
        if last[: -_END.size][-_LOCATOR.size :].startswith(b"PK\6\7") and tail > _END.size + _LOCATOR.size:
            end -= _LOCATOR.size + _END_64.size
            (at,) = _LOCATOR.unpack(last[: -_END.size][-_LOCATOR.size :])
            length, begin = _END_64.unpack(last[: _END_64.size])
            begin = begin if at == end else -1
        if begin + length == end and begin >= 0:
            return
    raise ValueError("it is not a file of tensors as torch writes it")


def _check_program(file: BinaryIO) -> None:
    """Check that a pickle is an archive as torch writes it, whose program makes nothing but tensors.

    Raises:
        ValueError: it is not: it may make a few bytes into any number of them.
    """
    _check_directory(file)
    with arrays.archive(file) as members:
        programs = [one for one in members.infolist() if one.filename.endswith("/data.pkl")]
        if len(programs) != 1 or programs[0].file_size > MOST_PROGRAM:
            raise ValueError("it is not a file of tensors as torch writes it")
        program = members.read(programs[0])
    for operation, given, _ in pickletools.genops(program):
        if operation.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"):
            raise ValueError(f"its program has {operation.name}, which none that torch writes has")
        if operation.name == "GLOBAL" and not MAKES_TENSORS.fullmatch(str(given)):
            raise ValueError(f"its program names {str(given)[:60]!r}, which makes no tensor")
    file.seek(0)
