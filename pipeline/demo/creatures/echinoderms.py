"""Sea stars and sea urchins."""

from __future__ import annotations

import math

import numpy as np

from pipeline.demo.canvas import Layer, Rng, closed, darker, ellipse, lighter
from pipeline.demo.creatures.skin import between, skin
from pipeline.demo.creatures.stance import Stance
from pipeline.demo.families import Family


def starfish(layer: Layer, family: Family, rng: Rng) -> None:
    """A sea star."""
    arms, waist, thick, *_ = family.traits
    count = 5 + int(between(arms, 0, 3.4))
    inner = between(waist, 0.14, 0.25)
    points = []
    for number in range(count):
        angle = 2 * math.pi * number / count
        reach = 0.52 + 0.03 * rng.normal()
        tip = np.array([math.cos(angle), math.sin(angle)])
        side = np.array([-tip[1], tip[0]]) * between(thick, 0.025, 0.06)
        between_arms = angle + math.pi / count
        points += [
            tuple(tip * reach - side),
            tuple(tip * reach + side),
            (inner * math.cos(between_arms), inner * math.sin(between_arms)),
        ]
    skin(layer, family, closed(points, 60), belly=0.0)
    for number in range(count):
        angle = 2 * math.pi * number / count
        for step in np.linspace(0.08, 0.46, 7):
            layer.ellipse((step * math.cos(angle), step * math.sin(angle)), (0.02, 0.02), lighter(family.accent, 0.25))


def urchin(layer: Layer, family: Family, rng: Rng) -> None:
    """A sea urchin."""
    spines, reach, thick, size, *_ = family.traits
    body = between(size, 0.2, 0.3)
    for colour, longer in ((darker(family.base, 0.45), 1.0), (darker(family.accent, 0.15), 0.82)):
        for angle in np.linspace(0, 2 * math.pi, int(between(spines, 26, 46)), endpoint=False):
            angle += 0.06 * rng.normal()
            tip = np.array([math.cos(angle), math.sin(angle)]) * (body + between(reach, 0.16, 0.36) * longer)
            across = np.array([-tip[1], tip[0]]) * between(thick, 0.03, 0.08)
            layer.polygon([tuple(across), tuple(tip), tuple(-across)], colour)
    skin(layer, family, ellipse((0.0, 0.0), (body, body)), belly=0.0)
    for ring in (0.35, 0.7):
        for angle in np.linspace(0, 2 * math.pi, 9, endpoint=False):
            layer.ellipse((body * ring * math.cos(angle), body * ring * math.sin(angle)), (0.018, 0.018), family.belly)


STANCES = {
    "starfish": Stance(starfish, "seabed", 3.14),
    "urchin": Stance(urchin, "seabed", 3.14),
}
