"""Artefacts: a folder with a model, and all that is needed to use it: how to decode, what it predicts, what it is worth.

What makes a folder an artefact is its card, which is put there last: a folder without one was never finished.

An artefact may come from a stranger. So its card is checked whole, no link is followed, no pipe waited for, and of what the
card lists only files that an export writes are ever looked at. ``ownership`` says what of a
folder may be replaced or removed.
"""

from __future__ import annotations

import hashlib
import io
import os
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

COPIES = 3  # times its bytes that a file of training images takes: once as it is, and twice again as float32


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
        """What runs the model.

        Raises:
            ColdframeError: a library is missing, or the model cannot be loaded.
        """
        try:
            return formats.load(self.card["format"], self.folder, self.card["files"])
        except ColdframeError:
            raise
        except Exception as error:  # every library has kinds of its own
            reason = " ".join(str(error).split())[:200]
            raise ColdframeError(f"{self.folder}: the model cannot be loaded ({reason}): export it again") from error

    def neighbours(self) -> Neighbours | None:
        """The training images that it carries; None if it was exported without.

        Raises:
            ColdframeError: their file is not what was written, or holds something else.
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
        """The bytes of a file of arrays that the card lists, few enough for those that are made of them."""
        return formats.checked(self.folder / name, self.card["files"][name], arrays.largest(copies=COPIES))


def _check_training_images(held: Mapping[str, npt.NDArray[Any]], classes: set[str]) -> None:
    """Raises:
    Malformed: there are none, more than any export writes, or one has a label that is no class.
    """
    neighbours.check(held)
    labels = held.get(neighbours.LABELS)
    if labels is None:
        raise arrays.Malformed("it has no training images")
    if len(labels) > neighbours.MOST:
        raise arrays.Malformed(
            f"it has {len(labels)} training images, and no export writes more than {neighbours.MOST}"
        )
    if not classes.issuperset(labels.tolist()):  # NumPy would give each class the width of the longest label
        raise arrays.Malformed("a training image has a label that is no class of the model")


def is_one(path: Path) -> bool:
    """Whether there is a finished artefact, or what says that it is one."""
    return os.path.lexists(path / cards.CARD)


def others(folder: Path, card: Mapping[str, Any]) -> list[str]:
    """The names of what lies in the folder of an artefact and is not part of it."""
    own = {cards.CARD, cards.READABLE_CARD, *card["files"]}
    return sorted(name for name in os.listdir(folder) if name not in own)


def shown(name: str) -> str:
    """The name of a file as a message may show it."""
    return name if name.isprintable() else ascii(name)


def read(folder: Path, *, card: str = cards.CARD) -> Artefact:
    """The artefact in a folder.

    Raises:
        ColdframeError: there is none, its card is not such as an export writes, or one of its files is not what was written.
    """
    try:
        said = cards.parse(folder / card)
    except (FileNotFoundError, NotADirectoryError):
        what = "an export that was cut short" if os.path.lexists(folder / cards.DRAFT) else "no artefact"
        raise ColdframeError(f"{folder}: {what}: it has no {card}; 'coldframe export RUN' makes one") from None
    cards.check_kind(folder / card, said)
    if not cards.is_int(said["decoding"]) or said["decoding"] != decoding.RULES_VERSION:
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
    ColdframeError: a file is missing, no regular one, or not what was written.
    """
    try:
        with opening.open_regular(file) as opened:
            formats.size_of(opened)  # which reading one with holes would take hours to find out
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        raise ColdframeError(f"{file}: missing: export the run again") from None
    except OSError as error:
        raise formats.unreadable(file, error) from error
    if found != digest:
        raise ColdframeError(f"{file}: damaged: export the run again")


def publish(folder: Path, final: Path) -> None:
    """Give a folder with a draft of its card its final name, then the card its own: only then is it an artefact."""
    for path in folder.iterdir():
        files.sync(path)
    files.sync_folder(folder)
    files.rename(folder, final)
    files.sync_folder(final.parent)
    files.remove(final / cards.MARK)
    files.rename(final / cards.DRAFT, final / cards.CARD)
    files.sync_folder(final)
