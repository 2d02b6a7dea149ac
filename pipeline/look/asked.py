"""What a page asks for, checked: numbers, lists and texts out of addresses and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.look.board import Wanted
from store.errors import ColdframeError

MOST_LISTED = 500  # rows of a list in one answer
MOST_CHOSEN = 1_000_000
LIST_KEYS = ("queue", "label", "split", "rule", "text", "verdict", "sort")


def count(asked: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """A whole number from 0 to ``most``.

    Raises:
        ColdframeError: it is none.
    """
    text = str(asked.get(name, default))
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= most):
        raise ColdframeError(f"{name} = {text[:40]!r}, expected a number from 0 to {most}")
    return int(text)


def text(asked: Mapping[str, Any], name: str, default: str = "", most: int = 1000) -> str:
    """A text.

    Raises:
        ColdframeError: it is none, or too long.
    """
    value = asked.get(name, default)
    if value is None:
        return default
    if not isinstance(value, str) or len(value) > most:
        raise ColdframeError(f"{name}: expected a text of at most {most} characters")
    return value


def needed(asked: Mapping[str, Any], name: str) -> str:
    """A text that must be there.

    Raises:
        ColdframeError: it is not.
    """
    value = text(asked, name)
    if not value:
        raise ColdframeError(f"{name} is missing")
    return value


def wanted(asked: Mapping[str, Any]) -> Wanted:
    """Which list is asked for."""
    given = {name: text(asked, name) for name in LIST_KEYS}
    return Wanted(**(given | {"queue": given["queue"] or "all"}))


def ids(asked: Mapping[str, Any]) -> list[str]:
    """The images that are named.

    Raises:
        ColdframeError: they are no list of texts.
    """
    given = asked.get("ids")
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given) or len(given) > MOST_CHOSEN:
        raise ColdframeError("ids: expected a list of ids")
    return given
