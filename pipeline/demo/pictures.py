"""The picture of any kind: a live creature, its sketch, or something else."""

from __future__ import annotations

from PIL import Image

from pipeline.demo import scenes
from pipeline.demo.canvas import Rng
from pipeline.demo.families import Family
from pipeline.demo.faults import NOT_ANIMALS, SKETCH
from pipeline.demo.faults.sketches import sketch


def picture(kind: str, family: Family | None, rng: Rng) -> Image.Image:
    """RGB, of one of ``scenes.SIZES``: one of ``NOT_ANIMALS``, or else the family's creature as a sketch or a photograph."""
    if kind in NOT_ANIMALS:
        return NOT_ANIMALS[kind](scenes.any_size(rng), rng)
    if family is None:
        raise ValueError(f"a {kind} needs a family")
    if kind == SKETCH:
        return sketch(family, scenes.any_size(rng), rng)
    return scenes.photograph(family, rng)
