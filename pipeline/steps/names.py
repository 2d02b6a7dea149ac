"""Names that a user gives to runs, feature sets, plans, splits and artefacts: one check for all of them."""

from __future__ import annotations

import re
import unicodedata

from store.errors import ColdframeError

MOST_BYTES = 150  # ids, and names made from it, become names of folders
MOST_SHOWN = 60  # characters of a name in a sentence
EXPECTED = "expected a name without a slash, control characters, a dash in front or white space around it, and not an empty one"
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # they make a name look like another


def check(what: str, name: str) -> None:
    """Check a new name.

    Args:
        what: what is called so, such as ``a run``.

    Raises:
        ColdframeError: the name is empty or dots alone, begins with a dash, has white space around it, a slash or characters
            that cannot be seen, or is longer than 150 bytes.
    """
    if not is_plain(name) or _BIDI.search(name) or name.startswith("-") or name != name.strip() or name in (".", ".."):
        raise ColdframeError(f"{what} called {ascii(name)[:60]}: {EXPECTED}")
    if len(name.encode()) > MOST_BYTES:
        raise ColdframeError(f"{what} called {name[:40]!r}…: expected a name of at most {MOST_BYTES} bytes")


def shortened(name: str) -> str:
    """A name as a sentence shows it: no more of it than a person reads."""
    return name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}…"


def is_plain(name: str) -> bool:
    """Whether a name may become part of a folder's name."""
    return bool(name) and not any(one in "/\\" or unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in name)
