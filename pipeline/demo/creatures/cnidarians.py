"""Corals, anemones and jellyfish."""

from __future__ import annotations

import math

import numpy as np

from pipeline.demo.canvas import Layer, Rng, closed, darker, lighter, mix, smooth, tube
from pipeline.demo.creatures.skin import between, skin
from pipeline.demo.creatures.stance import Stance
from pipeline.demo.families import Family


def coral(layer: Layer, family: Family, rng: Rng) -> None:
    """A coral that branches."""
    fork, thick, tips, depth, *_ = family.traits
    opening, limb = between(fork, 0.3, 0.6), between(thick, 0.035, 0.065)
    bright = mix(family.accent, family.belly, 0.4)

    def branch(x: float, y: float, angle: float, length: float, width: float, left: int) -> None:
        bend = angle + 0.12 * rng.normal()
        end = (x + length * math.sin(bend), y - length * math.cos(bend))
        layer.tube(
            [(x, y), ((x + end[0]) / 2 + 0.01, (y + end[1]) / 2), end],
            [width, width * 0.85, width * 0.72],
            mix(family.base, darker(family.base, 0.35), left / 4),
        )
        if left:
            for turn in (-opening, opening * rng.uniform(0.4, 1.0)):
                branch(*end, bend + turn, length * rng.uniform(0.72, 0.86), width * 0.72, left - 1)
        else:
            layer.ellipse(end, (width * between(tips, 0.8, 1.4), width * between(tips, 0.8, 1.4)), bright)

    for lean in (-0.55, 0.0, 0.5):
        branch(lean * 0.2, 0.45, lean, between(depth, 0.24, 0.32), limb, 3)
    layer.ellipse((0.0, 0.46), (0.24, 0.07), darker(family.base, 0.4))


def anemone(layer: Layer, family: Family, rng: Rng) -> None:
    """An anemone with its tentacles out."""
    count, reach, thick, stem, *_ = family.traits
    length, limb = between(reach, 0.3, 0.5), between(thick, 0.02, 0.04)
    many = int(between(count, 11, 22))
    sway = rng.uniform(-0.25, 0.25)
    for row, colour in ((1.0, darker(family.accent, 0.2)), (0.72, family.accent)):
        for angle in np.linspace(-1.35, 1.35, many):
            lean = angle + 0.1 * rng.normal()
            tip = (
                0.26 * math.sin(lean) + length * row * math.sin(lean + sway),
                -0.02 - length * row * math.cos(lean + sway * 0.6),
            )
            middle = (
                0.2 * math.sin(lean) + length * 0.5 * row * math.sin(lean),
                -0.02 - length * 0.5 * row * math.cos(lean),
            )
            layer.tube([(0.18 * math.sin(angle), 0.02), middle, tip], [limb, limb * 0.85, limb * 0.6], colour)
            layer.ellipse(tip, (limb * 0.9, limb * 0.9), family.belly)
    skin(
        layer,
        family,
        closed(
            [
                (-0.28, -0.02),
                (-0.2, 0.22),
                (-0.26, between(stem, 0.36, 0.5)),
                (0.26, between(stem, 0.36, 0.5)),
                (0.2, 0.22),
                (0.28, -0.02),
                (0.0, 0.05),
            ]
        ),
        belly=0.0,
    )
    layer.ellipse((0.0, -0.01), (0.27, 0.06), darker(family.base, 0.25))


def jellyfish(layer: Layer, family: Family, rng: Rng) -> None:
    """A jellyfish that drifts."""
    bell, arms, frill, count, *_ = family.traits
    half, height = between(bell, 0.26, 0.42), between(frill, 0.28, 0.45)
    phase = rng.uniform(0, 6.3)
    for x in np.linspace(-half * 0.8, half * 0.8, int(between(count, 5, 11))):
        at = np.linspace(0, 1, 8)
        length = between(arms, 0.4, 0.8)
        line = np.stack([x * (1 - 0.2 * at) + 0.05 * np.sin(7 * at + phase + 9 * x), at * length], axis=1)
        layer.line(smooth(line), 0.018, mix(family.accent, family.belly, 0.3))
    for x in (-0.08, 0.05):
        at = np.linspace(0, 1, 6)
        line = np.stack([x + 0.05 * np.sin(6 * at + phase), at * 0.45], axis=1)
        layer.tube(line, [0.05, 0.06, 0.045, 0.02], mix(family.base, family.belly, 0.5))
    skin(
        layer,
        family,
        closed(
            [
                (-half, 0.05),
                (-half * 0.85, -height * 0.6),
                (-half * 0.35, -height),
                (half * 0.35, -height),
                (half * 0.85, -height * 0.6),
                (half, 0.05),
                (half * 0.5, 0.0),
                (0.0, 0.06),
                (-half * 0.5, 0.0),
            ]
        ),
        belly=0.2,
    )
    layer.polygon(
        tube(
            [(-half * 0.5, -height * 0.55), (-half * 0.2, -height * 0.8), (half * 0.1, -height * 0.86)],
            [0.004, 0.03, 0.004],
        ),
        lighter(family.base, 0.6),
    )


STANCES = {
    "coral": Stance(coral, "seabed", 0.12),
    "anemone": Stance(anemone, "seabed", 0.15),
    "jellyfish": Stance(jellyfish, "water", 0.5),
}
