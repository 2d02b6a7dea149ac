"""Which feature set a step reads, and digests that tell whether what it read has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.embed import architecture, embedders
from pipeline.embed.augmentation import Augmentation
from pipeline.steps import hints
from store.errors import ColdframeError, StoreDamaged
from store.matrices import FloatMatrix, Vectors, to_matrix
from store.rows import json_of, not_ours
from store.store import Snapshot

DEFAULT_EMBEDDER = "efficientnet-b4"
LARGEST = 1e15  # of a number in a vector: float32 holds the sum of the squares of 10^8 of them
DEFAULT_TEXT = f"{DEFAULT_EMBEDDER}, or the only one"  # what choose() takes if none is named, for help


def names(snapshot: Snapshot) -> list[str]:
    """The names of all feature sets, sorted; a row of somebody else's that has none is no set that can be asked for."""
    return sorted(filter(None, snapshot.select("feature_sets", "embedder")["embedder"].to_pylist()))


def choose(snapshot: Snapshot, asked: str | None) -> str:
    """The feature set asked for; else ``efficientnet-b4`` if the store has it; else the only one.

    Raises:
        ColdframeError: there is no such set, none at all, or several to choose from.
    """
    available = names(snapshot)
    if asked is not None and asked in available:
        return asked
    if asked is None and DEFAULT_EMBEDDER in available:
        return DEFAULT_EMBEDDER
    if asked is None and len(available) == 1:
        return str(available[0])
    wanted = f"no feature set {asked!r}" if asked else "which feature set? Name it with --embedder"
    listed = f"the store has: {', '.join(available)}" if available else "the store has none"
    way_out = "" if available and not asked else f"; {hints.command('embed', asked or DEFAULT_EMBEDDER)} makes it"
    raise ColdframeError(f"{wanted}; {listed}{way_out}")


def choose_all(snapshot: Snapshot, asked: str | Sequence[str] | None) -> tuple[str, ...]:
    """The feature sets asked for, one or several to join, in that order; if none is named, the one from :func:`choose`.

    Raises:
        ColdframeError: as for :func:`choose`, or a set is named twice.
    """
    wanted = [asked] if asked is None or isinstance(asked, str) else list(asked)
    chosen = tuple(choose(snapshot, name) for name in wanted)
    if len(set(chosen)) < len(chosen):
        raise ColdframeError(f"--embedder names a feature set twice: {', '.join(chosen)}")
    return chosen


def row_of(snapshot: Snapshot, name: str) -> dict[str, Any]:
    """How a feature set was made.

    Raises:
        ColdframeError: the set no longer exists.
        StoreDamaged: its row was not written by coldframe.
    """
    rows = snapshot.rows("steps/embed/feature_set", embedder=name)
    if not rows:
        raise ColdframeError(f"the feature set {name!r} is not in the store any more: embed again under that name")
    _made(rows[0]), _source(rows[0])
    if not isinstance(rows[0]["network"], str):
        raise not_ours(f"the feature set {name!r}", "it has no network")
    return rows[0]


def _made(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the vectors of a set depend on, including the digest of the weights."""
    made = json_of(row["settings"], f"the settings of the feature set {row['embedder']!r}")
    if "weights" not in made:
        raise not_ours(f"the settings of the feature set {row['embedder']!r}", "they name no weights")
    return made


def _source(row: Mapping[str, Any]) -> dict[str, Any]:
    return json_of(row["source"], f"the source of the feature set {row['embedder']!r}")


def check_network(row: Mapping[str, Any], weights: str, described: str) -> None:
    """Check a network that was loaded as the ``row`` of a feature set says: the digest of its weights, and its architecture.

    Raises:
        ColdframeError: it is not the network that the set was made with.
    """
    if weights != _made(row)["weights"] or architecture.differ(_source(row).get("architecture"), described):
        place = _source(row).get("weights") or "the default place"
        raise ColdframeError(
            f"the weights at {place} are not those that the feature set {row['embedder']!r} was made with: put those back there"
        )


def reader(snapshot: Snapshot, name: str, asker: str) -> Callable[[Sequence[str]], FloatMatrix]:
    """A function that turns texts into unit-length features (texts, dimensions) in the space of a feature set.

    Raises:
        ColdframeError: the network of the set has no text side, or its weights are not those that the set was made with; the
            message starts with ``asker``.
    """
    row = row_of(snapshot, name)
    return embedders.text_side(row["network"], _source(row), _made(row)["weights"], set_name=name, asker=asker)


def vectors(snapshot: Snapshot, name: str, view: int = 0) -> Vectors:
    """The vectors of one view of a feature set for all images of the store, one row per content that has one; none of a set that
    does not exist.

    View 0 is the unaugmented picture; 1 and above are augmented.

    Raises:
        ColdframeError: as :func:`check_vectors`.
    """
    ids = snapshot.query("steps/embed/vector_ids", embedder=name, view=view)["content_id"].to_numpy().astype(object)
    known = Vectors(name, ids, np.zeros((0, 0), np.float32))
    of_set = snapshot.rows("steps/embed/feature_set", embedder=name)
    dimensions = of_set[0]["dimensions"] if of_set else None  # no row, no vectors
    matrix = known.matrix
    # piece by piece into one matrix: a table of all vectors would need several copies in memory
    for rows in snapshot.stream("steps/embed/vectors", embedder=name, view=view):
        piece, positions = to_matrix(rows["vector"]), known.positions(rows["content_id"])
        piece, positions = piece[positions >= 0], positions[positions >= 0]
        if not len(piece):
            continue
        check_vectors(name, ids[positions], piece, dimensions)
        if not len(matrix):
            matrix = np.empty((len(ids), piece.shape[1]), np.float32)
        matrix[positions] = piece
    return replace(known, matrix=matrix)


def check_vectors(name: str, content_ids: Sequence[str], matrix: FloatMatrix, dimensions: int | None) -> None:
    """Check vectors of a feature set, shape (n, dimensions), of these contents: whatever is computed from them is then finite.

    Raises:
        ColdframeError: one has a number that is not finite, or too large to be squared and added up.
        StoreDamaged: they are not as long as the set's.
    """
    if len(matrix) and (not matrix.shape[1] or matrix.shape[1] != dimensions):
        raise StoreDamaged(
            f"the feature set {name!r} has vectors of {matrix.shape[1]} numbers, expected {dimensions}: 'coldframe verify' says "
            "which"
        )
    usable = (np.abs(matrix) <= LARGEST).all(axis=1)
    if not usable.all():
        raise ColdframeError(
            f"the feature set {name!r} has vectors that are not finite, or have numbers beyond {LARGEST:g}, such as that of "
            f"content {content_ids[int(np.argmin(usable))]}: embed those images anew in another set (--as NAME)"
        )


def views(snapshot: Snapshot, name: str) -> list[int]:
    """The view numbers that a feature set has for images of the store, ascending."""
    return [row["view"] for row in snapshot.rows("steps/embed/views", embedder=name)]


def augmentation(settings: Mapping[str, Any]) -> Augmentation | None:
    """How the views of a feature set are made, from the ``settings`` of its row; None if it has no views."""
    return Augmentation.from_json(settings["augmentation"]) if settings.get("views") else None


def digest(snapshot: Snapshot, name: str) -> str:
    """A digest that changes when the set is made anew, or gains or loses vectors of the store's images."""
    value: str = snapshot.value("steps/embed/feature_set_digest", embedder=name)
    return value


def column_digests(snapshot: Snapshot, columns: list[str]) -> dict[str, str]:
    """A digest of each column of ``images`` over all rows; renaming a path does not change the digest of ``label``."""
    if not columns:
        return {}
    found = {row["name"]: row["digest"] for row in snapshot.rows("steps/embed/column_digest", columns=columns)}
    return {name: found.get(name, "empty") for name in columns}
