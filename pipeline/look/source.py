"""What the sections of a report are made of: one moment of a store, the plan and the run to show, and pictures."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.look import choosing
from pipeline.look.embedded import Pictures
from pipeline.look.page import Html, join, tag
from pipeline.look.typical import typical
from store.store import Snapshot

EVERYTHING = 1_000_000_000  # pictures of a gallery that is not cut


@dataclass(frozen=True)
class Section:
    """A part of a report. ``key`` is its address in the page."""

    key: str
    title: str
    body: Html


@dataclass(frozen=True)
class Missing:
    """A part that the store has nothing for, and a sentence that says which command would give it."""

    title: str
    sentence: Html


@dataclass
class Source:
    """A moment of a store with what a report shows of it.

    Attributes:
        plan: the plan whose rules are shown; None where none was replayed.
        plans: all plans.
        everything: whether galleries show all they have.
    """

    snapshot: Snapshot
    pictures: Pictures
    plan: str | None
    plans: list[str]
    everything: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot, pictures: Pictures, plan: str | None, *, everything: bool) -> Source:
        """Look up what there is.

        Raises:
            ColdframeError: there is no such plan.
        """
        plans = choosing.plans_of(snapshot)
        facts = snapshot.rows("steps/look/report/facts")[0]
        return cls(snapshot, pictures, choosing.plan(plans, plan), plans, everything, facts)

    def most(self, number: int) -> int:
        """How many a gallery shows that usually shows ``number``."""
        return EVERYTHING if self.everything else number

    def rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query of the report."""
        return self.snapshot.rows(f"steps/look/report/{name}", **parameters)

    @functools.cached_property
    def run(self) -> dict[str, Any] | None:
        """The evaluation to show, of the newest evaluated run."""
        rows = self.rows("evaluated")
        return rows[0] if rows else None

    @functools.cached_property
    def embedder(self) -> str | None:
        """The feature set that says what is typical, as on the pages."""
        return choosing.feature_set(self.snapshot)

    @functools.cached_property
    def typical(self) -> dict[str, list[str]]:
        """Typical contents of each class; nothing where there is no feature set."""
        return typical(self.snapshot, self.embedder, self.plan) if self.embedder is not None else {}

    @property
    def where(self) -> Path:
        """The folder of the store."""
        return self.snapshot.root


def mosaic(source: Source, label: str | None, but: str, number: int = 4) -> Html | None:
    """Typical pictures of a class, small, with a line that says so; without the picture ``but``."""
    contents = [one for one in source.typical.get(label or "", []) if one != but][:number]
    if not contents:
        return None
    shown = join(source.pictures.show(one, f"a typical {label}") for one in contents)
    words = tag("figcaption", "typical ", tag("b", label, class_="label"))
    return tag("figure", tag("div", shown, class_="mosaic"), words, class_="beside")


def case(source: Source, content: str, told: str, lines: list[Any], *beside: Html | None, kind: str = "") -> Html:
    """A card: a picture, what is ``beside`` it, and lines about it; of the ``kind`` ``out`` or ``in``, where it is either."""
    picture = tag("div", source.pictures.show(content, told), class_="one")
    words = [tag("p", line) for line in lines if line]
    return tag("article", tag("div", picture, *beside, class_="row"), *words, class_=f"case {kind}".strip())


def gallery(cards: list[Html], *, wide: bool = False) -> Html:
    """Cards side by side; ``wide`` ones have room for two beside the picture."""
    return tag("div", *cards, class_="gallery wide" if wide else "gallery")


def named(image_id: str, path: str | None) -> Html:
    """How to find an image again: its id, and its path where it is pointed at."""
    return tag("span", image_id, class_="name", title=f"{image_id}\n{path or ''}".strip())


def cut(shown: int, whole: int, what: str) -> Html | None:
    """A sentence where a gallery does not show all."""
    if shown >= whole:
        return None
    return tag("p", f"{shown:,} of {whole:,} {what} are shown; ", tag("code", "--all"), " shows all.", class_="note")
