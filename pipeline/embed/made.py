"""What a feature set was made with, and whether that matches what is asked for now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.embed import architecture
from pipeline.embed.embedders import Embedder
from pipeline.embed.settings import Settings
from pipeline.ingest import decoding
from store.errors import ColdframeError
from store.rows import json_of
from store.store import Snapshot

FEATURE_SET = "feature set"  # its key among the inputs of the step
NONE = "none"  # the augmentation of an unaugmented picture


@dataclass(frozen=True)
class Made:
    """What the set ``name`` was made with; everything is empty if the set does not exist yet.

    Attributes:
        row: the set's row in ``feature_sets``.
        settings: everything that a vector of an unaugmented picture depends on; see :func:`set_settings`.
        views, augmentation: how many augmented views, and how they are made.
        source: where its network came from.
    """

    name: str
    row: Mapping[str, Any]
    settings: Mapping[str, Any]
    views: int
    augmentation: Mapping[str, Any]
    source: dict[str, Any]

    @classmethod
    def of(cls, moment: Snapshot, name: str) -> Made:
        """What the set called ``name`` was made with.

        Raises:
            ColdframeError: its row is not valid JSON.
        """
        rows = moment.rows("steps/embed/feature_set", embedder=name)
        if not rows:
            return cls(name, {}, {}, 0, {}, {})
        settings: dict[str, Any] = json_of(rows[0]["settings"], f"the settings of the feature set {name!r}")
        source = json_of(rows[0]["source"], f"the source of the feature set {name!r}")
        views = settings.pop("views", 0)
        augmentation = settings["augmentation"] if views else {}
        return cls(name, rows[0], settings | ({"augmentation": NONE} if views else {}), views, augmentation, source)

    def check(self, wanted: Mapping[str, Any], augmentation: Mapping[str, Any] | None, described: str) -> None:
        """Check that the set, if it exists, is what is wanted of a network, and so are its views if ``augmentation`` is given.

        Args:
            described: the architecture of the network.

        Raises:
            ColdframeError: it is not; the message says what differs.
        """
        changes = _changes(self.settings, wanted) if self.settings else ""
        if changes:
            raise ColdframeError(
                f"the feature set {self.name!r} was made with other settings ({changes}): use those again, or make another "
                "set with --as NAME"
            )
        if architecture.differ(self.source.get("architecture"), described):
            raise ColdframeError(
                f"the feature set {self.name!r} was made with a network that has the same weights and computes something else: "
                "use that again, or make another set with --as NAME"
            )
        changes = _changes(self.augmentation, augmentation) if self.views and augmentation is not None else ""
        if changes:
            raise ColdframeError(
                f"the views of the feature set {self.name!r} were made with other settings ({changes}): use those again, or "
                "make another set with --as NAME"
            )


def _changes(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What differs between two settings, key by key."""
    differing = sorted(key for key in {**made, **wanted} if made.get(key) != wanted.get(key))
    return "; ".join(f"{key} was {made.get(key)}, is now {wanted.get(key)}" for key in differing)


def set_settings(settings: Settings, name: str, network: Embedder, made: Made) -> dict[str, Any]:
    """Everything that a vector of an unaugmented picture depends on; sets with equal settings hold equal vectors.

    A set that exists goes on under the decoding rules that it was ``made`` with, if those of now differ for few pictures.

    A set with augmented views also keeps their augmentation in place of ``none``, and their number as ``views``; the
    digest of the set does not change.
    """
    return {
        "embedder": settings.embedder or name,
        "decoding": rules if (rules := made.settings.get("decoding")) in decoding.ALIKE else decoding.RULES_VERSION,
        "augmentation": NONE,
        "dimensions": network.dimensions,
        "store_as": settings.store_as,
        **network.settings,
    }


def copy_of_set(moment: Snapshot, name: str) -> dict[str, str]:
    """The row of the set called ``name``, in the form of :func:`copy_of`."""
    return copy_of(moment.rows("steps/embed/feature_set", embedder=name)[0])


def copy_of(row: dict[str, Any]) -> dict[str, str]:
    """The row of a feature set in the form that the step's record keeps, so that a lost set can be made again exactly."""
    return {FEATURE_SET: json.dumps(row, default=str, sort_keys=True)}
