"""Find images by an id or a path, and say which have failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from store.errors import ColdframeError
from store.schemas import FILE_FACTS, failure_columns
from store.store import Snapshot


def find_images(snapshot: Snapshot, given: Sequence[str]) -> list[str]:
    """The ids of images named by id or by path, in the order given. White space around a name counts where the catalogue has it.

    Raises:
        ColdframeError: one names no readable image; a failed row is said to be one, with its reason.
    """
    found = _found(snapshot, given)
    spaced = [place for place, name in enumerate(given) if not found[place] and name != name.strip()]
    if spaced:
        failed = {one for row in snapshot.select("failures", "image_id", "path").to_pylist() for one in row.values()}
        spaced = [place for place in spaced if given[place] not in failed]
    for place, ids in zip(spaced, _found(snapshot, [given[place].strip() for place in spaced]), strict=True):
        found[place] = ids
    for name, ids in zip(given, found, strict=True):
        if len(ids) != 1:
            raise _not_one(snapshot, name, ids)
    return [ids[0] for ids in found]


def _found(snapshot: Snapshot, names: Sequence[str]) -> list[list[str]]:
    """The ids of the images of each name."""
    positions = pa.array(range(len(names)), pa.int64())
    snapshot.register("named", pa.table({"position": positions, "name": pa.array(names, pa.string())}))
    found: list[list[str]] = [[] for _ in names]
    for row in snapshot.rows("steps/ingest/find_images"):
        if row["image_id"] is not None:
            found[row["position"]].append(row["image_id"])
    return found


def _not_one(snapshot: Snapshot, name: str, ids: list[str]) -> ColdframeError:
    if ids:
        return ColdframeError(f"{name}: the path of several images ({', '.join(ids)}): name one by its id")
    failures = snapshot.rows("steps/ingest/find_failure", name=name)
    if failures:
        return ColdframeError(f"{name}: not readable, so there is nothing to judge ({failures[0]['reason']})")
    return ColdframeError(f"{name}: no image with this id or path; expected one of the catalogue's ids or paths")


def failure_rows(snapshot: Snapshot, step: str, name: str, failed: Mapping[str, str]) -> pa.Table:
    """Rows of ``failures``, one per image of a content that failed in a step, with the user's columns.

    Args:
        failed: the reason of each content.
    """
    snapshot.register("failed_now", pa.table({"content_id": pa.array(list(failed), pa.string())}))
    rows = snapshot.query("steps/ingest/failed_images")
    reasons = [failed[content_id] for content_id in rows["content_id"].to_pylist()]
    rows = failure_columns(rows.drop_columns(["label", "given_label", *(fact for fact, _ in FILE_FACTS)]))
    for column, values in (("step", [step] * len(rows)), ("name", [name] * len(rows)), ("reason", reasons)):
        rows = rows.append_column(column, pa.array(values, pa.string()))
    return rows
