"""What each rule takes out: the worst, what is narrowly out and narrowly in. And an augmented batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa

from pipeline.curate import rules as of_store
from pipeline.curate import scorers
from pipeline.curate.plans import Plan, from_store
from pipeline.curate.relations import RELATIONS
from pipeline.curate.state import State
from pipeline.embed import contact_sheet
from pipeline.look.page import Html, code, count, join, tag
from pipeline.look.sections.catalogue import VERDICT, rule_key
from pipeline.look.source import Missing, Section, Source, case, cut, gallery, mosaic, named
from store.errors import ColdframeError
from store.rows import json_of

CARDS, FEWEST, IN_ALL = 8, 3, 96  # of a list; where there are many rules; of all lists together
COPIES = "copies"
# What the value of a rule is called; of one of the user's own it is a value.
MEASURES = {
    "centroid": "distance",
    "label-doubt": "doubt",
    "knn": "distance to its nearest",
    "clip-quality": "quality",
    "imagenet": "probability of what is wanted",
    COPIES: "bits that differ:",
}
GREYSCALE = "greyscale"


def sections(source: Source) -> Iterator[Section | Missing]:
    """A section for each rule that took something out, then the batch."""
    taken = source.rows("rules", plan=source.plan) if source.plan is not None else []
    each = max(FEWEST, min(CARDS, IN_ALL // max(3 * len(taken), 1)))
    left_in = _left_in(source, taken, CARDS if source.everything else each)
    for row in taken:
        inside = left_in.get(row["rule"], [])
        yield Section(rule_key(row["rule"]), _title(row), _rule(source, row, inside, source.most(each)))
    if taken and not source.typical:
        sentence = Html(
            f"There are no vectors to choose them by. {code('coldframe embed efficientnet-b4')} makes some."
        )
        yield Missing("Typical pictures beside the others", sentence)
    if source.facts["images"]:
        yield _batch(source)


def _title(row: dict[str, Any]) -> str:
    name = "dropped by a person" if row["rule"] == VERDICT else str(row["rule"])
    return f"Out: {name} ({row['images']:,})"


def _rule(source: Source, rule: dict[str, Any], inside: list[dict[str, Any]], most: int) -> Html:
    name = str(rule["rule"])
    lists: dict[str, list[dict[str, Any]]] = {"worst": [], "narrow": []}
    for row in source.rows("outs", plan=source.plan, rule=name, most=most):
        lists[row["list"]].append(row)
    worst = lists["worst"]
    margins = {row["margin"] for rows in lists.values() for row in rows}
    is_ranked = len(margins - {None}) > 1 and name != COPIES  # of copies no one is worse than another
    shown = {row["image_id"] for row in worst}
    narrow = [row for row in lists["narrow"] if row["image_id"] not in shown or source.everything]
    if len(shown) == rule["images"] or not is_ranked:  # all are there already, the narrowest last
        narrow = []
    parts: list[Any] = [tag("p", join(_about(rule, name)))]
    parts += [tag("h3", "The worst first" if is_ranked else "What it took out")]
    parts.append(_cards(source, worst, name))
    if narrow:
        parts += [tag("h3", "Narrowly out"), _cards(source, narrow, name)]
    parts.append(cut(len(shown | {row["image_id"] for row in narrow}), rule["images"], "images that are out"))
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
    told = ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in settings.items() if value is not None)
    if told:
        yield f"Settings: {told}. "
    if rule["passes"] and rule["passes"] > 1:
        yield f"It worked in {rule['passes']} passes, each on what the one before had left."


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)


def _cards(source: Source, rows: list[dict[str, Any]], rule: str, *, out: bool = True) -> Html:
    like = _like(source, rows) if rule == COPIES else {}
    cards = []
    for row in rows:
        content, label = row["content_id"], row["label"]
        lines = [
            join(
                [
                    tag("b", label if label is not None else "no label", class_="label"),
                    " ",
                    _measure({**row, "is_out": out}, rule),
                ]
            )
        ]
        lines.append(named(row["image_id"], row["path"]))
        beside = _original(source, like.get(content)) if rule == COPIES else mosaic(source, label, content)
        where = "out" if out else "in"
        cards.append(case(source, content, f"{row['image_id']}, {label}, {where}", lines, beside, kind=where))
    return gallery(cards)


def _measure(row: dict[str, Any], rule: str) -> str:
    value, threshold = row["value"], row["threshold"]
    if value is None:
        return ""
    if rule == GREYSCALE:
        return f"colour {value:.0f} of 255"
    told = f"{MEASURES.get(rule, 'value')} {value:#.3g}" if rule != COPIES else f"{MEASURES[rule]} {value:.0f}"
    if threshold is None or rule == COPIES:
        return told
    is_high = (value > threshold) == row["is_out"]
    return f"{told} (out {'above' if is_high else 'below'} {threshold:#.3g})"


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


def _left_in(source: Source, taken: list[dict[str, Any]], most: int) -> dict[str, list[dict[str, Any]]]:
    """For each rule the images that it nearly took out; none of a rule whose values of what it leaves in are not known."""
    found: dict[str, list[dict[str, Any]]] = {}
    replayed = []
    for name in (str(row["rule"]) for row in taken):
        if name in of_store.names() and of_store.relations(name):
            replayed.append(name)
        elif name in scorers.names():
            found[name] = source.rows("in_by_score", plan=source.plan, rule=name, most=most)
    plan = from_store(source.snapshot, source.plan or "") if replayed else None
    if plan is not None:
        with suppress(ColdframeError):  # what the plan reads has gone since
            found |= _of_relations(source, plan, replayed, most)
    return found


def _of_relations(source: Source, plan: Plan, rules: list[str], most: int) -> dict[str, list[dict[str, Any]]]:
    """The same for rules over vectors: their values are of the images that stood when they worked, so the plan is replayed."""
    found: dict[str, list[dict[str, Any]]] = {}
    state = State(source.snapshot, plan, reassign=False)
    for stage in plan.stages:
        if stage.kind == "split":
            state.carve(stage)
            continue
        state.apply_rule(stage)
        if stage.name in rules:
            relation = of_store.relations(stage.name)[0]
            judged = source.snapshot.select(relation, "image_id", RELATIONS[relation].value)
            source.snapshot.register("judged", judged.rename_columns(["image_id", "value"]))
            found[stage.name] = source.rows("in_by_relation", most=most)
        if len(found) == len(rules):
            break
    return found


def _set_with_views(source: Source) -> str | None:
    """The feature set whose views are shown: one has to be named where several have some."""
    names = [str(row["embedder"]) for row in source.rows("sets_with_views")]
    if len(names) < 2:
        return None
    of_run = None if source.run is None else source.run["embedder"]
    return next((str(one) for one in (of_run, source.embedder) if one in names), names[0])


def _batch(source: Source) -> Section | Missing:
    try:
        batch = contact_sheet.batch(source.snapshot, _set_with_views(source), source.plan or "")
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
