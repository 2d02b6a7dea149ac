"""Suspects, copies as stacks, and failures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from pipeline.look.page import Html, code, count, join, table, tag
from pipeline.look.source import Missing, Section, Source, case, cut, gallery, mosaic, named

SUSPECTS, STACKS, IN_A_STACK, REASONS = 24, 10, 7, 100
KINDS = {"exact": "identical file", "near": "near copy"}


def sections(source: Source) -> Iterator[Section | Missing]:
    """Suspects, copies, failures."""
    if source.facts["scores"]:
        yield from _suspects(source)
    elif source.facts["images"]:
        yield Missing("Suspects", Html(f"No image was scored. {code('coldframe score label-doubt')} does it."))
    stacks = source.rows("stacks", most=source.most(STACKS))
    if stacks:
        yield Section("copies", "Copies", _copies(source, stacks))
    if source.facts["images"] and not source.facts["looked_for_copies"]:
        sentence = f"Only identical files are known. {code('coldframe copies')} finds those that show the same picture."
        yield Missing("Near copies", Html(sentence))
    if source.facts["failures"]:
        yield Section("failures", "Failures", _failures(source))


def _suspects(source: Source) -> Iterator[Section]:
    rows = source.rows("suspects", most=source.most(SUSPECTS))
    if not rows:
        return
    cards = []
    for row in rows:
        label, suggested = row["label"], row["suggested"]
        beside = [
            mosaic(source, one, row["content_id"]) for one in dict.fromkeys((label, suggested)) if one is not None
        ]
        line = join([tag("b", label if label is not None else "no label", class_="label")])
        if suggested is not None:
            line = join([line, " or ", tag("b", suggested, class_="label wrong"), "?"])
        lines = [line, tag("span", row["sentence"], class_="sentence"), named(row["image_id"], row["path"])]
        cards.append(case(source, row["content_id"], f"{row['image_id']}: {row['sentence']}", lines, *beside))
    about = (
        "Images with a sign against them that nobody has judged, the most suspicious first. Judge them in ",
        code("coldframe look"),
        ".",
    )
    body = [tag("p", *about), gallery(cards, wide=True), cut(len(rows), rows[0]["of_all"], "suspects")]
    yield Section("suspects", f"Suspects ({rows[0]['of_all']:,})", join(body))


def _copies(source: Source, rows: list[dict[str, Any]]) -> Html:
    kinds = source.snapshot.rows("steps/ingest/inspect/copies")
    listed = [(row["kind"], f"{row['copies']:,}", f"{row['with_another_label']:,}") for row in kinds]
    stacks = []
    for _, of_one in groupby(rows, key=lambda row: row["original_id"]):
        members = list(of_one)
        stacks.append(_stack(source, members[0], members))
    return join(
        [
            tag("p", "Groups of images that show the same picture. The first of each is the best: most pixels."),
            table(("kind", "copies", "with another label than the original"), listed, (1, 2)),
            tag("div", *stacks, class_="stacks"),
            cut(len(stacks), rows[0]["of_all"], "groups"),
        ]
    )


def _stack(source: Source, first: dict[str, Any], members: list[dict[str, Any]]) -> Html:
    best = {
        "image_id": first["original_id"], "content_id": first["original_content"], "label": first["original_label"],
        "path": first["original_path"], "kind": None,
    }  # fmt: skip
    shown = [best, *members[: len(members) if source.everything else IN_A_STACK]]
    pictures = []
    for row in shown:
        kind = KINDS.get(row["kind"], row["kind"]) if row["kind"] is not None else "the best"
        differs = row["label"] != best["label"]
        words = [
            tag("span", kind, class_="kind"),
            tag("b", row["label"], class_="label wrong" if differs else "label") if row["label"] is not None else None,
            named(row["image_id"], row["path"]),
        ]
        one = tag("div", source.pictures.show(row["content_id"], f"{row['image_id']}, {kind}"), class_="one")
        pictures.append(tag("figure", one, tag("figcaption", *words)))
    more = len(members) + 1 - len(shown)
    return tag("div", *pictures, tag("p", f"and {more:,} more", class_="note") if more else None, class_="stack")


def _failures(source: Source) -> Html:
    rows = source.snapshot.rows("steps/ingest/inspect/failures")
    listed = [
        (
            " ".join(filter(None, (row["step"], row["name"]))),
            row["reason"],
            f"{row['rows']:,}",
            row["for_instance"] or "",
        )
        for row in rows[:REASONS]
    ]
    about = f"{count(source.facts['failures'], 'row')} of the catalogue gave nothing in some step."
    note = tag("p", f"{len(rows) - REASONS:,} more reasons are in the view failures.", class_="note")
    return join(
        [
            tag("p", about, " They are in the view ", code("failures"), "."),
            table(("step", "reason", "rows", "for instance"), listed, (2,)),
            note if len(rows) > REASONS else None,
        ]
    )
