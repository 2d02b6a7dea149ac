"""The folder of pictures beside a report. A list in it names what a report put there: nothing else is replaced or removed."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pipeline.ingest.leftovers import BESIDE_REPORT
from store import files, opening, whole
from store.errors import ColdframeError

FIRST_LINE = "The pictures in this folder that belong to a report of coldframe:"
MOST_BYTES = 1 << 30  # of the list
_PICTURE = re.compile(r"[0-9a-f]{32}\.webp")
_UNFINISHED = re.compile(r"(.+)\.[0-9a-f]{32}\.tmp")  # what a killed process leaves


def check(folder: Path, *, force: bool) -> None:
    """Check that the pictures of a report may go into a folder.

    Raises:
        ColdframeError: it is a link or no folder; or, unless ``force``, it holds something that no report put there.
    """
    if not os.path.lexists(folder):
        return
    if not opening.is_plain_folder(folder):
        raise ColdframeError(
            f"{folder}: a link or no folder, and the pictures of the report go there: name another file"
        )
    ours = _ours(folder)
    other = next((one for one in opening.entries(folder) if one.path not in ours), None)
    if other is not None and not force:
        raise ColdframeError(
            f"{folder}: it holds {other.path.name!r}, which no report put there; name another file, or add --force, which "
            "leaves that where it is"
        )


def write(folder: Path, pictures: dict[str, bytes]) -> None:
    """Make a folder hold these pictures, and none of an earlier report. What no report put there is left as it is.

    Raises:
        ColdframeError: something that no report put there has the name of a picture, and is another.
    """
    files.make_folder(folder)
    ours = _ours(folder)
    needed = [name for name, data in pictures.items() if not _is_same(folder / name, data)]
    for name in needed:
        if os.path.lexists(folder / name) and folder / name not in ours:
            raise ColdframeError(
                f"{folder / name}: no report put this there, and a picture of the report has its name: name another file"
            )
    wanted = {folder / name for name in pictures if name in needed or folder / name in ours}
    _list(folder, wanted | ours)  # first: a process killed on the way leaves nothing that is not in the list
    for name in needed:
        whole.replace(folder / name, lambda out, name=name: out.write(pictures[name]))  # type: ignore[misc]
    for path in ours - wanted - {folder / BESIDE_REPORT}:
        files.remove(path)
    _list(folder, wanted)


def _ours(folder: Path) -> set[Path]:
    """What lies in a folder and was put there by a report: its list, the pictures in it, and unfinished files of those."""
    listed = _listed(folder)
    found = set()
    for one in opening.entries(folder):
        unfinished = _UNFINISHED.fullmatch(one.path.name)
        is_listed = one.path.name in listed or (unfinished is not None and unfinished[1] in {*listed, BESIDE_REPORT})
        if one.is_file and is_listed:
            found.add(one.path)
    return found


def _listed(folder: Path) -> set[str]:
    """The names in the list of a folder, and its own; none if there is no list of ours."""
    try:
        lines = opening.read_regular(folder / BESIDE_REPORT, most=MOST_BYTES).decode("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return set()
    return {BESIDE_REPORT, *filter(_PICTURE.fullmatch, lines)} if lines[:1] == [FIRST_LINE] else set()


def _list(folder: Path, paths: Iterable[Path]) -> None:
    names = sorted(path.name for path in paths if _PICTURE.fullmatch(path.name))
    text = "\n".join([FIRST_LINE, *names, ""])
    if not _is_same(folder / BESIDE_REPORT, text.encode()):
        if os.path.lexists(folder / BESIDE_REPORT) and not _listed(folder):
            raise OSError(
                errno.EEXIST, "a file there has the name of the list of pictures", str(folder / BESIDE_REPORT)
            )
        whole.replace(folder / BESIDE_REPORT, lambda out: out.write(text.encode()))


def _is_same(file: Path, data: bytes) -> bool:
    with suppress(OSError):
        return opening.read_regular(file, most=len(data)) == data
    return False
