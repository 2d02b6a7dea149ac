"""The whole page of a report: its head, what it says first, and its sections."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.look.embedded import Pictures
from pipeline.look.page import Html, between, interval, join, percent, tag
from pipeline.look.sections import SECTIONS
from pipeline.look.source import Missing, Section, Source
from pipeline.look.thumbnails import Thumbnails
from store.store import Snapshot

POLICY = "default-src 'none'; img-src data:{beside}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
BESIDE = " 'self' file:"  # for the folder beside the report
STYLE = Path(__file__).with_name("report.css")
USUAL = "coldframe-store"  # the name of a store that says nothing: the folder it is in says more


def make(snapshot: Snapshot, plan: str | None, *, beside: str | None) -> tuple[Html, Pictures]:
    """The page, without its first lines, and its pictures: all in the folder ``beside`` it, or some inside the page.

    Raises:
        ColdframeError: there is no such plan.
    """
    pictures = Pictures(Thumbnails(snapshot), beside)
    source = Source.of(snapshot, pictures, plan, everything=beside is not None)
    made = [one for function in SECTIONS for one in function(source)]
    return pictures.fill(_page(source, made, beside=beside is not None)), pictures


def _page(source: Source, made: list[Section | Missing], *, beside: bool) -> Html:
    shown = [one for one in made if isinstance(one, Section) and one.body]
    missing = [one for one in made if isinstance(one, Missing)]
    name = source.where.resolve().name
    title = f"{source.where.resolve().parent.name}/{name}" if name == USUAL else name
    library = tag("svg", source.pictures.library, class_="library", aria_hidden="true", width=0, height=0)
    body = join(
        [
            tag("header", tag("h1", title), tag("p", _when(source), class_="when"), _tiles(source)),
            tag("nav", *(tag("a", one.title, href=f"#{one.key}") for one in shown), aria_label="Sections"),
            tag(
                "main",
                *(tag("section", tag("h2", one.title), one.body, id=one.key) for one in shown),
                _missing(missing),
            ),
            tag("footer", tag("p", "Made by coldframe report. It runs no script and loads nothing from anywhere.")),
        ]
    )
    policy = tag("meta", http_equiv="Content-Security-Policy", content=POLICY.format(beside=BESIDE if beside else ""))
    width = tag("meta", name="viewport", content="width=device-width, initial-scale=1")
    style = Html(STYLE.read_text(encoding="utf-8"))
    head = [policy, width, tag("title", f"{title} – coldframe report"), tag("style", style)]
    return Html(f"{join(head, chr(10))}\n<body>\n{library}\n{body}\n</body>\n</html>\n")


def _when(source: Source) -> str:
    moment = source.snapshot.manifest
    made = f"{datetime.now().astimezone():%d %B %Y, %H:%M}"
    return f"Report of {made}. It shows the store as 'coldframe {moment.step}' left it."


def _tiles(source: Source) -> Html:
    facts = source.facts
    tiles: list[tuple[Any, str]] = [(f"{facts['images']:,}", "images"), (f"{facts['labels']:,}", "classes")]
    if source.plan is not None:
        kept = sum(row["images"] for row in source.rows("splits", plan=source.plan))
        tiles.append((f"{kept:,}", f"kept by the plan {source.plan}"))
    tiles.append((f"{facts['failures']:,}", "failures"))
    if source.run is not None:
        run = source.run
        ends = run["accuracy_low"], run["accuracy_high"]
        shown = f" ({between(*ends)})" if interval(*ends) else ""
        tiles.append((percent(run["accuracy"]), f"accuracy of {run['name']} on {run['split']}{shown}"))
    return tag("div", *(tag("div", tag("b", number), tag("span", what)) for number, what in tiles), class_="tiles")


def _missing(missing: list[Missing]) -> Html:
    if not missing:
        return Html("")
    listed = [tag("li", tag("b", one.title), ": ", one.sentence) for one in missing]
    return tag("section", tag("h2", "Not in this report"), tag("ul", *listed), id="missing")
