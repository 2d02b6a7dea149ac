"""Drafts: the folder that an export fills next to its final place, and how it gets there.

A killed export cannot remove its draft; the next export to the same place does. Whoever fills a draft holds a lock on its mark,
and the system releases the lock when that process ends.
"""

from __future__ import annotations

import fcntl
import glob
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pipeline.deploy import artefact, cards, ownership
from store import opening
from store.errors import ColdframeError

PART, OLD = ".part", ".old"  # suffixes of a draft, and of what stood at its place
_NAME = re.compile(r"[0-9a-f]{32}(\.part|\.old)")
_FORMER = re.compile("[0-9]{1,9}(-old)?")  # how earlier versions named both; other programs may use such names too


class Draft(NamedTuple):
    """A draft: the folder by its name, and a place that stays this folder, whatever takes its name meanwhile."""

    folder: Path
    place: Path


@contextmanager
def beside(final: Path, notes: list[str]) -> Iterator[Draft]:
    """Make a draft for a place. It is removed unless the block publishes it.

    Drafts of killed exports are removed first; ``notes`` gets a sentence for each that has to stay.

    Raises:
        ColdframeError: the block's own error, with a note on what is left if the draft cannot be removed.
    """
    _remove_left(final, notes)
    folder = final.with_name(f".{final.name}-{uuid.uuid4().hex}{PART}")
    folder.mkdir(0o700)  # nobody else may put a link in the place of a file that is written there
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    place, own = ownership.held_place(descriptor, folder), os.fstat(descriptor)
    if own.st_uid != os.geteuid() or own.st_mode & 0o077 or os.listdir(descriptor):
        os.close(descriptor)
        raise ColdframeError(f"{folder}: another folder had taken its place as soon as it was made: export elsewhere")
    try:
        held = _mark(place, folder)
    except BaseException:
        (place / cards.MARK).unlink(missing_ok=True)
        os.close(descriptor)
        folder.rmdir()
        raise
    try:
        yield Draft(folder, place)
    except BaseException as error:
        left = ownership.remove(folder, own)
        if left is not None and isinstance(error, ColdframeError):
            raise type(error)(f"{error}; {left}") from error
        raise
    else:
        ownership.remove(folder, own)
    finally:
        os.close(held)
        os.close(descriptor)


def publish(draft: Draft, final: Path, notes: list[str]) -> None:
    """Move a draft to its place.

    An artefact already there is put aside until the new one is in place, and then removed. ``notes`` gets a sentence if removing
    it would remove files that no export wrote.

    Raises:
        ColdframeError: the draft cannot be published, and what stood there cannot be put back.
    """
    old, own = draft.folder.with_suffix(OLD), draft.place.stat()
    is_replaced = os.path.lexists(final)
    if is_replaced:
        replaced = final.lstat()
        final.rename(old)
    try:
        artefact.publish(draft.folder, final, place=draft.place)
        _let_others_read(final if draft.place == draft.folder else draft.place)
    except BaseException as error:
        left = None if draft.folder.exists() else ownership.remove(final, own)
        if is_replaced and (left is not None or os.path.lexists(final)):
            left = left or f"{final}: something else stands there now"
            raise ColdframeError(f"{left}; what was there before is {old} now") from error
        if is_replaced:
            old.rename(final)
        raise
    left = ownership.remove(old, replaced) if is_replaced else None
    if left is not None:
        notes.append(left)


def _let_others_read(folder: Path) -> None:
    """Give a folder the permissions that a new one gets here; a draft is its owner's alone."""
    umask = os.umask(0o077)
    os.umask(umask)
    folder.chmod((folder.stat().st_mode & 0o7000) | (0o777 & ~umask))


def _remove_left(final: Path, notes: list[str]) -> None:
    """Remove what killed exports have left for a place, if it is certainly theirs."""
    for path in sorted(final.parent.glob(f".{glob.escape(final.name)}-*")):
        own = path.name.removeprefix(f".{final.name}-")
        if _NAME.fullmatch(own) and path.suffix == PART:
            left = _remove_unless_filled(path)
            notes += [] if left is None else [left]
        elif _NAME.fullmatch(own):
            notes.append(
                f"{path}: put aside, perhaps by an export that was killed: move it back to {final}, or remove it"
            )
        elif _FORMER.fullmatch(own) and _looks_like_ours(path):
            notes.append(f"{path}: left where it is; if it is a draft of an earlier coldframe, remove it yourself")


def _remove_unless_filled(draft: Path) -> str | None:
    """Remove a draft that no export is filling; return a sentence if it stays although none seems to be."""
    try:
        with opening.open_regular(draft / cards.MARK) as opened:
            fcntl.flock(opened.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if ownership.is_marked(draft):
                return ownership.remove(draft)
    except BlockingIOError:
        return None
    except OSError:  # there is no mark, or the system has no locks
        pass
    return f"{draft}: left where it is, for nothing in it says which export made it: remove it yourself"


def _mark(place: Path, draft: Path) -> int:
    """Mark a draft; return a descriptor that holds the lock on its mark."""
    descriptor = os.open(place / cards.MARK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with suppress(OSError):  # without locks, nobody removes it
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, ownership.mark(draft))  # now that the lock is held
    return descriptor


def _looks_like_ours(folder: Path) -> bool:
    """Whether a folder is not empty and has only names of an export's files."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    inside = os.listdir(folder)
    return bool(inside) and ownership.written().issuperset(inside)
