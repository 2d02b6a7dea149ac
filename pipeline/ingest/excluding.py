"""Leave out what the user excludes by globs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate

Kept = list[bool]


def kept(paths: Iterable[str | None], globs: Sequence[str]) -> tuple[Kept, list[int]]:
    """Which paths stay, and how many each glob has left out. Case counts.

    A glob fits a path if it fits the whole of it, a folder above it, or one of its names: ``*.gif``, ``owl/draft*``, ``thumbs``.
    """
    patterns = [re.compile(translate(glob.rstrip("/") or glob)) for glob in globs]
    counts = [0] * len(globs)
    stay = []
    for path in paths:
        found = False
        parts = (path or "").split("/")
        wholes = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)] if path else []
        for at, pattern in enumerate(patterns):
            if any(pattern.match(one) for one in (*wholes, *parts[1:])):
                counts[at] += 1
                found = True
        stay.append(not found)
    return stay, counts
