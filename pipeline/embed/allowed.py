"""Which weights may be fetched: those that a person named, in a command or a recipe; never those that only a store names."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

VARIABLE = "COLDFRAME_EMBED_WEIGHTS"

_in_recipe: Callable[[], Collection[str]] = tuple


@contextmanager
def recipe(weights: Callable[[], Collection[str]]) -> Iterator[None]:
    """While this context lasts, a person's recipe names these weights. ``weights`` is called only when somebody needs to know."""
    global _in_recipe
    before, _in_recipe = _in_recipe, weights
    try:
        yield
    finally:
        _in_recipe = before


def is_named(weights: str) -> bool:
    """Whether a person named these weights, in the recipe or the environment.

    Raises:
        ColdframeError: the recipe cannot be read.
    """
    return weights == os.environ.get(VARIABLE) or weights in _in_recipe()
