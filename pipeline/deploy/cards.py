"""The card of an artefact: it makes a folder an artefact and describes its files and figures.

A card may come from a stranger, so it is checked whole before any of it is used.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.deploy import formats
from pipeline.ingest import decoding
from pipeline.steps.settings import is_size
from store import opening
from store.errors import ColdframeError
from store.parts import sha256_of

VERSION = 1  # of the card's format
CARD, DRAFT = "card.json", "card.draft.json"
READABLE_CARD = "MODEL_CARD.md"
DECODING = "decoding.py"  # the module of the decoding rules, as it was at export
NEIGHBOURS = "neighbours.npz"
MARK = ".draft"  # a file in a draft that says who made it, until the draft is an artefact
CARD_KEYS = {"decoding", "files", "format", "size", "classes", "taxonomy", "max_pixels"}
MOST_CARD = 16 << 20  # bytes
MOST_CLASSES = 1_000_000
MOST_NAME = 1000  # of a class name
MOST_NAMES = 1 << 28  # of an array of all classes, which takes the width of the longest for each
MOST_PIXELS = 2**31 - 1


def check_kind(file: Path, said: Mapping[str, Any]) -> None:
    """Raises:
    ColdframeError: a card has another version, or is incomplete.
    """
    if not is_int(said.get("card_version")) or said["card_version"] != VERSION:
        raise ColdframeError(
            f"{file}: version {brief(said.get('card_version'))}, this coldframe reads {VERSION}: export the run again"
        )
    if not said.keys() >= CARD_KEYS:
        raise ColdframeError(f"{file}: not a whole model card: export the run again")


def parse(file: Path) -> dict[str, Any]:
    """Parse the card in a file, without checking it further.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no card.
        ColdframeError: the file is not regular, is too large, or is not a JSON object of plain text and finite numbers.
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
    ValueError: the card has a number that is not finite or too large, or text that cannot be written.
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
        elif isinstance(one, int | float) and not -(2**63) < one < 2**63:  # NaN fails this test too
            raise ValueError("a number in it is not finite, or too large")


def is_int(given: Any) -> bool:
    """Whether a value of JSON is a whole number."""
    return type(given) is int  # True would count as 1 otherwise


def _is_count(given: Any) -> bool:
    return is_int(given) and given >= 0


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


# What a card must say: a key, a check of its value, and the same in words. Keys that earlier versions did not write, and keys
# that nothing here reads, may be missing.
RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("decoding", _is_count, "a version of the decoding rules"),
    ("size", is_size, "height and width in pixels"),
    ("max_pixels", lambda given: is_int(given) and 1 <= given <= MOST_PIXELS, f"a number from 1 to {MOST_PIXELS}"),
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
        for key in ("finetuned", "artefact", "agreement")
    ),
    (
        "evaluations",
        lambda given: isinstance(given, list) and all(map(_is_dict_of(_is_plain), given)),
        "a list of figures",
    ),
    ("carries", lambda given: isinstance(given, dict), "what the artefact carries"),
)


def check(file: Path, said: Mapping[str, Any]) -> None:
    """Raises:
    ColdframeError: what a card says is not what an export writes.
    """
    for key, is_right, expected in RULES:
        if key in said and not is_right(said[key]):
            raise ColdframeError(f"{file}: {key} = {brief(said[key])}, expected {expected}: export the run again")
    if said["format"] not in formats.names():
        raise ColdframeError(
            f"{file}: of the format {brief(said['format'])}, which this coldframe does not know: {', '.join(formats.names())}"
        )
    known = set(said["classes"])
    for column, by_value in said["taxonomy"].items():
        for labels in by_value.values():
            for strange in (one for one in labels if not isinstance(one, str) or one not in known):
                raise ColdframeError(
                    f"{file}: taxonomy: {brief(strange)} under {brief(column)} is no class: export the run again"
                )
    model = formats.files(said["format"])
    for name, digest in said["files"].items():
        if name not in (*model, DECODING, NEIGHBOURS):
            raise ColdframeError(f"{file}: files: no export writes {brief(name)}: export the run again")
        if not _is_digest(digest):
            raise ColdframeError(f"{file}: files: {brief(digest)} is no digest of {name}: export the run again")
    missing = [name for name in model if name not in said["files"]]
    if missing:
        raise ColdframeError(f"{file}: files: {missing[0]} is not among them: export the run again")


def brief(given: Any) -> str:
    """A card's value for use in a message: escaped, and shortened if it is long."""
    if isinstance(given, dict | list):
        return "a list" if isinstance(given, list) else "an object"
    text = ascii(given[:100] if isinstance(given, str) else given)
    return text if len(text) <= 60 else f"{text[:60]}…"


def write(folder: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Write a card for all files of a folder, under a name that does not make it a finished artefact; return the card."""
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
    """The same value with null for each number that JSON does not have."""
    if isinstance(given, dict):
        return {key: _finite(value) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return [_finite(one) for one in given]
    return None if isinstance(given, float) and not math.isfinite(given) else given
