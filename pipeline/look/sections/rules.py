"""What each rule takes out: the worst, what is narrowly out and narrowly in. And an augmented batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipeline.curate import rules as of_store
from pipeline.curate import scorers
from pipeline.curate.plans import from_store
from pipeline.curate.state import State
from pipeline.embed import contact_sheet
from pipeline.look.page import Html, code, count, join, tag
from pipeline.look.sections.catalogue import VERDICT, rule_key
from pipeline.look.source import Missing, Section, Source, case, cut, gallery, mosaic, named
from store.errors import ColdframeError
from store.rows import json_of

CARDS, FEWEST, IN_ALL = 8, 3, 96  # of a list; where there are many rules; of all lists together
COPIES = "copies"
# What a rule's value is, and how close to the threshold is said; other rules have a value and a threshold.
MEASURES = {
    "centroid": ("distance", "at most"),
    "label-doubt": ("doubt", "at most"),
    "knn": ("distance to its nearest", "at most"),
    "clip-quality": ("quality", "at least"),
    "imagenet": ("probability of what is wanted", "at least"),
}
MEASURED = {"greyscale": "colour (0: none, 255: most)", COPIES: "bits that differ"}


def sections(source: Source) -> Iterator[Section | Missing]:
    """A section for each rule that took something out, then the batch."""
    taken = source.rows("rules", plan=source.plan) if source.plan is not None else []
    each = max(FEWEST, min(CARDS, IN_ALL // max(3 * len(taken), 1)))
    for row in taken:
        yield Section(rule_key(row["rule"]), _title(row), _rule(source, row, source.most(each)))
    if taken and not source.typical:
        sentence = Html(
            f"There are no vectors to choose them by. {code('coldframe embed efficientnet-b4')} makes some."
        )
        yield Missing("Typical pictures beside the others", sentence)
    yield _batch(source)


def _title(row: dict[str, Any]) -> str:
    name = "dropped by a person" if row["rule"] == VERDICT else str(row["rule"])
    return f"Out: {name} ({row['images']:,})"


def _rule(source: Source, rule: dict[str, Any], most: int) -> Html:
    name = str(rule["rule"])
    lists: dict[str, list[dict[str, Any]]] = {"worst": [], "narrow": []}
    for row in source.rows("outs", plan=source.plan, rule=name, most=most):
        lists[row["list"]].append(row)
    worst = lists["worst"]
    shown = {row["image_id"] for row in worst}
    narrow = [row for row in lists["narrow"] if row["image_id"] not in shown or source.everything]
    if len(shown) == rule["images"]:  # all are there already, the narrowest last
        narrow = []
    parts: list[Any] = [tag("p", join(_about(rule, name)))]
    parts += [tag("h3", "The worst first" if worst[0]["margin"] is not None else "What it took out")]
    parts += [
        _cards(source, worst, name),
        cut(len(shown | {row["image_id"] for row in narrow}), rule["images"], "images"),
    ]
    if narrow:
        parts += [tag("h3", "Narrowly out"), _cards(source, narrow, name)]
    inside = _narrowly_in(source, name, CARDS if source.everything else most)
    if inside:
        parts += [tag("h3", "Narrowly in"), _cards(source, inside, name, out=False)]
    return join(parts)


def _about(rule: dict[str, Any], name: str) -> Iterator[Any]:
    if name == VERDICT:
        yield f"A person dropped {count(rule['images'], 'image')}, whatever the rules say."
        return
    if name in of_store.names():
        yield of_store.describe(name) + " "
    settings = json_of(rule["settings"] or "{}", f"the settings of the rule {name!r}")
    told = ", ".join(f"{key} {_plain(value)}" for key, value in settings.items() if value is not None)
    if told:
        yield f"Settings: {told}. "
    if rule["passes"] and rule["passes"] > 1:
        yield f"It worked in {rule['passes']} passes, each on what the one before had left."


def _plain(value: Any) -> str:
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)


def _cards(source: Source, rows: list[dict[str, Any]], rule: str, *, out: bool = True) -> Html:
    like = _like(source, rows) if rule == COPIES else {}
    cards = []
    for row in rows:
        content, label = row["content_id"], row["label"]
        lines = [join([tag("b", label if label is not None else "no label", class_="label"), " ", _measure(row, rule)])]
        lines.append(named(row["image_id"], row["path"]))
        beside = _original(source, like.get(content)) if rule == COPIES else mosaic(source, label, content)
        where = "out" if out else "in"
        cards.append(case(source, content, f"{row['image_id']}, {label}, {where}", lines, beside))
    return gallery(cards)


def _measure(row: dict[str, Any], rule: str) -> str:
    if row["value"] is None:
        return ""
    what, bound = MEASURES.get(rule, (MEASURED.get(rule, "value"), ""))
    value = f"{what} {row['value']:.3g}"
    if row["threshold"] is None:
        return value
    threshold = f"{row['threshold']:.3g}"
    if rule == COPIES:
        return f"{value} (up to {threshold} is a copy)"
    return f"{value} ({bound} {threshold} stays)" if bound else f"{value} (threshold {threshold})"


def _like(source: Source, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each content the kept picture that it is a copy of."""
    contents = [row["content_id"] for row in rows]
    source.snapshot.register("wanted", pa.table({"content_id": pa.array(contents, pa.string())}))
    return {row["content_id"]: row for row in source.rows("like", plan=source.plan)}


def _original(source: Source, row: dict[str, Any] | None) -> Html | None:
    if row is None:
        return None
    picture = source.pictures.show(row["like_id"], f"{row['image_id']}, which stays")
    words = tag("figcaption", "stays: ", named(row["image_id"], row["path"]))
    return tag("figure", tag("div", picture, class_="one"), words, class_="beside")


def _narrowly_in(source: Source, rule: str, most: int) -> list[dict[str, Any]]:
    """Images that the rule nearly took out; nothing of a rule whose values of what it leaves in are not known."""
    if rule in scorers.names() and rule not in ("label-doubt",):
        return source.rows("in_by_score", plan=source.plan, rule=rule, most=most)
    try:
        reads = of_store.relations(rule) if rule in of_store.names() else []
        plan = from_store(source.snapshot, source.plan or "") if len(reads) == 1 else None
        if plan is None:
            return []
        # its values are of the images that stood when it worked: the plan is replayed up to there
        state = State(source.snapshot, plan, reassign=False)
        for stage in plan.stages:
            if stage.kind == "split":
                state.carve(stage)
                continue
            state.apply_rule(stage)
            if stage.name == rule:
                break
        return source.rows(f"in_by_{reads[0]}", most=most)
    except ColdframeError:  # what the plan reads has gone since
        return []


def _batch(source: Source) -> Section | Missing:
    try:
        several = len(source.rows("sets_with_views")) > 1  # then one has to be named
        batch = contact_sheet.batch(source.snapshot, source.embedder if several else None, source.plan or "")
    except ColdframeError as error:
        return Missing("An augmented batch", tag("span", f"No view could be drawn: {error}"))
    rows = []
    for title, made in batch.rows:
        pictures = [
            tag("div", source.pictures.draw(image, f"{title}, {'view ' + str(at) if at else 'as it is'}"), class_="one")
            for at, image in enumerate(made)
        ]
        rows.append(tag("div", *pictures, tag("p", title, class_="name"), class_="views"))
    about = tag("p", f"Each row is an image: first as it is, then its views {contact_sheet.describe(batch)}.")
    return Section("views", "An augmented batch", join([about, *rows]))
