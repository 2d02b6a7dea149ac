"""Pending: contents that lack a vector, or a view's vector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipeline.embed.settings import Settings
from store.store import Snapshot

PAGE = 8192  # contents looked up at a time


def missing(moment: Snapshot, name: str, settings: Settings, first: str, last: str) -> pa.Table:
    """The contents that lack a view that the settings ask for, with ids from the prefix ``first`` to the prefix ``last``:
    ``content_id, paths, views, failed_before``, by id.

    ``views`` are the numbers of the views that the content lacks, ascending.
    """
    return moment.query("steps/embed/missing", embedder=name, first=first, last=last, **_wanted(settings))


def missing_by_prefix(moment: Snapshot, name: str, settings: Settings) -> list[dict[str, Any]]:
    """How many contents, unaugmented pictures and views there are to make, by prefix of the content ids:
    ``prefix, failed_before, contents, pictures, views``."""
    return moment.rows("steps/embed/missing_by_prefix", embedder=name, **_wanted(settings))


def _wanted(settings: Settings) -> dict[str, Any]:
    return {"views": settings.views, "view_rows": settings.view_rows, "plan": settings.plan}


def pages(by_prefix: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the first and last id prefix of each page of about :data:`PAGE` contents."""
    first, contents = "", 0
    for row in by_prefix:
        first = first if contents else row["prefix"]
        contents += row["contents"]
        if contents >= PAGE:
            yield first, row["prefix"]
            contents = 0
    if contents:
        yield first, by_prefix[-1]["prefix"]


def untried(moment: Snapshot, name: str, settings: Settings) -> int:
    """How many contents lack a view and have not failed before."""
    rows = missing_by_prefix(moment, name, settings)
    return sum(row["contents"] for row in rows if not row["failed_before"])
