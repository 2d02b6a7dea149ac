"""A trial: one harm done to one store, and what was lost by it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.chaos.worlds import World


@dataclass(frozen=True)
class Trial:
    """``run`` gets an empty folder of its own and says what was lost; ``harms`` is how often it does harm."""

    name: str
    run: Callable[[Path], list[str]]
    harms: int = 1


@dataclass(frozen=True)
class Settings:
    """``seed`` draws whatever is left to chance; ``thin`` makes the small share of the trials that every change runs."""

    seed: int = 0
    thin: bool = False

    def chance(self, name: str) -> random.Random:
        """Random numbers of this seed for one thing, the same whatever else is drawn."""
        return random.Random(f"{self.seed}/{name}")


class Kind(Protocol):
    """A module of this package that does one kind of harm."""

    def trials(self, world: World, settings: Settings) -> Iterator[Trial]:
        """The trials, in order; made one by one, as some need the store of the step before them."""
        ...
