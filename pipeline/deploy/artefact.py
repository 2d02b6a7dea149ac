"""Artefacts: a folder with a model and what is needed to use it: decoding rules, the classes it predicts, and its figures.

The card makes a folder an artefact. It is put there last: an export into a folder without one was never finished.

An artefact may come from a stranger. So its card is checked whole, links are not followed, pipes are not waited for, and of
the files that the card lists, only those that an export writes are read. ``ownership`` decides what in a folder may be replaced
or removed.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.deploy import cards, formats
from pipeline.deploy.formats import Run
from pipeline.ingest import decoding
from pipeline.runs import neighbours
from pipeline.runs.neighbours import Neighbours
from store import arrays, files, opening
from store.errors import ColdframeError

COPIES = 3  # memory that a file of training images takes, in times its bytes: once as it is, and twice again as float32


@dataclass(frozen=True)
class Artefact:
    """An artefact on disk and its card."""

    folder: Path
    card: Mapping[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels that the model takes."""
        return int(self.card["size"][0]), int(self.card["size"][1])

    @property
    def classes(self) -> npt.NDArray[np.str_]:
        """The classes in the order of the outputs."""
        return np.array(self.card["classes"])

    def load(self) -> Run:
        """Load the model; return what runs it.

        Raises:
            ColdframeError: a library is missing, or the model cannot be loaded.
        """
        try:
            return formats.load(self.card["format"], self.folder, self.card["files"])
        except ColdframeError:
            raise
        except Exception as error:  # every library raises kinds of its own
            reason = " ".join(str(error).split())[:200]
            raise ColdframeError(f"{self.folder}: the model cannot be loaded ({reason}): export it again") from error

    def neighbours(self) -> Neighbours | None:
        """The training images that the artefact carries; None if it was exported without.

        Raises:
            ColdframeError: their file has changed since it was written, or holds something else.
        """
        file = self.folder / cards.NEIGHBOURS
        if cards.NEIGHBOURS not in self.card["files"]:
            return None
        try:
            held = arrays.parse(io.BytesIO(self._checked(cards.NEIGHBOURS)))
            _check_training_images(held, set(self.card["classes"]))
            found = Neighbours.from_arrays(held)
        except arrays.Malformed as error:
            raise ColdframeError(f"{file}: not readable ({error}): export the run again") from error
        return found

    def _checked(self, name: str) -> bytes:
        """The bytes of an array file that the card lists; it must be small enough for the arrays made from it."""
        return formats.checked(self.folder / name, self.card["files"][name], arrays.largest(copies=COPIES))


def _check_training_images(held: Mapping[str, npt.NDArray[Any]], classes: set[str]) -> None:
    """Raises:
    Malformed: there are no training images, or more than any export writes, or one has a label that is not a class.
    """
    neighbours.check(held)
    labels = held.get(neighbours.LABELS)
    if labels is None:
        raise arrays.Malformed("it has no training images")
    if len(labels) > neighbours.MOST:
        raise arrays.Malformed(
            f"it has {len(labels)} training images, and no export writes more than {neighbours.MOST}"
        )
    if not classes.issuperset(labels.tolist()):  # NumPy would pad each class to the width of the longest label
        raise arrays.Malformed("a training image has a label that is no class of the model")


def is_one(path: Path) -> bool:
    """Whether a folder holds a finished artefact, or a card that says so."""
    return os.path.lexists(path / cards.CARD)


def others(folder: Path, card: Mapping[str, Any]) -> list[str]:
    """The names of files in an artefact's folder that are not part of it, or, like an edited readable card, not any more."""
    own = {cards.CARD, *card["files"]}
    readable = card.get("readable_card")  # earlier versions did not say what is in it
    file = folder / cards.READABLE_CARD
    if stat.S_ISREG(mode_of(file)) if readable is None else has_digest(file, readable):
        own.add(cards.READABLE_CARD)
    return sorted(name for name in os.listdir(folder) if name not in own)


def mode_of(path: Path) -> int:
    """The mode of a file, not of what a link leads to; 0 if there is none."""
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def has_digest(file: Path, digest: str | None) -> bool:
    """Whether a file is regular and has this SHA-256."""
    try:
        with opening.open_regular(file) as opened:
            formats.size_of(opened)
            return hashlib.file_digest(opened, "sha256").hexdigest() == digest
    except OSError:
        return False


def shown(name: str) -> str:
    """A file's name for use in a message."""
    return name if name.isprintable() else ascii(name)


def read(folder: Path, *, card: str = cards.CARD) -> Artefact:
    """The artefact in a folder.

    Raises:
        ColdframeError: there is none, its card is not one that an export writes, or one of its files has changed.
    """
    try:
        said = cards.parse(folder / card)
    except (FileNotFoundError, NotADirectoryError):
        what = "an export that was cut short" if os.path.lexists(folder / cards.DRAFT) else "no artefact"
        raise ColdframeError(f"{folder}: {what}: it has no {card}; 'coldframe export RUN' makes one") from None
    cards.check_kind(folder / card, said)
    if not cards.is_int(said["decoding"]) or said["decoding"] not in decoding.ALIKE:
        raise ColdframeError(
            f"{folder}: made for decoding rules {cards.brief(said['decoding'])}, this coldframe has {decoding.RULES_VERSION}: "
            "export the run again, or use the coldframe it was made with"
        )
    cards.check(folder / card, said)
    for name, digest in said["files"].items():
        _check_file(folder / name, digest)
    return Artefact(folder, said)


def _check_file(file: Path, digest: str) -> None:
    """Raises:
    ColdframeError: a file is missing, not regular, or has changed since it was written.
    """
    try:
        with opening.open_regular(file) as opened:
            formats.size_of(opened)  # checked first: reading a file with holes could take hours
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        raise ColdframeError(f"{file}: missing: export the run again") from None
    except OSError as error:
        raise formats.unreadable(file, error) from error
    if found != digest:
        raise ColdframeError(f"{file}: damaged: export the run again")


def publish(folder: Path, final: Path, *, place: Path | None = None) -> None:
    """Give a folder with a draft card its final name, and then the card its final name. Only then is it an artefact.

    Args:
        place: a path that stays this folder, whatever takes its name meanwhile.

    Raises:
        ColdframeError: another folder got the final name.
    """
    place = place or folder
    for path in place.iterdir():
        files.sync(path)
    files.sync_folder(place)
    meant = place.stat()
    files.rename(folder, final)
    if not os.path.samestat(meant, final.lstat()):
        raise ColdframeError(f"{final}: another folder had taken the place of the draft: look at what is there now")
    files.sync_folder(final.parent)
    held = final if place == folder else place
    files.remove(held / cards.MARK)
    files.rename(held / cards.DRAFT, held / cards.CARD)
    files.sync_folder(held)
