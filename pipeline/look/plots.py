"""Plots as inline SVG. They take their colours from the style sheet, so that they are right in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.look.page import Html, join, tag, text

WIDTH = 860  # units across; the page scales it
LINE = 26  # units of a row
CHARACTER = 6.6  # units of a character, on average
LABELS = 190  # units for the names on the left


@dataclass(frozen=True)
class Bar:
    """A row of a bar plot: ``value`` is the whole bar, ``strong`` the part of it that is drawn darker."""

    name: str
    value: float
    strong: float | None = None
    told: str = ""
    link: str | None = None
    is_total: bool = False


def bars(rows: Sequence[Bar], told: str, *, most: float | None = None) -> Html:
    """Bars beside their names, with what ``told`` says of each at its end."""
    right = max((len(row.told) for row in rows), default=0) * CHARACTER + 16
    space = WIDTH - LABELS - right
    most = most or max((row.value for row in rows), default=0) or 1
    drawn = []
    for at, row in enumerate(rows):
        y, width = at * LINE, max(space * row.value / most, 1.5 if row.value else 0)
        inner = None if row.strong is None else space * row.strong / most
        name = _cut(row.name, LABELS - 14)
        shown = tag("text", name, x=LABELS - 10, y=y + 17, text_anchor="end", class_="total" if row.is_total else None)
        drawn += [
            tag("a", shown, href=row.link) if row.link else shown,
            _rect(LABELS, y + 4, width, LINE - 8, "bar soft" if inner is not None else "bar"),
            _rect(LABELS, y + 4, inner, LINE - 8, "bar") if inner is not None else None,
            tag("text", row.told, x=f"{LABELS + width + 8:.1f}", y=y + 17, class_="told"),
        ]
    return _svg(drawn, len(rows) * LINE, told)


@dataclass(frozen=True)
class Step:
    """A step of a funnel: how many are ``left`` after it, and how many it took ``out``."""

    name: str
    left: int
    out: int
    link: str | None = None


def funnel(begin: str, whole: int, steps: Sequence[Step], told: str) -> Html:
    """What is left after each step, with what the step took out drawn beside it."""
    space = WIDTH - LABELS - 130
    drawn = [
        tag("text", begin, x=LABELS - 10, y=17, text_anchor="end", class_="total"),
        _rect(LABELS, 4, space, LINE - 8, "bar"),
        tag("text", f"{whole:,}", x=LABELS + space + 8, y=17, class_="total"),
    ]
    for at, step in enumerate(steps, start=1):
        y, width, out = at * LINE, space * step.left / (whole or 1), space * step.out / (whole or 1)
        name = tag("text", _cut(step.name, LABELS - 14), x=LABELS - 10, y=y + 17, text_anchor="end")
        drawn += [
            tag("a", name, href=step.link) if step.link else name,
            _rect(LABELS, y + 4, width, LINE - 8, "bar"),
            _rect(LABELS + width, y + 4, max(out, 1.5 if step.out else 0), LINE - 8, "bar out"),
            tag("text", f"{step.left:,}", x=LABELS + space + 8, y=y + 17, class_="told"),
            tag(
                "text",
                f"−{step.out:,}" if step.out else "",
                x=WIDTH - 8,
                y=y + 17,
                text_anchor="end",
                class_="out-text",
            ),
        ]
    return _svg(drawn, (len(steps) + 1) * LINE, told)


def columns(rows: Sequence[tuple[str, int]], told: str) -> Html:
    """Columns over their names: a histogram."""
    height, most = 110, max((number for _, number in rows), default=0) or 1
    step = min(WIDTH / max(len(rows), 1), 90)
    drawn = []
    for at, (name, number) in enumerate(rows):
        tall, middle = height * number / most, at * step + step / 2
        tall = max(tall, 1.5 if number else 0)
        drawn += [
            _rect(at * step + 3, 20 + height - tall, step - 6, tall, "bar"),
            tag(
                "text",
                f"{number:,}",
                x=f"{middle:.1f}",
                y=f"{14 + height - tall:.1f}",
                text_anchor="middle",
                class_="told",
            ),
            tag("text", name, x=f"{middle:.1f}", y=height + 38, text_anchor="middle"),
        ]
    return _svg(drawn, height + 46, told, across=max(step * len(rows), 320))


def ranks(values: Sequence[int], told: str) -> Html:
    """Sizes of many classes in descending order, on a logarithmic scale."""
    height, left = 150, 56
    top = max(1, math.ceil(math.log10(max([*values, 10]))))
    step = (WIDTH - left) / max(len(values), 1)
    drawn = []
    for power in range(top + 1):
        y = 10 + height * (1 - power / top)
        drawn += [
            tag("line", x1=left, x2=WIDTH, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid"),
            tag("text", f"{10**power:,}", x=left - 8, y=f"{y + 4:.1f}", text_anchor="end", class_="told"),
        ]
    for at, value in enumerate(values):
        tall = height * math.log10(max(value, 1)) / top
        drawn.append(_rect(left + at * step, 10 + height - tall, max(step - 0.6, 0.6), max(tall, 1.5), "bar"))
    return _svg(drawn, height + 18, told)


@dataclass(frozen=True)
class Interval:
    """A value with its interval, shares from 0 to 1."""

    name: str
    value: float
    ends: tuple[float, float] | None
    told: str = ""


def intervals(rows: Sequence[Interval], told: str) -> Html:
    """Points with their intervals on one scale of percent."""
    known = [one for row in rows for one in (row.value, *(row.ends or ())) if math.isfinite(one)]
    low = max(0.0, math.floor(20 * min(known, default=0) - 0.2) / 20)
    high = min(1.0, math.ceil(20 * max(known, default=1) + 0.2) / 20)
    high = max(high, low + 0.05)
    right = max((len(row.told) for row in rows), default=0) * CHARACTER + 20
    space = WIDTH - LABELS - right

    def place(value: float) -> str:
        return f"{LABELS + space * (value - low) / (high - low):.1f}"

    bottom = len(rows) * LINE + 8
    ticks = round((high - low) / 0.05)
    step = 0.05 * max(1, math.ceil(ticks / 8))
    drawn = []
    for at in range(int((high - low) / step + 1e-9) + 1):
        x = place(low + at * step)
        drawn += [
            tag("line", x1=x, x2=x, y1=4, y2=bottom, class_="grid"),
            tag("text", f"{100 * (low + at * step):.0f} %", x=x, y=bottom + 16, text_anchor="middle", class_="told"),
        ]
    for at, row in enumerate(rows):
        y = at * LINE + 17
        drawn.append(tag("text", _cut(row.name, LABELS - 14), x=LABELS - 10, y=y + 4, text_anchor="end"))
        if row.ends is not None:
            low_end, high_end = map(place, row.ends)
            drawn.append(tag("line", x1=low_end, x2=high_end, y1=y, y2=y, class_="whisker"))
        drawn += [
            tag("circle", cx=place(row.value), cy=y, r=5, class_="point"),
            tag("text", row.told, x=WIDTH - right + 16, y=y + 4, class_="told"),
        ]
    return _svg(drawn, bottom + 24, told)


def matrix(labels: Sequence[str], cells: Sequence[Sequence[int]], told: str) -> Html:
    """A confusion matrix: rows are the true labels, columns the predictions, shades the shares of a row."""
    size = len(labels)
    longest = max((len(one) for one in labels), default=0)
    left = min(max(longest * CHARACTER + 24, 60), LABELS)
    cell = max(13.0, min(54.0, (WIDTH - left - 60) / max(size, 1)))
    top = min(longest, 22) * CHARACTER * 0.72 + 26
    drawn = []
    for at, label in enumerate(labels):
        middle = at * cell + cell / 2
        x = left + middle
        drawn += [
            tag("text", _cut(label, left - 14), x=f"{left - 8:.1f}", y=f"{top + middle + 4:.1f}", text_anchor="end"),
            tag("text", _cut(label, 22 * CHARACTER), transform=f"translate({x + 3:.1f},{top - 8:.1f}) rotate(-45)"),
        ]
    for row, numbers in enumerate(cells):
        whole = sum(numbers) or 1
        for column, number in enumerate(numbers):
            x, y = left + column * cell, top + row * cell
            kind = "cell right" if row == column else "cell wrong"
            share = number / whole
            drawn.append(_rect(x, y, cell - 1, cell - 1, "cell empty"))
            if not number:
                continue
            said = f"{number:,} of {whole:,} {labels[row]} were called {labels[column]}"
            shade = 0.12 + 0.88 * share
            drawn.append(_rect(x, y, cell - 1, cell - 1, kind, said, opacity=f"{shade:.2f}"))
            if cell >= 20:
                on = "on" if shade > 0.62 else "off"
                place = {"x": f"{x + cell / 2 - 0.5:.1f}", "y": f"{y + cell / 2 + 4:.1f}"}
                drawn.append(tag("text", number, text_anchor="middle", class_=f"number-{on}", **place))
    across = left + size * cell + 70
    return _svg(drawn, top + size * cell + 4, told, across=across)


def _rect(x: float, y: float, width: float, height: float, kind: str, said: str = "", **more: str) -> Html:
    """A rectangle; ``said`` is shown when it is pointed at."""
    title = tag("title", said) if said else ""
    numbers = {"x": x, "y": y, "width": width, "height": height}
    return tag("rect", title, class_=kind, **{key: f"{value:.1f}" for key, value in numbers.items()}, **more)


def _cut(name: str, space: float) -> Html:
    """A name that fits into so many units; the whole is shown when it is pointed at."""
    most = max(int(space / CHARACTER), 4)
    return text(name) if len(name) <= most else join([name[: most - 1] + "…", tag("title", name)])


def _svg(drawn: Sequence[Html | None], height: float, told: str, *, across: float = WIDTH) -> Html:
    return tag(
        "svg",
        *drawn,
        viewBox=f"0 0 {across:.0f} {max(height, 1):.0f}",
        class_="plot",
        style=f"max-width:{across:.0f}px",
        role="img",
        aria_label=told,
    )
