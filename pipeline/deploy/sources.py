"""What the command line names to be predicted: files, folders, and standard input."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.ingest import decoding, leftovers
from pipeline.ingest.decoders import Inside, Source
from pipeline.runtime.processes import standard_input
from store import places
from store.errors import ColdframeError

STDIN = "-"
MOST_LIST = 1 << 26  # bytes of a list of paths on standard input


def expand(given: Sequence[str]) -> list[Source]:
    """Files for what a command line names: a file for itself, a folder for the pictures in it, by name, at any depth, and ``-``
    for standard input, which holds a picture or the paths of some, one a line.

    Raises:
        ColdframeError: an empty name, a folder without a picture, or nothing on standard input.
    """
    found: list[Source] = []
    for name in given:
        if not name:
            raise ColdframeError("predict: an empty name among the pictures; expected a file, a folder, or -")
        if name == STDIN:
            found += _from_stdin()
        elif os.path.isdir(name):  # which raises nothing
            try:
                inside = sorted(_pictures_in(name), key=str)
            except RecursionError:
                raise ColdframeError(f"{name}: its folders are nested too deeply: name one further down") from None
            if not inside:
                raise ColdframeError(f"{name}: no picture in this folder, by the endings of names that Pillow knows")
            found += inside
        else:
            found.append(name)
    return found


def _pictures_in(name: str) -> Iterator[Inside]:
    """Files of a folder, at any depth, that are pictures by their names, without what is left out by ``ingest``; a link to
    somewhere else is none of its own."""
    folder = Path(name)
    known, top = decoding.suffixes(), str(places.real_path(folder))
    for where, folders, files in os.walk(folder):
        if where != name and leftovers.is_ours(Path(where), folders, files):
            folders.clear()
            continue
        folders[:] = [one for one in folders if not leftovers.is_junk(one)]
        for path in (Path(where, one) for one in files if not one.startswith(".")):
            if path.suffix.lower() not in known:
                continue
            try:
                is_own = path.is_file() and places.is_inside(path, folder)
            except OSError:
                is_own = True  # reading it will say why it cannot be read
            if is_own:
                yield Inside(str(folder), top, str(path.relative_to(folder)))


def _from_stdin() -> list[Source]:
    data = standard_input(decoding.MAX_BYTES + 1)
    if len(data) > decoding.MAX_BYTES:
        raise ColdframeError(f"-: more than {decoding.MAX_BYTES} bytes on standard input; expected a picture, or paths")
    if not data.strip():
        raise ColdframeError("-: nothing on standard input; expected a picture, or the paths of some, one a line")
    if len(data) > MOST_LIST or re.search(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]", data):
        return [data]  # a list has no other control characters, a picture, even a damaged one, has
    if not decoding.looks_like_picture(data):  # of the formats of pictures, some are text
        lines = os.fsdecode(data.removeprefix(codecs.BOM_UTF8).replace(b"\0", b"\n")).split("\n")
        return [line.strip() for line in lines if line.strip()]
    return [data]
