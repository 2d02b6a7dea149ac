"""Scorers: one file each, named as on the command line with underscores for hyphens.

A file defines a dataclass ``Settings`` with a field ``embedder``, and one of two functions:

* ``score(vectors, settings, feature_set)`` gives one value a content, shape (n,).
* ``score_images(vectors, images, settings, feature_set)`` looks at labels as well. It gets ``image_id, content_id, label`` and
  gives the rows of it that it can judge with ``value``, and where it can ``suggested`` (a label) and ``evidence`` (part of a
  sentence). A score is shown as long as the image has the label that it judged.

It may define ``tell(value)``, which puts a score into words. Scores never depend on rules, splits or on what a person keeps or
drops; those that look at labels depend on what was relabelled. High is suspicious, but for ``imagenet`` and ``clip-quality``.
Frameworks are imported where they are used, never at the top.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from store.errors import ColdframeError


@dataclass(frozen=True)
class FeatureSet:
    """Where the vectors came from: name and network of the set, the settings it was made with, and how to load the network."""

    name: str
    network: str
    settings: dict[str, Any]
    source: dict[str, Any]


def names() -> list[str]:
    """The scorers there are, as written on the command line."""
    return sorted(info.name.replace("_", "-") for info in pkgutil.iter_modules(__path__))


def module(name: str) -> ModuleType:
    """The file of a scorer.

    Raises:
        ColdframeError: no such scorer.
    """
    if name not in names():
        raise ColdframeError(f"no scorer {name!r}; available: {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def describe(name: str) -> str:
    """What a scorer measures, as the first line of its file says it."""
    return (module(name).__doc__ or "").strip().split("\n", 1)[0]
