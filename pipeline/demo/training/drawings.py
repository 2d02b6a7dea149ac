"""Training pictures as arrays, drawn in as many processes as there are cores."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.demo.families import PLANS, Family, family, invented_names, rng_of
from pipeline.demo.pictures import picture
from pipeline.runtime.processes import cores, in_workers

ANIMAL = "animal"


@dataclass(frozen=True)
class Subject:
    """What to draw: a family's creature (``animal`` or ``sketch``), or one of ``faults.NOT_ANIMALS``."""

    kind: str
    number: int
    family: Family | None = None


def families_of(world: str, count: int) -> list[Family]:
    """``count`` families of a world, with as many of each phylum as it has body plans."""
    rng = rng_of("names", world)
    phyla = [phylum for phylum, plans in PLANS.items() for _ in plans]
    return [family(one, phyla[position % len(phyla)], world) for position, one in enumerate(invented_names(count, rng))]


def evenly(world: str, bodies: int) -> list[Family]:
    """Families of a world, named by number, ``bodies`` of each body plan: rare plans are seen as often as frequent ones."""
    chosen: list[Family] = []
    for phylum, plans in PLANS.items():
        missing = dict.fromkeys(plans, bodies)
        for number in itertools.count():
            one = family(str(number), phylum, world)
            if missing[one.plan]:
                missing[one.plan] -= 1
                chosen.append(one)
            if not any(missing.values()):
                break
    return chosen


def draw(subject: Subject, world: str) -> Image.Image:
    """The picture of a subject, RGB; it differs for each number."""
    creature = subject.family.name if subject.family else ""
    return picture(subject.kind, subject.family, rng_of(world, subject.kind, creature, subject.number))


def _pixels(subject: Subject, world: str, side: int, square: bool) -> npt.NDArray[np.uint8]:
    picture = draw(subject, world)
    if square:
        return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))
    scale = side / min(picture.size)
    width, height = (max(round(length * scale), side) for length in picture.size)
    left, top = (width - side) // 2, (height - side) // 2
    small = picture.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(small.crop((left, top, left + side, top + side)))


def pixels(subjects: Iterable[Subject], world: str, side: int, *, square: bool) -> npt.NDArray[np.uint8]:
    """Pictures of shape (n, side, side, 3), uint8, in order.

    ``square``: the whole picture squeezed into a square, as for a Keras backbone; otherwise the middle of the picture, scaled by
    its shorter side, as for CLIP.
    """
    one = partial(_pixels, world=world, side=side, square=square)
    drawn = []
    for subject, array in in_workers(one, subjects, cores()):
        if isinstance(array, BaseException):
            raise RuntimeError(f"the process that drew {subject} ended") from array
        drawn.append(array)
    return np.stack(drawn)
