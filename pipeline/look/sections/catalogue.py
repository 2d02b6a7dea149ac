"""The books, the classes and the sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.look import plots
from pipeline.look.page import Html, code, count, join, table, tag
from pipeline.look.source import Missing, Section, Source

MOST_CLASSES, OF_MANY = 40, (22, 8)  # classes that are all shown; of more, the largest and the smallest
VERDICT = "verdict"  # the rule of what a person drops


def sections(source: Source) -> Iterator[Section | Missing]:
    """Books, classes, sizes."""
    yield Section("books", "The books", _books(source))
    if not source.facts["images"]:
        begin = code("coldframe ingest METADATA --images DIR")
        yield Missing("The pictures", Html(f"The store has no image yet. {begin} reads a catalogue."))
        return
    if source.plan is None:
        yield Missing(
            "Rules and splits", Html(f"No plan was replayed. {code('coldframe filter greyscale')} begins one.")
        )
    if source.facts["labels"]:
        yield Section("classes", "Classes", _classes(source))
    yield Section("sizes", "Sizes and formats", _sizes(source))


def _books(source: Source) -> Html:
    rows = source.snapshot.rows("steps/upkeep/books")
    book = next((row for row in rows if row["plan"] == source.plan), rows[0])
    steps = [plots.Step("readable", book["ready"], book["failed"], "#failures" if book["failed"] else None)]
    left = book["ready"]
    quiet: list[str] = []
    if source.plan is not None:
        quiet = [str(row["name"]) for row in source.rows("quiet_rules", plan=source.plan)]
        for row in source.rows("rules", plan=source.plan):
            left -= row["images"]
            name = "dropped by a person" if row["rule"] == VERDICT else str(row["rule"])
            steps.append(plots.Step(name, left, row["images"], f"#{rule_key(str(row['rule']))}"))
    told = f"Of {book['catalogue']:,} rows of the catalogue {left:,} are left."
    parts = [
        tag(
            "p", f"Every row of the catalogue is accounted for: {book['catalogue']:,} rows, of which {left:,} are left."
        ),
        plots.funnel("rows of the catalogue", book["catalogue"], steps, told),
    ]
    if quiet:
        parts.append(tag("p", f"Took nothing out: {', '.join(quiet)}.", class_="note"))
    if book["plan"] is not None and book["not_yet_curated"]:
        parts.append(
            tag("p", f"{count(book['not_yet_curated'], 'image')} came after the plan was replayed.", class_="note")
        )
    if source.plan is not None:
        parts.append(_splits(source))
    if len(source.plans) > 1:
        listed = [(row["plan"], f"{row['kept']:,}", f"{row['out']:,}") for row in rows]
        shown = tag("b", source.plan, class_="label")
        parts.append(tag("p", "This report shows the plan ", shown, ". The store has several:", class_="note"))
        parts.append(table(("plan", "kept", "out"), listed, (1, 2)))
    return join(parts)


def _splits(source: Source) -> Html:
    rows = source.rows("splits", plan=source.plan)
    whole = sum(row["images"] for row in rows) or 1
    drawn = [
        plots.Bar(str(row["split"]), row["images"], None, f"{row['images']:,}  ({100 * row['images'] / whole:.1f} %)")
        for row in rows
    ]
    return join([tag("h3", "Splits"), plots.bars(drawn, "Images in each split.")])


def rule_key(rule: str) -> str:
    """The address of a rule's section: a rule of the user's own may have any name."""
    return "rule-" + "".join(one if one.isascii() and one.isalnum() else "-" for one in rule)


def _classes(source: Source) -> Html:
    rows = source.rows("classes", plan=source.plan)
    labelled = [row for row in rows if row["label"] is not None]
    largest, smallest = labelled[0], labelled[-1]
    times = largest["images"] / smallest["images"]
    sentence = (
        f"{count(len(labelled), 'class', 'classes')}. The largest, {largest['label']}, has {count(largest['images'], 'image')}; "
        f"the smallest, {smallest['label']}, has {smallest['images']:,}. That is {f'{times:,.1f}'.removesuffix('.0')} to 1."
    )
    if source.plan is not None:
        sentence += f" The dark part of a bar is what the plan {source.plan} keeps."
    parts: list[Any] = [tag("p", sentence)]
    if len(labelled) > MOST_CLASSES:
        told = "Images of each class, from the largest to the smallest."
        parts += [tag("h3", "All classes"), plots.ranks([row["images"] for row in labelled], told)]
        first, last = OF_MANY
        parts += [tag("h3", "The largest"), _bars(source, labelled[:first], largest["images"])]
        parts += [tag("h3", "The smallest"), _bars(source, labelled[-last:], largest["images"])]
    else:
        parts.append(_bars(source, labelled, largest["images"]))
    unlabelled = next((row["images"] for row in rows if row["label"] is None), 0)
    if unlabelled:
        parts.append(tag("p", f"{count(unlabelled, 'image has', 'images have')} no label.", class_="note"))
    return join(parts)


def _bars(source: Source, rows: list[dict[str, Any]], most: int) -> Html:
    is_planned = source.plan is not None
    drawn = [
        plots.Bar(
            str(row["label"]),
            row["images"],
            row["kept"] if is_planned else None,
            f"{row['kept']:,} of {row['images']:,} kept" if is_planned else f"{row['images']:,}",
        )
        for row in rows
    ]
    return plots.bars(drawn, "Images of each class, and those that are kept.", most=most)


def _sizes(source: Source) -> Html:
    sides = [
        (
            f"{row['pixels']}–{row['below'] - 1}" if row["below"] > row["pixels"] + 1 else f"{row['pixels']}",
            row["images"],
        )
        for row in source.rows("sides")
    ]
    sizes = source.snapshot.rows("steps/ingest/inspect/sizes")
    columns = ("smallest", "quarter", "half", "three_quarters", "largest")
    modes = source.snapshot.rows("steps/ingest/inspect/modes")
    formats = [(row["format"], row["mode"], f"{row['images']:,}", f"{row['grey']:,}") for row in modes]
    return join(
        [
            tag("p", "How many pictures have a longer side of so many pixels:"),
            plots.columns(sides, "Pictures by the length of their longer side, in pixels."),
            tag(
                "div",
                table(
                    ("pixels", "smallest", "lower quartile", "median", "upper quartile", "largest"),
                    [(row["measure"], *(_number(row[name]) for name in columns)) for row in sizes],
                    range(1, 6),
                ),
                table(("format", "mode", "images", "without colour"), formats, (2, 3)),
                class_="pair",
            ),
        ]
    )


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
