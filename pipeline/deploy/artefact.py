"""Artefacts: a folder with a model, and all that is needed to use it: how to decode, what it predicts, what it is worth.

What makes a folder an artefact is its card, which is put there last: a folder without one was never finished.

An artefact may come from a stranger. So its card is checked whole, no link is followed, no pipe waited for, and of what the
card lists only files that an export writes are ever looked at. What is removed is ours by more than its name: each file is what
the card says, to the byte, or lies in a draft that bears our mark.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.deploy import formats
from pipeline.deploy.formats import Run
from pipeline.ingest import decoding
from pipeline.runs import neighbours
from pipeline.runs.neighbours import Neighbours
from pipeline.runs.runs import is_size
from store import arrays, files, opening
from store.errors import ColdframeError
from store.parts import sha256_of

VERSION = 1  # of the card
CARD, DRAFT = "card.json", "card.draft.json"
READABLE_CARD = "MODEL_CARD.md"
DECODING = "decoding.py"  # the module of the decoding rules, as it was
NEIGHBOURS = "neighbours.npz"
REHEARSAL = ("rehearsal.json", "rehearsal.npz")  # in a draft, while it is asked in a process of its own
CARDS = (CARD, DRAFT, READABLE_CARD)
MARK = ".draft"  # in a draft, until it is an artefact: who made it
DRAFTS = re.compile(r"\..+-(?P<id>[0-9a-f]{32})\.part", re.DOTALL)  # how the folders of drafts are called
_MARK = re.compile(rb"coldframe export made this draft: (?P<id>[0-9a-f]{32})\n")
CARD_KEYS = {"decoding", "files", "format", "size", "classes", "taxonomy", "max_pixels"}
MOST_CARD = 16 << 20  # bytes
MOST_CLASSES = 1_000_000
MOST_NAME = 1000  # characters of a class
MOST_NAMES = 1 << 28  # bytes of an array of all classes, in which each takes the room of the longest
MOST_PIXELS = 2**31 - 1
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
        file = self.folder / NEIGHBOURS
        if NEIGHBOURS not in self.card["files"]:
            return None
        try:
            held = arrays.parse(io.BytesIO(self._checked(NEIGHBOURS)))
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
    return os.path.lexists(path / CARD)


def written() -> frozenset[str]:
    """The names of all files that exports write, into an artefact or a draft of one."""
    of_formats = (name for one in formats.names() for name in formats.files(one))
    return frozenset((*of_formats, DECODING, NEIGHBOURS, *CARDS, *REHEARSAL, MARK))


def mark(folder: Path) -> bytes:
    """What the mark of a draft in this folder says."""
    found = DRAFTS.fullmatch(folder.name)
    return f"coldframe export made this draft: {found['id'] if found else ''}\n".encode()


def is_marked(folder: Path) -> bool:
    """Whether a folder is a draft by its name, which is random, and by its mark."""
    said = _mark_in(folder)
    return said is not None and DRAFTS.fullmatch(folder.name) is not None and said == mark(folder)


def _mark_in(folder: Path) -> bytes | None:
    """The mark in a folder; None where there is none such as a draft has."""
    try:
        said = opening.read_regular(folder / MARK, most=200)
    except (OSError, ValueError):
        return None
    return said if _MARK.fullmatch(said) else None


def foreign(folder: Path) -> str | None:
    """Why a folder is not an export's alone; None where all in it is an artefact's, or an unfinished one's.

    In a draft, which nobody else names or marks so, those are regular files of names that an export writes. In any other folder
    they are a card such as an export writes, and files that are what that card says.
    """
    inside = sorted(os.listdir(folder))
    if is_marked(folder):
        ours = written()
        return next((_has(name) for name in inside if name not in ours or not _is_regular(name, folder)), None)
    card = CARD if is_one(folder) else DRAFT
    if card not in inside:
        return f"it has no {CARD}"
    try:
        said = _parse(folder / card)
        _check_kind(folder / card, said)
        _check(folder / card, said)
    except (ColdframeError, OSError):
        return f"its {card} is not one that an export writes"
    listed = {**said["files"], READABLE_CARD: said.get("readable_card")}
    own = {card} if _mark_in(folder) is None else {card, MARK}  # which was killed as it got its place
    strange = next((name for name in inside if name not in own and name not in listed), None)
    if strange is not None:
        return _has(strange)
    changed = next((name for name in inside if name in listed and not _is_as_said(folder / name, listed[name])), None)
    return None if changed is None else f"its {changed} is not the one that {card} says"


def _has(name: str) -> str:
    return f"it has {shown(name)}"


def _is_as_said(file: Path, digest: str | None) -> bool:
    """Whether a file is a regular one with this SHA-256."""
    try:
        with opening.open_regular(file) as opened:
            formats.size_of(opened)
            return hashlib.file_digest(opened, "sha256").hexdigest() == digest
    except OSError:
        return False


def remove(folder: Path) -> str | None:
    """Remove a folder that holds nothing but files of an export; where it holds anything else, nothing is removed.

    Returns:
        A sentence that says why it is still there; None where it is not.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        what = "a link" if folder.is_symlink() else error.strerror
        return f"{folder}: left where it is ({what}, expected a folder of an export)"
    try:
        inside = sorted(
            os.listdir(descriptor), key=lambda name: name == MARK
        )  # last: as long as it is there, it is ours
        strange = foreign(folder)  # which sees whatever has come since, too
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


def _is_regular(name: str, folder: Path) -> bool:
    """Whether a name in a folder is that of a regular file and of no link."""
    try:
        return stat.S_ISREG((folder / name).lstat().st_mode)
    except OSError:
        return False


def others(folder: Path, card: Mapping[str, Any]) -> list[str]:
    """The names of what lies in the folder of an artefact and is not part of it."""
    own = {CARD, READABLE_CARD, *card["files"]}
    return sorted(name for name in os.listdir(folder) if name not in own)


def shown(name: str) -> str:
    """The name of a file as a message may show it."""
    return name if name.isprintable() else ascii(name)


def read(folder: Path, *, card: str = CARD) -> Artefact:
    """The artefact in a folder.

    Raises:
        ColdframeError: there is none, its card is not such as an export writes, or one of its files is not what was written.
    """
    try:
        said = _parse(folder / card)
    except (FileNotFoundError, NotADirectoryError):
        what = "an export that was cut short" if os.path.lexists(folder / DRAFT) else "no artefact"
        raise ColdframeError(f"{folder}: {what}: it has no {card}; 'coldframe export RUN' makes one") from None
    _check_kind(folder / card, said)
    if not _is_int(said["decoding"]) or said["decoding"] != decoding.RULES_VERSION:
        raise ColdframeError(
            f"{folder}: made for decoding rules {_brief(said['decoding'])}, this coldframe has {decoding.RULES_VERSION}: export "
            "the run again, or use the coldframe it was made with"
        )
    _check(folder / card, said)
    for name, digest in said["files"].items():
        _check_file(folder / name, digest)
    return Artefact(folder, said)


def _check_kind(file: Path, said: Mapping[str, Any]) -> None:
    """Raises:
    ColdframeError: a card is of another version, or not whole.
    """
    if not _is_int(said.get("card_version")) or said["card_version"] != VERSION:
        raise ColdframeError(
            f"{file}: version {_brief(said.get('card_version'))}, this coldframe reads {VERSION}: export the run again"
        )
    if not said.keys() >= CARD_KEYS:
        raise ColdframeError(f"{file}: not a whole model card: export the run again")


def _parse(file: Path) -> dict[str, Any]:
    """The card in a file, as it is.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        ColdframeError: it is no regular file, too large, or no JSON object of plain text and finite numbers.
    """
    try:
        said = json.loads(opening.read_regular(file, most=MOST_CARD).decode("utf-8"))
        if not isinstance(said, dict):
            raise ValueError("no object")
        _check_values(said)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise ColdframeError(f"{file}: not a model card ({error.strerror}): export the run again") from error
    except RecursionError:
        raise ColdframeError(f"{file}: not a model card (nested too deep): export the run again") from None
    except ValueError as error:
        raise ColdframeError(f"{file}: not a model card ({error}): export the run again") from error
    return said


def _check_values(said: Any) -> None:
    """Raises:
    ValueError: somewhere in a card is a number that is none or too large, or text that cannot be written.
    """
    rest = [said]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            rest += [*one, *one.values()]
        elif isinstance(one, list):
            rest += one
        elif isinstance(one, str):
            one.encode()
        elif isinstance(one, int | float) and not -(2**63) < one < 2**63:  # which NaN is not either
            raise ValueError("a number in it is not finite, or too large")


def _is_int(given: Any) -> bool:
    return type(given) is int  # True is 1 otherwise


def _is_count(given: Any) -> bool:
    return _is_int(given) and given >= 0


def _is_dict_of(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda given: isinstance(given, dict) and all(kind(one) for one in given.values())


def _is_text(given: Any) -> bool:
    return isinstance(given, str)


def _is_digest(given: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", given) is not None


def _is_plain(given: Any) -> bool:
    return given is None or isinstance(given, str | int | float)


def _are_classes(given: Any) -> bool:
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_CLASSES or not all(map(_is_text, given)):
        return False
    longest = max(map(len, given))
    if longest > MOST_NAME or 4 * longest * len(given) > MOST_NAMES or any(one.endswith("\0") for one in given):
        return False
    return all(one < other for one, other in itertools.pairwise(given))


# What a card has to say: a key, what its value has to be, and that in words. Of those that earlier versions did not write, and
# of those that nothing here reads, any may be missing.
RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("decoding", _is_count, "a version of the decoding rules"),
    ("size", is_size, "height and width in pixels"),
    ("max_pixels", lambda given: _is_int(given) and 1 <= given <= MOST_PIXELS, f"a number from 1 to {MOST_PIXELS}"),
    ("classes", _are_classes, "names of classes, ascending and each once"),
    (
        "taxonomy",
        _is_dict_of(_is_dict_of(lambda given: isinstance(given, list) and given != [])),
        "classes by value by column",
    ),
    ("files", _is_dict_of(_is_text), "digests by name"),
    ("readable_card", lambda given: given is None or (_is_text(given) and _is_digest(given)), "a digest"),
    *((key, _is_text, "text") for key in ("coldframe", "created_at", "run_id", "kind", "head", "network", "weights")),
    *((key, _is_count, "a count") for key in ("training_images", "compared_images")),
    ("largest_difference", lambda given: type(given) in (int, float), "a number"),
    ("image_licences", _is_dict_of(_is_count), "counts by licence"),
    ("versions", _is_dict_of(_is_text), "versions by library"),
    *(
        (key, lambda given: given is None or _is_dict_of(_is_plain)(given), "figures")
        for key in ("finetuned", "artefact")
    ),
    (
        "evaluations",
        lambda given: isinstance(given, list) and all(map(_is_dict_of(_is_plain), given)),
        "a list of figures",
    ),
    ("carries", lambda given: isinstance(given, dict), "what the artefact carries"),
)


def _check(file: Path, said: Mapping[str, Any]) -> None:
    """Raises:
    ColdframeError: what a card says is not what an export writes.
    """
    for key, is_right, expected in RULES:
        if key in said and not is_right(said[key]):
            raise ColdframeError(f"{file}: {key} = {_brief(said[key])}, expected {expected}: export the run again")
    if said["format"] not in formats.names():
        raise ColdframeError(
            f"{file}: of the format {_brief(said['format'])}, which this coldframe does not know: {', '.join(formats.names())}"
        )
    known = set(said["classes"])
    for column, by_value in said["taxonomy"].items():
        for labels in by_value.values():
            for strange in (one for one in labels if not isinstance(one, str) or one not in known):
                raise ColdframeError(
                    f"{file}: taxonomy: {_brief(strange)} under {_brief(column)} is no class: export the run again"
                )
    model = formats.files(said["format"])
    for name, digest in said["files"].items():
        if name not in (*model, DECODING, NEIGHBOURS):
            raise ColdframeError(f"{file}: files: no export writes {_brief(name)}: export the run again")
        if not _is_digest(digest):
            raise ColdframeError(f"{file}: files: {_brief(digest)} is no digest of {name}: export the run again")
    missing = [name for name in model if name not in said["files"]]
    if missing:
        raise ColdframeError(f"{file}: files: {missing[0]} is not among them: export the run again")


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


def _brief(given: Any) -> str:
    """A value of a card as a message may show it: escaped, and not all of a long one."""
    if isinstance(given, dict | list):
        return "a list" if isinstance(given, list) else "an object"
    text = ascii(given[:100] if isinstance(given, str) else given)
    return text if len(text) <= 60 else f"{text[:60]}…"


def draft(folder: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Put a card for all files of a folder there, under a name by which nobody takes it for finished; the card."""
    digests = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.name not in (CARD, DRAFT, MARK)}
    readable = digests.pop(READABLE_CARD, None)
    whole = {
        "card_version": VERSION,
        **card,
        "decoding": decoding.RULES_VERSION,
        "files": digests,
        "readable_card": readable,
    }
    text = json.dumps(_finite(whole), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / DRAFT).write_text(text, encoding="utf-8")
    return whole


def _finite(given: Any) -> Any:
    """The same without numbers that JSON does not have: null in their place."""
    if isinstance(given, dict):
        return {key: _finite(value) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return [_finite(one) for one in given]
    return None if isinstance(given, float) and not math.isfinite(given) else given


def publish(folder: Path, final: Path) -> None:
    """Give a folder with a draft of its card its final name, then the card its own: only then is it an artefact."""
    for path in folder.iterdir():
        files.sync(path)
    files.sync_folder(folder)
    files.rename(folder, final)
    files.sync_folder(final.parent)
    files.remove(final / MARK)
    files.rename(final / DRAFT, final / CARD)
    files.sync_folder(final)
