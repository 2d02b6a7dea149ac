"""Why: everything the store knows about one image, and why it is in or out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pipeline.curate import scorers
from pipeline.ingest import images
from store.errors import ColdframeError
from store.rows import json_of
from store.store import Snapshot

SECTIONS = ("copies", "verdicts", "embeddings", "scores", "suspects", "plans", "predictions")


def why(snapshot: Snapshot, given: str) -> dict[str, Any]:
    """The story of an image, by id or path, as JSON types.

    Raises:
        ColdframeError: no row of the catalogue has this id or path.
    """
    failures = snapshot.rows("steps/ingest/find_failure", name=given)
    try:
        image_id = images.find_images(snapshot, [given])[0]
    except ColdframeError:
        if not failures:
            raise
        return {"image": {"image_id": failures[0]["image_id"], "path": failures[0]["path"]}, "failures": failures}
    return story(snapshot, image_id)


def story(snapshot: Snapshot, image_id: str, sections: Collection[str] = SECTIONS) -> dict[str, Any]:
    """The story of an image of the store by its id, as JSON types; sections that are not asked for are empty."""
    told: dict[str, Any] = {"image": snapshot.rows("steps/curate/why/image", image_id=image_id)[0]}
    told["failures"] = snapshot.rows("steps/ingest/find_failure", name=image_id)
    for section in SECTIONS:
        asked = section in sections
        told[section] = snapshot.rows(f"steps/curate/why/{section}", image_id=image_id) if asked else []
    return told


def tell(story: dict[str, Any]) -> list[str]:
    """That story in lines of text. A store made by someone else may lack any number or time."""
    image = story["image"]
    lines = [f"{image['image_id']}", *(f"  {name}: {value}" for name, value in image.items() if name != "image_id")]
    for failure in story["failures"]:
        what = f"{failure['step']} {failure['name']}".strip()
        lines.append(f"failed in {what}: {failure['reason']}")
    if "plans" not in story:
        return [*lines, "it is not an image of the store: out of every plan"]
    for copy in story["copies"]:
        lines.append(tell_copy(copy, image["image_id"]))
    for verdict in story["verdicts"]:
        stale = " (stale: the bytes have changed since)" if verdict["is_stale"] else ""
        stands = "stands" if verdict["stands"] else "replaced by a later one"
        label = f" as {verdict['label']}" if verdict["label"] is not None else ""
        former = f" on its earlier id {verdict['given_for']}" if verdict["given_for"] is not None else ""
        lines.append(
            f"verdict {verdict['verdict']}{label}{former} of {_day(verdict['created_at'])}: {verdict['why']} ({stands}){stale}"
        )
    for row in story["embeddings"]:
        views = f", and {row['views']} augmented views of it" if row["views"] else ""
        lines.append(f"{'embedded' if row['vectors'] else 'not embedded'} in {row['embedder']}{views}")
    lines += map(_scored, story["scores"])
    for row in story["suspects"]:
        suggested = f"; suggested label: {row['suggested']}" if row["suggested"] is not None else ""
        lines.append(f"suspect {row['rank']} of {row['suspects']}{suggested}")
    for row in story["plans"]:
        lines.append(_in_or_out(row))
    if not story["plans"]:
        lines.append(
            "no plan has been replayed since it was ingested: run 'coldframe curate', or "
            "'coldframe split test 0.15' if there is no plan yet"
        )
    for row in story["predictions"]:
        lines.append(
            f"run {row['run_id']}, {row['evaluation']}: {row['predicted']} at {_number(row['probability'], '.3f')}, its "
            f"label {row['label']} at {_number(row['label_probability'], '.3f')}, rank {row['rank']}"
        )
    return lines


def _scored(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return f"score {row['scorer']}: unknown"
    is_lowest = not row["share_below"]
    share = f"{100 * row['share_below']:.1f} %"
    if row["evidence"] is not None:
        more = "least of all labels" if is_lowest else f"more than {share} of labels"
        return f"label doubted {more}: {row['evidence']} ({row['scorer']} {row['value']:.6g})"
    words = getattr(scorers.module(row["scorer"]), "tell", None) if row["scorer"] in scorers.names() else None
    told = f" ({words(row['value'])})" if words else ""
    place = "the lowest of all" if is_lowest else f"higher than {share} of images"
    return f"score {row['scorer']}: {row['value']:.6g}{told}, {place}"


def tell_copy(row: Mapping[str, Any], image_id: str) -> str:
    """One copy relation of an image in words."""
    if row["kind"] == "exact":
        return f"exact copy: {row['image_id']} is a copy of {row['original_id']}"
    is_copy = row["image_id"] == image_id
    line = f"{row['kind']} copy of {row['original_id']}" if is_copy else f"{row['kind']} copy of it: {row['image_id']}"
    if row["correlation"] is None:
        return f"{line}, through other copies of both"
    share = f"{100 * row['overlap']:.0f} %" if row["overlap"] is not None else "an unknown share"
    return f"{line}: correlation {row['correlation']:.2f} over {share} of the smaller picture"


def _in_or_out(row: dict[str, Any]) -> str:
    if row["rule"] is None:
        place = f"plan {row['plan']}: in, split {row['split']}"
        return place + (", kept by a person whatever the rules say" if row["kept_by_verdict"] else "")
    if row["rule"] == "verdict":
        return f"plan {row['plan']}: out, dropped by a person before any stage"
    numbers = ""
    if row["value"] is not None:
        numbers = f": value {row['value']:.6g}"
        numbers += f", threshold {row['threshold']:.6g}" if row["threshold"] is not None else ""
    given = json_of(row["settings"] or "{}", f"the settings of stage {row['position']} of plan {row['plan']!r}")
    settings = {name: value for name, value in given.items() if value is not None}
    told = f" with {', '.join(f'{name} = {value}' for name, value in settings.items())}" if settings else ""
    like = f"; like {row['like_id']}" if row["like_id"] is not None else ""
    return f"plan {row['plan']}: out by rule {row['rule']}, stage {row['position']}{told}, pass {row['pass']}{numbers}{like}"


def _number(value: float | None, form: str) -> str:
    return format(value, form) if value is not None else "unknown"


def _day(moment: datetime | None) -> str:
    """A time to the minute."""
    return f"{moment:%Y-%m-%d %H:%M}" if moment is not None else "an unknown day"
