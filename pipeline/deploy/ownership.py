"""Which files in a folder are ours: only what an export wrote is ever replaced or removed.

A name is not enough. Before a file is removed, it must match the card to the byte, or lie in a draft that bears our mark.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from pipeline.deploy import artefact, cards, formats
from store import opening
from store.errors import ColdframeError

REHEARSAL = ("rehearsal.json", "rehearsal.npz")  # in a draft, while it is asked in a separate process
CARDS = (cards.CARD, cards.DRAFT, cards.READABLE_CARD)
DRAFTS = re.compile(r"\..+-(?P<id>[0-9a-f]{32})\.part", re.DOTALL)  # names of draft folders
_MARK = re.compile(rb"coldframe export made this draft: (?P<id>[0-9a-f]{32})\n")


def written() -> frozenset[str]:
    """The names of all files that exports write, into an artefact or a draft."""
    of_formats = (name for one in formats.names() for name in formats.files(one))
    return frozenset((*of_formats, cards.DECODING, cards.NEIGHBOURS, *CARDS, *REHEARSAL, cards.MARK))


def mark(folder: Path) -> bytes:
    """The content of the mark of a draft in this folder."""
    found = DRAFTS.fullmatch(folder.name)
    return f"coldframe export made this draft: {found['id'] if found else ''}\n".encode()


def is_marked(folder: Path, name: str = "") -> bool:
    """Whether a folder is a draft by its random name and by its mark."""
    named, said = Path(name or folder.name), _mark_in(folder)
    return said is not None and DRAFTS.fullmatch(named.name) is not None and said == mark(named)


def _mark_in(folder: Path) -> bytes | None:
    """The mark in a folder; None if there is none like a draft's."""
    try:
        said = opening.read_regular(folder / cards.MARK, most=200)
    except (OSError, ValueError):
        return None
    return said if _MARK.fullmatch(said) else None


def held_place(descriptor: int, folder: Path) -> Path:
    """A path to the folder that is open, whatever has its name meanwhile; its name on a system without ``/proc``.

    It holds in processes of this user as long as this process has the folder open.
    """
    place = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    return place if place.is_dir() else folder


def foreign(folder: Path, name: str = "") -> str | None:
    """Why a folder is not purely an export's; None if everything in it belongs to a finished or unfinished artefact.

    ``name`` is the folder's own, if the path is another.

    In a draft, recognised by its name and mark, this means regular files with names that an export writes. In any other folder it
    means a card such as an export writes, and files that match it.
    """
    inside = sorted(os.listdir(folder))
    if is_marked(folder, name):
        ours = written()
        return next(
            (_has(name) for name in inside if name not in ours or not stat.S_ISREG(artefact.mode_of(folder / name))),
            None,
        )
    card = cards.CARD if artefact.is_one(folder) else cards.DRAFT
    if card not in inside:
        return f"it has no {cards.CARD}"
    try:
        said = cards.parse(folder / card)
        cards.check_kind(folder / card, said)
        cards.check(folder / card, said)
    except (ColdframeError, OSError):
        return f"its {card} is not one that an export writes"
    listed = {**said["files"], cards.READABLE_CARD: said.get("readable_card")}
    own = {card} if _mark_in(folder) is None else {card, cards.MARK}  # it was killed while it got its place
    strange = next((name for name in inside if name not in own and name not in listed), None)
    if strange is not None:
        return _has(strange)
    changed = next(
        (name for name in inside if name in listed and not artefact.has_digest(folder / name, listed[name])), None
    )
    return None if changed is None else f"its {changed} is not the one that {card} says"


def _has(name: str) -> str:
    return f"it has {artefact.shown(name)}"


def remove(folder: Path, meant: os.stat_result | None = None) -> str | None:
    """Remove a folder if it holds nothing but files of an export; otherwise remove nothing.

    Args:
        meant: the folder that is meant, None for whichever has this name.

    Returns:
        A sentence that says why the folder is still there; None if it is gone.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        what = "a link" if folder.is_symlink() else error.strerror
        return f"{folder}: left where it is ({what}, expected a folder of an export)"
    try:
        if meant is not None and not os.path.samestat(meant, os.fstat(descriptor)):
            return f"{folder}: left where it is (another folder has taken the place of the one that was meant)"
        inside = sorted(
            os.listdir(descriptor), key=lambda name: name == cards.MARK
        )  # last: while it is there, the folder is ours
        strange = foreign(held_place(descriptor, folder), folder.name)  # this also sees what has been added since
        if strange is not None:
            return f"{folder}: left where it is, for not all in it is of an export ({strange})"
        for name in inside:
            os.unlink(name, dir_fd=descriptor)
        folder.rmdir()
    except OSError as error:
        return f"{folder}: not removed ({error.strerror})"
    finally:
        os.close(descriptor)
    return None
