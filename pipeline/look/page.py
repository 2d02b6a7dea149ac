"""HTML made in Python: text is escaped by construction, since only :class:`Html` is taken as it is."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from typing import Any

from pipeline.runtime import terminal

VOID = frozenset({"img", "meta", "br", "hr"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: Any) -> Html:
    """Any value as HTML: what is invisible or turns the direction of text is written out, and no tag remains one."""
    if isinstance(value, Html):
        return value
    shown = terminal.escaped(str(value), keep="\n\t")
    return Html(html.escape(shown.encode("utf-8", "backslashreplace").decode()))


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element. ``class_`` is the attribute ``class``, ``stroke_width`` is ``stroke-width``; one that is None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{join(children)}</{name}>")


def join(parts: Iterable[Any], between: str = "") -> Html:
    """Parts one after another; None and empty ones are nothing."""
    return Html(between.join(text(one) for one in parts if one is not None and one != ""))


def table(head: Iterable[Any], rows: Iterable[Iterable[Any]], numbers: Iterable[int] = ()) -> Html:
    """A table; ``numbers`` are the columns, from 0, whose cells stand on the right."""
    right = set(numbers)

    def cells(kind: str, row: Iterable[Any]) -> Html:
        return join(tag(kind, one, class_="number" if at in right else None) for at, one in enumerate(row))

    body = join(tag("tr", cells("td", row)) for row in rows)
    return tag("div", tag("table", tag("thead", tag("tr", cells("th", head))), tag("tbody", body)), class_="scroll")


def count(number: int, one: str, several: str = "") -> str:
    """``1 image``, ``2,345 images``."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as ``97.5 %``; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def interval(low: float | None, high: float | None) -> tuple[float, float] | None:
    """The ends of an interval that says something: none where one is not known, or where both are the same."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)) or low == high:
        return None
    return low, high


def between(low: float | None, high: float | None) -> str:
    """An interval of shares as ``90.1 to 95.4 %``; a dash where there is none."""
    known = interval(low, high)
    return "–" if known is None else f"{100 * known[0]:.1f} to {100 * known[1]:.1f} %"


def code(command: str) -> Html:
    """A command in running text."""
    return tag("code", command)
