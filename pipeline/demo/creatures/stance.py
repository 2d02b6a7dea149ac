"""How a body plan is placed in a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.demo.canvas import Layer, Rng
from pipeline.demo.families import Family

Draw = Callable[[Layer, Family, Rng], None]


@dataclass(frozen=True)
class Stance:
    """Where a plan lives, how far it turns (radians), whether it stands on the ground."""

    draw: Draw
    habitat: str
    turn: float
    stands: bool = False
