"""Insects, spiders and crabs, from above."""

from __future__ import annotations

import math

import numpy as np

from pipeline.demo.canvas import Layer, Rng, closed, darker, ellipse, lighter, mix, smooth, tube
from pipeline.demo.creatures.skin import between, skin
from pipeline.demo.creatures.stance import Stance
from pipeline.demo.families import Family


def beetle(layer: Layer, family: Family, rng: Rng) -> None:
    """A beetle from above."""
    body, leg, jaws, feelers, thorax, waist, *_ = family.traits
    half = between(body, 0.17, 0.3)
    shell = darker(family.base, 0.62)
    spread = between(leg, 0.18, 0.36)
    for side in (-1, 1):
        for x, lean in ((0.2, 0.24), (0.0, 0.02), (-0.2, -0.26)):
            lean += 0.05 * rng.normal()
            root, knee = (x, side * half * 0.6), (x + lean * 0.6, side * (half + spread * 0.65))
            layer.tube([root, knee, (x + lean * 1.5, side * (half + spread))], [0.026, 0.02, 0.01], shell)
        wave = between(feelers, 0.12, 0.5)
        layer.line(
            smooth([(0.48, side * 0.05), (0.52 + wave * 0.5, side * 0.16), (0.48 + wave, side * (0.14 + wave * 0.35))]),
            0.014,
            shell,
        )
        if jaws > 0.6:
            layer.tube([(0.5, side * 0.05), (0.6, side * 0.11), (0.66, side * 0.03)], [0.03, 0.024, 0.004], shell)
    layer.ellipse((0.45, 0.0), (0.1, between(thorax, 0.08, 0.14)), shell)
    plate = mix(family.base, family.accent, 0.5) if waist > 0.5 else darker(family.base, 0.35)
    layer.ellipse((0.3, 0.0), (0.14, half * between(waist, 0.6, 0.95)), plate)
    skin(
        layer,
        family,
        closed(
            [
                (0.26, 0.0),
                (0.16, -half * 0.85),
                (-0.15, -half),
                (-0.42, -half * 0.5),
                (-0.5, 0.0),
                (-0.42, half * 0.5),
                (-0.15, half),
                (0.16, half * 0.85),
            ]
        ),
        belly=0.0,
    )
    layer.line([(0.24, 0.0), (-0.49, 0.0)], 0.014, shell)
    layer.polygon(
        tube([(0.12, -half * 0.5), (-0.1, -half * 0.62), (-0.3, -half * 0.45)], [0.004, 0.03, 0.004]),
        lighter(family.base, 0.55),
    )
    for side in (-1, 1):
        layer.ellipse((0.5, side * 0.07), (0.028, 0.028), (15, 12, 12))


def butterfly(layer: Layer, family: Family, rng: Rng) -> None:
    """A butterfly from above, wings open."""
    fore, hind, tails, spots, edge, *_ = family.traits
    reach, low = between(fore, 0.42, 0.66), between(hind, 0.28, 0.46)
    fold = rng.uniform(0.72, 1.0)
    for side in (-1, 1):

        def wing(points: list[tuple[float, float]], side: int = side) -> np.ndarray:
            return closed([(x, side * y * fold) for x, y in points])

        if tails > 0.6:
            layer.tube(
                [(-0.25, side * low * 0.6 * fold), (-0.62, side * low * 0.85 * fold)],
                [0.05, 0.012],
                darker(family.base, 0.3),
            )
        for points, seed in (
            ([(0.02, 0.03), (-0.05, low * 0.9), (-0.3, low), (-0.44, low * 0.5), (-0.25, 0.05)], "hind"),
            (
                [
                    (0.12, 0.03),
                    (0.34, reach * 0.75),
                    (0.42, reach),
                    (0.2, reach * 1.02),
                    (0.0, reach * 0.6),
                    (-0.05, 0.04),
                ],
                "fore",
            ),
        ):
            layer.polygon(wing(points), darker(family.accent, 0.45) if edge > 0.4 else darker(family.base, 0.5))
            middle = np.mean(points, axis=0)
            inner = wing([tuple(middle + (np.array(point) - middle) * 0.84) for point in points])
            skin(layer, family, inner, belly=0.0, seed=seed)
            if spots > 0.35:
                radius = between(spots, 0.02, 0.07)
                layer.ellipse(
                    (float(middle[0]), side * float(middle[1]) * fold),
                    (radius * 1.4, radius * 1.4),
                    darker(family.accent, 0.3),
                )
                layer.ellipse(
                    (float(middle[0]), side * float(middle[1]) * fold), (radius * 0.7, radius * 0.7), family.belly
                )
    dark = darker(family.base, 0.7)
    layer.tube([(0.26, 0.0), (0.1, 0.0), (-0.3, 0.0)], [0.035, 0.045, 0.015], dark)
    for side in (-1, 1):
        layer.line(smooth([(0.26, 0.0), (0.4, side * 0.06), (0.5, side * 0.13)]), 0.012, dark)
        layer.ellipse((0.5, side * 0.13), (0.018, 0.018), dark)


def spider(layer: Layer, family: Family, rng: Rng) -> None:
    """A spider or a crab from above."""
    body, leg, claws, thick, back, *_ = family.traits
    round_, span = between(body, 0.14, 0.26), between(leg, 0.4, 0.65)
    limb = between(thick, 0.014, 0.034)
    colour = darker(family.base, 0.3)
    for side in (-1, 1):
        for number, angle in enumerate((0.5, 1.15, 1.85, 2.55)):
            angle += 0.09 * rng.normal()
            out = np.array([math.cos(angle), side * math.sin(angle)])
            knee = out * span * 0.55 + (0.06, side * 0.02)
            foot = out * span + (0.1 - 0.05 * number, 0)
            layer.tube([(0.05, side * 0.04), tuple(knee), tuple(foot)], [limb * 1.2, limb, limb * 0.35], colour)
        if claws > 0.5:
            grip = 0.42 + 0.03 * rng.normal()
            layer.tube([(0.15, side * 0.1), (0.32, side * 0.26), (grip, side * 0.14)], [0.03, 0.035, 0.03], colour)
            size = between(claws, 0.05, 0.11)
            layer.ellipse((grip + 0.04, side * 0.12), (size * 1.2, size * 0.8), family.base)
    if claws > 0.5:
        skin(
            layer,
            family,
            closed(
                [
                    (0.22, 0.0),
                    (0.14, -round_ * 1.3),
                    (-0.1, -round_ * 1.15),
                    (-0.2, 0.0),
                    (-0.1, round_ * 1.15),
                    (0.14, round_ * 1.3),
                ]
            ),
            belly=0.0,
        )
    else:
        skin(layer, family, ellipse((-0.2, 0.0), (round_ * between(back, 0.9, 1.4), round_)), belly=0.0)
        layer.ellipse((0.1, 0.0), (round_ * 0.62, round_ * 0.55), mix(family.base, family.accent, 0.35))
    for x, y in ((0.2, 0.03), (0.2, -0.03), (0.17, 0.07), (0.17, -0.07)):
        layer.ellipse((x, y), (0.017, 0.017), (12, 10, 10))


STANCES = {
    "beetle": Stance(beetle, "floor", 3.14),
    "butterfly": Stance(butterfly, "floor", 1.2),
    "spider": Stance(spider, "floor", 3.14),
}
