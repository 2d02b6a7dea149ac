"""Commands that make something again, told from what a store says: it may come from a stranger, and lack what they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.steps import hints
from store.errors import ColdframeError

NOT_OURS = "coldframe did not write its record"


class NotKnown(Exception):
    """No command can be told; the message is the reason."""


def operand(name: str) -> str:
    """A name as a word of a command. It must not be mistaken for an option.

    Raises:
        ValueError: it would be.
    """
    if name.startswith("-"):
        raise ValueError(name)
    return name


def command_line(make: Callable[[], list[str] | None], flags: Sequence[str] = ()) -> str | None:
    """The line of a command whose words ``make`` takes from a record; None if there is nothing to do.

    Args:
        flags: common options.

    Raises:
        NotKnown: the record lacks something, or is none of ours.
    """
    try:
        words = make()
        return hints.joined([*flags, *words]) if words else None
    except LookupError as error:
        raise NotKnown(str(error.args[0] if error.args else error)) from error
    except (ValueError, TypeError, AttributeError, RecursionError, ColdframeError) as error:
        raise NotKnown(NOT_OURS) from error
