"""Units: images that must stay together, because they are copies of each other or belong to one group."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from store.errors import ColdframeError
from store.rows import json_of
from store.schemas import as_text
from store.store import Snapshot


def of_rows(snapshot: Snapshot, plan: str, image_ids: npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
    """The unit number of each image, shape (n,). A unit joins equal content, known copies, and the groups that the plan's splits
    keep together. An image that the plan does not keep is a unit of its own."""
    links = [snapshot.query("steps/curate/links_of_plan", plan=plan)]
    kept = set(links[0]["image_id"].to_pylist())
    for row in snapshot.rows("steps/curate/plan_stages", plan=plan):
        by = (
            json_of(row["settings"], f"the settings of split {row['name']}").get("by")
            if row["kind"] == "split"
            else None
        )
        if by is None:
            continue
        if by not in snapshot.columns("images"):
            raise ColdframeError(
                f"plan {plan!r} keeps rows of one {by!r} together, a column the catalogue no longer has"
            )
        images = snapshot.select("images", "image_id", by)
        pairs = [
            (image_id, f"{by} {value}")
            for image_id, value in zip(images["image_id"].to_pylist(), as_text(images[by]).to_pylist(), strict=True)
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


def groups(snapshot: Snapshot, split: str, by: str | None) -> pa.Table:
    """The group of each image for a split with ``--by``: ``image_id, group_value``; none without.

    Raises:
        ColdframeError: there is no such column.
    """
    if by is None:
        return pa.table({"image_id": pa.array([], pa.string()), "group_value": pa.array([], pa.string())})
    columns = snapshot.columns("images")
    if by not in columns:
        raise ColdframeError(f"split {split}: no column {by!r} to keep together; columns: {', '.join(columns)}")
    images = snapshot.select("images", "image_id", by)
    return pa.table({"image_id": images["image_id"], "group_value": as_text(images[by])})


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
