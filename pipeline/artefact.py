"""Artefacts: a folder with a model, and all that is needed to use it: how to decode, what it predicts, what it is worth.

What makes a folder an artefact is its card, which is put there last: a folder without one was never finished.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import decoding, formats
from pipeline.formats import Run
from pipeline.neighbours import Neighbours
from store import files
from store.errors import ColdframeError
from store.parts import sha256_of

VERSION = 1  # of the card
CARD, DRAFT = "card.json", "card.draft.json"
READABLE_CARD = "MODEL_CARD.md"
DECODING = "decoding.py"  # the module of the decoding rules, as it was
NEIGHBOURS = "neighbours.npz"
CARD_KEYS = {"decoding", "files", "format", "size", "classes", "taxonomy", "max_pixels"}


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
            return formats.load(self.card["format"], self.folder)
        except ColdframeError:
            raise
        except Exception as error:  # every library has kinds of its own
            reason = " ".join(str(error).split())[:200]
            raise ColdframeError(f"{self.folder}: the model cannot be loaded ({reason}): export it again") from error

    def neighbours(self) -> Neighbours | None:
        """The training images that it carries; None if it was exported without."""
        file = self.folder / NEIGHBOURS
        if NEIGHBOURS not in self.card["files"]:
            return None
        try:
            with np.load(file, allow_pickle=False) as held:
                return Neighbours.from_arrays({name: held[name] for name in held.files})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ColdframeError(f"{file}: not readable ({error}): export the run again") from error


def is_one(path: Path) -> bool:
    """Whether there is a finished artefact."""
    return (path / CARD).is_file()


def foreign(folder: Path) -> str | None:
    """The name of something in a folder that no export has put there; None where all is an artefact's, finished or not."""
    card = CARD if is_one(folder) else DRAFT
    try:
        said = json.loads((folder / card).read_text(encoding="utf-8"))
        ours = {CARD, DRAFT, READABLE_CARD, *said["files"]} if said["card_version"] else set()
    except (OSError, ValueError, KeyError, TypeError):
        ours = set()
    return next((path.name for path in sorted(folder.iterdir()) if path.name not in ours), None)


def read(folder: Path, *, card: str = CARD) -> Artefact:
    """The artefact in a folder.

    Raises:
        ColdframeError: there is none, or one of its files is not what was written.
    """
    try:
        said = json.loads((folder / card).read_text(encoding="utf-8"))
    except FileNotFoundError:
        unfinished = (folder / DRAFT).is_file()
        what = "an export that was cut short" if unfinished else "no artefact"
        raise ColdframeError(f"{folder}: {what}: it has no {card}; 'coldframe export RUN' makes one") from None
    except ValueError as error:
        raise ColdframeError(f"{folder / card}: not a model card ({error}): export the run again") from error
    if not isinstance(said, dict):
        raise ColdframeError(f"{folder / card}: not a model card: export the run again")
    if said.get("card_version") != VERSION:
        raise ColdframeError(
            f"{folder / card}: version {said.get('card_version')}, this coldframe reads {VERSION}: export the run again"
        )
    if not said.keys() >= CARD_KEYS:
        raise ColdframeError(f"{folder / card}: not a whole model card: export the run again")
    if said["decoding"] != decoding.RULES_VERSION:
        raise ColdframeError(
            f"{folder}: made for decoding rules {said['decoding']}, this coldframe has {decoding.RULES_VERSION}: export the run "
            "again, or use the coldframe it was made with"
        )
    for name, digest in said["files"].items():
        file = folder / name
        if not file.is_file() or sha256_of(file) != digest:
            raise ColdframeError(f"{file}: {'damaged' if file.is_file() else 'missing'}: export the run again")
    return Artefact(folder, said)


def draft(folder: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Put a card for all files of a folder there, under a name by which nobody takes it for finished; the card."""
    whole = {
        "card_version": VERSION,
        **card,
        "decoding": decoding.RULES_VERSION,
        "files": {
            path.name: sha256_of(path)
            for path in sorted(folder.iterdir())
            if path.name not in (CARD, DRAFT, READABLE_CARD)
        },
    }
    (folder / DRAFT).write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")
    return whole


def publish(folder: Path, final: Path) -> None:
    """Give a folder with a draft of its card its final name, then the card its own: only then is it an artefact."""
    for path in folder.iterdir():
        files.sync(path)
    files.sync_folder(folder)
    files.rename(folder, final)
    files.sync_folder(final.parent)
    files.rename(final / DRAFT, final / CARD)
    files.sync_folder(final)
