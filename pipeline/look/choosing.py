"""Choosing: which plan and which feature set are shown where a person names none, on the pages and in the report."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.embed import feature_sets
from store.errors import ColdframeError
from store.schemas import DEFAULT_PLAN
from store.store import Snapshot

SAYS_LITTLE = ("mean-colour",)  # feature sets that say little of what a picture shows


def plans_of(snapshot: Snapshot) -> list[str]:
    """The plans that have been replayed, by name."""
    return [str(row["plan"]) for row in snapshot.rows("steps/curate/plans")]


def plan(plans: Sequence[str], wanted: str | None) -> str | None:
    """The plan that is wanted, else the default one, else the first; None where there is none.

    Raises:
        ColdframeError: there is no such plan.
    """
    if wanted is not None and wanted not in plans:
        raise ColdframeError(f"no plan {wanted!r}; the store has: {', '.join(plans) or 'none'}")
    return wanted or (DEFAULT_PLAN if DEFAULT_PLAN in plans else next(iter(plans), None))


def feature_set(snapshot: Snapshot) -> str | None:
    """The feature set that says what is alike: the default one, else the first that is no CLIP, else the first that is of use."""
    names = feature_sets.names(snapshot)
    of_use = [one for one in names if one not in SAYS_LITTLE]
    of_pictures = [one for one in of_use if not one.startswith("clip")]
    default = [one for one in names if one == feature_sets.DEFAULT_EMBEDDER]
    return next(iter([*default, *of_pictures, *of_use, *names]), None)
