"""Snails, shells and octopuses."""

from __future__ import annotations

import math

import numpy as np

from pipeline.demo.canvas import Layer, Rng, closed, darker, lighter, mix, smooth
from pipeline.demo.creatures.skin import between, eye, skin
from pipeline.demo.creatures.stance import Stance
from pipeline.demo.families import Family


def snail(layer: Layer, family: Family, rng: Rng) -> None:
    """A snail that crawls."""
    size, foot, spire, stalks, whorls, *_ = family.traits
    radius = between(size, 0.22, 0.34)
    flesh = mix(family.belly, (150, 120, 90), 0.45)
    stretch = rng.uniform(-0.05, 0.08)
    reach = between(stalks, 0.1, 0.2)
    for x in (0.46, 0.54):
        lean = 0.04 * rng.normal()
        layer.tube([(x + stretch - 0.05, 0.12), (x + stretch + lean + 0.03, 0.1 - reach)], [0.022, 0.014], flesh)
        layer.ellipse((x + stretch + lean + 0.03, 0.1 - reach), (0.024, 0.024), (25, 20, 20))
    layer.tube(
        [(-0.62, 0.3), (-0.2, 0.26), (0.3, 0.25), (0.48 + stretch, 0.17)],
        [0.012, 0.06, between(foot, 0.06, 0.1), 0.065],
        flesh,
    )
    centre = (-0.06, 0.22 - radius * 0.95)
    lift = between(spire, 0.0, 0.5)
    shell = closed(
        [
            (
                centre[0] + radius * math.cos(a),
                centre[1] + radius * math.sin(a) - (lift * radius if 4.2 < a < 5.2 else 0),
            )
            for a in np.linspace(0, 2 * math.pi, 12, endpoint=False)
        ]
    )
    skin(layer, family, shell, belly=0.0)
    at = np.linspace(0, 1, 40)
    turns = between(whorls, 2.2, 3.6)
    angle = 0.6 + at * turns * 2 * math.pi
    spiral = np.stack(
        [centre[0] + radius * 0.95 * (1 - at) * np.cos(angle), centre[1] + radius * 0.95 * (1 - at) * np.sin(angle)],
        axis=1,
    )
    layer.line(spiral, 0.024, darker(family.base, 0.5))


def clam(layer: Layer, family: Family, rng: Rng) -> None:
    """A shell that lies open a little."""
    wide, ribs, ears, gape, *_ = family.traits
    half, height = between(wide, 0.36, 0.55), between(gape, 0.36, 0.5)
    open_ = rng.uniform(0.03, 0.1)
    rim = [(half * math.sin(a), -height * math.cos(a) * 0.95 + 0.12) for a in np.linspace(-1.75, 1.75, 13)]
    fan = [(0.0, 0.42), *rim]
    under = [(x * 1.02, y + open_ + 0.03) for x, y in fan]
    layer.polygon(closed(under), darker(family.belly, 0.45))
    layer.polygon(closed([(x, y + open_ * 0.6) for x, y in fan]), mix(family.belly, (235, 150, 130), 0.4))
    skin(layer, family, closed(fan), belly=0.0)
    for x, y in rim[:: 1 if ribs > 0.4 else 3]:
        layer.line([(0.0, 0.38), (x * 0.96, y * 0.96)], 0.013, darker(family.base, 0.3))
    for share in (0.55, 0.8):
        layer.line(smooth([(x * share, 0.38 + (y - 0.38) * share) for x, y in rim]), 0.012, lighter(family.base, 0.25))
    if ears > 0.4:
        for side in (-1, 1):
            layer.polygon([(0.0, 0.4), (side * 0.17, 0.42), (side * 0.14, 0.26)], darker(family.base, 0.2))


def octopus(layer: Layer, family: Family, rng: Rng) -> None:
    """An octopus with all its arms about."""
    size, arm, thick, eyes, *_ = family.traits
    half = between(size, 0.17, 0.25)
    reach, limb = between(arm, 0.45, 0.75), between(thick, 0.035, 0.06)
    for number, angle in enumerate(np.linspace(-0.2, math.pi + 0.2, 8)):
        curl = rng.uniform(-0.35, 0.35)
        knee = (0.55 * reach * math.cos(angle + curl * 0.4), 0.1 + 0.5 * reach * math.sin(angle + curl * 0.4))
        tip = (reach * math.cos(angle + curl), 0.12 + reach * 0.8 * math.sin(angle + curl) - 0.08)
        colour = family.base if number % 2 else darker(family.base, 0.18)
        layer.tube([(0.07 * math.cos(angle), 0.06), knee, tip], [limb * 1.5, limb, 0.008], colour)
        for share in (0.35, 0.55, 0.75):
            layer.ellipse(
                (knee[0] * share * 1.3, 0.1 + (knee[1] - 0.1) * share * 1.3), (limb * 0.32, limb * 0.32), family.belly
            )
    lean = rng.uniform(-0.12, 0.12)
    skin(
        layer,
        family,
        closed(
            [
                (-half * 0.8, 0.05),
                (-half * 1.0 + lean, -0.25),
                (-half * 0.4 + lean, -0.5),
                (half * 0.4 + lean, -0.5),
                (half * 1.0 + lean, -0.25),
                (half * 0.8, 0.05),
                (0.0, 0.16),
            ]
        ),
        belly=0.0,
    )
    for x in (-half * 0.45, half * 0.45):
        eye(layer, x, -0.02, between(eyes, 0.035, 0.06), (220, 190, 90))


STANCES = {
    "snail": Stance(snail, "land", 0.12, stands=True),
    "clam": Stance(clam, "seabed", 0.5),
    "octopus": Stance(octopus, "water", 0.3),
}
