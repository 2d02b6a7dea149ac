"""Units: images that must stay together, because they are copies of each other or belong to one group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from store.errors import ColdframeError
from store.rows import json_of
from store.schemas import as_text
from store.store import Snapshot

BURST = "burst"  # what a split can be made by beside columns: pictures of one camera, each soon after the one before
BURST_SECONDS = 10.0
READ_AGAIN = "'coldframe ingest' with --rehash reads all pictures again"


def of_rows(snapshot: Snapshot, plan: str, image_ids: npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
    """The unit number of each image, shape (n,). A unit joins equal content, known copies, and the groups that the plan's splits
    keep together. An image that the plan does not keep is a unit of its own."""
    links = [snapshot.query("steps/curate/links_of_plan", plan=plan)]
    kept = set(links[0]["image_id"].to_pylist())
    for row in snapshot.rows("steps/curate/plan_stages", plan=plan):
        where = f"the settings of split {row['name']}"
        settings = json_of(row["settings"], where) if row["kind"] == "split" else {}
        by = settings.get("by")
        if by is None:
            continue
        if not is_burst(snapshot, settings) and by not in snapshot.columns("images"):
            raise ColdframeError(
                f"plan {plan!r} keeps rows of one {by!r} together, a column the catalogue no longer has"
            )
        images = groups(snapshot, row["name"], settings)
        pairs = [
            (image_id, f"{by} {value}")
            for image_id, value in zip(images["image_id"].to_pylist(), images["group_value"].to_pylist(), strict=True)
            if value is not None and image_id in kept
        ]
        links.append(
            pa.table({"image_id": [one for one, _ in pairs], "link": [link for _, link in pairs]}, links[0].schema)
        )
    found = connected(pa.concat_tables(links))
    unit_of = dict(zip(found["image_id"].to_pylist(), found["unit"].to_pylist(), strict=True))
    units = [unit_of.get(image_id, f"image {image_id}") for image_id in image_ids.tolist()]
    number = {
        unit: place for place, unit in enumerate(sorted(set(units)))
    }  # np.unique joins texts that end in NUL characters
    return np.array([number[unit] for unit in units], np.int64)


def groups(snapshot: Snapshot, split: str, settings: Mapping[str, Any]) -> pa.Table:
    """The group of each image for a split with ``by``: ``image_id, group_value``; none without.

    Raises:
        ColdframeError: there is no such column; or it is by burst, and no picture has a camera and a time.
    """
    by = settings.get("by")
    if by is None:
        return pa.table({"image_id": pa.array([], pa.string()), "group_value": pa.array([], pa.string())})
    if is_burst(snapshot, settings):
        found = snapshot.query("steps/curate/bursts", seconds=settings.get("seconds") or BURST_SECONDS)
        if not found.num_rows:
            raise ColdframeError(
                f"split {split}: no picture has a camera and a time in its EXIF, so there are no bursts: leave out --by {BURST}; "
                f"of a store made before there were facts, {READ_AGAIN}"
            )
        return found
    columns = snapshot.columns("images")
    if by not in columns:
        raise ColdframeError(f"split {split}: no column {by!r} to keep together; columns: {', '.join(columns)}")
    images = snapshot.select("images", "image_id", by)
    return pa.table({"image_id": images["image_id"], "group_value": as_text(images[by])})


def is_burst(snapshot: Snapshot, settings: Mapping[str, Any]) -> bool:
    """Whether a split keeps bursts together; a column of that name comes first."""
    return settings.get("by") == BURST and BURST not in snapshot.columns("images")


def told(settings: Mapping[str, Any]) -> str | None:
    """What a split keeps together, in words."""
    by, seconds = settings.get("by"), settings.get("seconds")
    return f"{by} within {seconds:g} s" if seconds else by


def notes_of_bursts(snapshot: Snapshot, split: str, settings: Mapping[str, Any]) -> list[str]:
    """What a split by burst cannot know, in sentences."""
    if not is_burst(snapshot, settings):
        return []
    counts = snapshot.rows("steps/curate/count_without_facts")[0]
    notes = []
    if counts["without_facts"]:
        notes.append(f"split {split}: {counts['without_facts']} images have no facts: {READ_AGAIN}")
    if counts["without_time"]:
        notes.append(f"split {split}: {counts['without_time']} images have no camera or no time, and are in no burst")
    return notes


def connected(links: pa.Table) -> pa.Table:
    """Connected components of members, such as images, that share a link.

    Args:
        links: members, and ``link``: one row per member and link of it.

    Returns:
        The first column, each member once, and ``unit``; a unit is named by its smallest link, so row order does not matter.
    """
    member = links.column_names[0]
    if len(links) == pc.count_distinct(links[member]).as_py() == pc.count_distinct(links["link"]).as_py():
        return links.rename_columns([member, "unit"]).sort_by(member)  # no two share anything
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ids, id_of = _ranked(links[member])
    names, link_of = _ranked(links["link"])
    count = len(ids) + len(names)
    edges = coo_array((np.ones(len(id_of), np.int8), (id_of, len(ids) + link_of)), shape=(count, count))
    _, component = connected_components(edges, directed=False)
    first = np.full(count, len(names))
    np.minimum.at(first, component[len(ids) :], np.arange(len(names)))
    return pa.table({member: ids, "unit": names.take(first[component[: len(ids)]])})


def _ranked(column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The distinct values of a text column, ascending, and the position of each row's value among them."""
    encoded = column.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return encoded.dictionary.take(order), place[encoded.indices.to_numpy()]
