"""Pickled tensors: a file of a few bytes must not become any number of them."""

from __future__ import annotations

import pickletools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from store import arrays, opening

MOST_PROGRAM = 64 * 2**20  # bytes of what says which tensors a pickle has
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
    """The tensors in what was loaded, however deep they lie."""
    import torch

    if isinstance(held, torch.Tensor):
        yield held
    elif isinstance(held, Mapping | list | tuple):
        for one in held.values() if isinstance(held, Mapping) else held:
            yield from _tensors(one)


def _check_program(file: BinaryIO) -> None:
    """Check that a pickle is an archive as torch writes it, whose program makes nothing but tensors.

    Raises:
        ValueError: it is not: it may make a few bytes into any number of them.
    """
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
