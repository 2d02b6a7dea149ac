"""Animals with a backbone, from the side."""

from __future__ import annotations

import math

import numpy as np

from pipeline.demo.canvas import Colour, Layer, Rng, closed, darker, lighter, mix, smooth, tube
from pipeline.demo.creatures.skin import between, eye, skin
from pipeline.demo.creatures.stance import Stance
from pipeline.demo.families import Family


def quadruped(layer: Layer, family: Family, rng: Rng) -> None:
    """A mammal seen from the side."""
    body, leg, neck, head, ears, tail, horns, thick, *_ = family.traits
    half = between(body, 0.13, 0.25)
    length = between(leg, 0.2, 0.5)
    gait, lift = rng.uniform(-0.5, 0.5), rng.uniform(-0.25, 0.5)
    limb = between(thick, 0.035, 0.07)
    shade = darker(family.base, 0.3)
    floor = half * 0.6 + length

    def leg_at(x: float, phase: float, colour: Colour) -> None:
        swing = 0.14 * math.sin(gait * 3 + phase)
        knee = (x + swing * 0.4 - 0.03, half * 0.5 + length * 0.5)
        layer.tube([(x, 0), knee, (x + swing, floor)], [limb * 1.7, limb, limb * 0.8], colour)
        layer.ellipse((x + swing + 0.02, floor), (limb * 1.25, limb * 0.7), darker(family.base, 0.55))

    for x, phase in ((-0.33, 0.0), (0.3, 1.6)):
        leg_at(x, phase + 1.5, shade)
    wag = rng.uniform(-0.2, 0.2)
    if tail > 0.66:
        layer.tube([(-0.42, -0.05), (-0.62, -0.1 - wag), (-0.78, 0.02 - 2 * wag)], [0.05, 0.1, 0.03], shade)
    elif tail > 0.25:
        layer.tube([(-0.42, -0.05), (-0.6, 0.05 + wag), (-0.66, 0.3 + wag)], [0.04, 0.025, 0.015], shade)
    else:
        layer.ellipse((-0.48, -0.06), (0.06, 0.05), lighter(family.base, 0.3))
    reach = between(neck, 0.1, 0.46)
    top = (0.42 + reach * 0.55 + 0.04 * lift, -0.1 - reach * (0.85 + 0.3 * lift))
    barrel = tube(
        [(-0.47, 0.02), (-0.25, -0.03), (0.1, 0.0), (0.42, -0.02)], [half * 0.6, half, half * 0.95, half * 0.75]
    )
    throat = tube([(0.3, -0.02), (0.4, -0.08), top], [half * 0.75, half * 0.55, half * 0.38])
    skin(layer, family, barrel, throat)
    for x, phase in ((-0.37, 0.0), (0.36, 1.6)):
        leg_at(x, phase, family.base)
    skull = between(head, 0.09, 0.14)
    nose = (top[0] + skull * between(ears, 1.3, 2.2), top[1] + skull * 0.55)
    horn = darker(family.accent, 0.25) if horns > 0.6 else None
    if horn and horns > 0.8:
        layer.tube([top, (top[0] - 0.02, top[1] - 0.2), (top[0] - 0.16, top[1] - 0.34)], [0.025, 0.02, 0.004], horn)
        layer.tube([(top[0], top[1] - 0.15), (top[0] + 0.1, top[1] - 0.3)], [0.016, 0.004], horn)
    elif horn:
        layer.tube([top, (top[0] - 0.06, top[1] - 0.2), (top[0] + 0.03, top[1] - 0.3)], [0.03, 0.022, 0.004], horn)
    tip = (top[0] - skull * 0.5, top[1] - skull * between(ears, 1.1, 2.6))
    layer.tube(
        [(top[0] - skull * 0.3, top[1] - skull * 0.4), tip], [skull * 0.4, skull * between(tail, 0.1, 0.4)], shade
    )
    layer.ellipse(top, (skull * 1.15, skull), family.base)
    layer.tube([top, nose], [skull * 0.8, skull * 0.42], mix(family.base, family.belly, 0.35))
    layer.ellipse(nose, (skull * 0.3, skull * 0.28), (35, 28, 28))
    eye(layer, top[0] + skull * 0.35, top[1] - skull * 0.25, skull * 0.2)


def bird(layer: Layer, family: Family, rng: Rng) -> None:
    """A bird that perches."""
    body, leg, neck, *_ = family.traits
    half = between(body, 0.17, 0.27)
    tilt = rng.uniform(-0.12, 0.25)
    _legs(layer, family, half, between(leg, 0.12, 0.5), rng)
    _tail(layer, family, tilt)
    stretch = between(neck, 0.08, 0.42)
    top = (0.3 + stretch * 0.35, -half * 0.6 - stretch)
    barrel = closed(
        [
            (-0.38, 0.06),
            (-0.1, -half * 0.95),
            (0.22, -half * 0.8),
            (0.36, -0.02),
            (0.2, half * 0.85),
            (-0.12, half * 0.8),
        ]
    )
    throat = tube([(0.16, -0.05), (0.28, -half * 0.5), top], [half * 0.7, half * 0.5, half * 0.38])
    skin(layer, family, barrel, throat, belly=0.45)
    lift = rng.uniform(-0.08, 0.05)
    _wing(layer, family, half, lift)
    _bird_head(layer, family, top)


def _legs(layer: Layer, family: Family, half: float, length: float, rng: Rng) -> None:
    """Two legs with toes, below a body of this half height."""
    shank = mix(family.accent, (220, 150, 40), 0.6)
    for x in (-0.04, 0.08):
        step = 0.05 * rng.normal()
        layer.tube(
            [(x, half * 0.6), (x - 0.02, half + length * 0.5), (x + step, half + length)], [0.03, 0.014, 0.012], shank
        )
        for toe in (-0.06, 0.04, 0.09):
            layer.line([(x + step, half + length), (x + step + toe, half + length + 0.02)], 0.016, shank)


def _tail(layer: Layer, family: Family, tilt: float) -> None:
    """Three feathers."""
    tail, crest = family.traits[5:7]
    reach = between(tail, 0.25, 0.75)
    for fan in (-0.08, 0.0, 0.08):
        layer.tube(
            [
                (-0.3, 0.02),
                (-0.4 - reach * 0.6, 0.1 + tilt * 0.4 + fan),
                (-0.36 - reach, 0.16 + tilt * 0.7 + fan * 1.6),
            ],
            [0.06, 0.05, 0.03],
            darker(family.accent if crest > 0.5 else family.base, 0.2 + abs(fan)),
        )


def _wing(layer: Layer, family: Family, half: float, lift: float) -> None:
    """A folded wing with rows of feathers."""
    wing = family.traits[7]
    feathers = darker(family.base, 0.3) if wing < 0.5 else mix(family.accent, family.base, 0.25)
    layer.polygon(
        closed(
            [
                (0.2, -half * 0.5),
                (-0.05, -half * 0.75 + lift),
                (-0.45, 0.02 + lift),
                (-0.32, half * 0.4),
                (0.02, half * 0.4),
            ]
        ),
        feathers,
    )
    for row in (0.1, 0.25, 0.4):
        layer.line(
            smooth(
                [(0.1 - row * 0.4, -half * 0.35 + row * 0.3), (-0.2, -0.02 + row * 0.25), (-0.4, 0.04 + row * 0.16)]
            ),
            0.012,
            darker(feathers, 0.3),
        )


def _bird_head(layer: Layer, family: Family, top: tuple[float, float]) -> None:
    """A skull with a beak, an eye and sometimes a crest."""
    _, _, _, head, beak, _, crest, *_ = family.traits
    skull = between(head, 0.1, 0.16)
    bill = mix((230, 170, 50), family.accent, 0.35)
    point = between(beak, 0.1, 0.5)
    hook = 0.06 if beak < 0.35 else 0.0
    layer.polygon(
        smooth(
            [
                (top[0] + skull * 0.5, top[1] - skull * 0.45),
                (top[0] + skull + point * 0.6, top[1] - 0.02),
                (top[0] + skull + point, top[1] + 0.03 + hook),
                (top[0] + skull * 0.5, top[1] + skull * 0.45),
            ]
        ),
        bill,
    )
    if crest > 0.6:
        for angle in (0.3, 0.75, 1.2):
            tip = (top[0] - skull * 2.1 * math.sin(angle), top[1] - skull * 2.0 * math.cos(angle * 0.7))
            layer.tube([top, tip], [skull * 0.4, 0.01], family.accent)
    layer.ellipse(top, (skull * 1.05, skull), family.base if crest < 0.4 else mix(family.base, family.accent, 0.6))
    eye(layer, top[0] + skull * 0.35, top[1] - skull * 0.15, skull * 0.26, (150, 90, 20))


def fish(layer: Layer, family: Family, rng: Rng) -> None:
    """A fish from the side."""
    body, tail, dorsal, nose, fins, shape, *_ = family.traits
    half = between(body, 0.12, 0.32)
    bend = rng.uniform(-0.1, 0.1)
    fin = mix(family.accent, family.base, 0.3)
    spine = [(0.5, 0.0), (0.2, -bend * 0.3), (-0.2, -bend * 0.3), (-0.46, bend)]
    spread, reach = between(tail, 0.13, 0.3), between(shape, 0.12, 0.3)
    root = (-0.44, bend)
    notch = 0.02 if tail < 0.4 else reach * 0.6
    layer.polygon(
        [
            (root[0] + 0.04, root[1] - 0.03),
            (root[0] - reach, root[1] - spread),
            (root[0] - reach + notch, root[1] + bend * 0.5),
            (root[0] - reach, root[1] + spread),
            (root[0] + 0.04, root[1] + 0.03),
        ],
        fin,
    )
    rise = between(dorsal, 0.06, 0.3)
    layer.polygon(
        smooth(
            [
                (0.2, -half * 0.6),
                (0.05, -half - rise),
                (-0.2, -half * 0.85 - rise * between(fins, 0.2, 0.9)),
                (-0.34, -half * 0.3),
            ]
        ),
        fin,
    )
    layer.polygon(smooth([(-0.02, half * 0.7), (-0.14, half + rise * 0.6), (-0.3, half * 0.4)]), darker(fin, 0.15))
    outline = tube(spine, [between(nose, 0.015, 0.06), half * 0.95, half * 0.8, 0.035])
    skin(layer, family, outline, belly=0.38)
    flap = rng.uniform(-0.05, 0.1)
    layer.polygon(
        closed([(0.14, 0.05), (-0.04, half * 0.5 + flap), (-0.1, half * 0.75 + flap), (0.06, half * 0.5)], 16), fin
    )
    layer.line(smooth([(0.25, -half * 0.45), (0.2, 0.0), (0.25, half * 0.45)]), 0.014, darker(family.base, 0.4))
    eye(layer, 0.35, -half * 0.22, 0.036, (190, 160, 60))
    layer.line([(0.5, 0.03), (0.44, 0.055)], 0.014, darker(family.base, 0.5))


def lizard(layer: Layer, family: Family, rng: Rng) -> None:
    """A lizard from the side, close to the ground."""
    body, leg, tail, head, crest, thick, *_ = family.traits
    half, limb = between(body, 0.065, 0.13), between(thick, 0.03, 0.05)
    reach, length = between(tail, 0.35, 0.85), between(leg, 0.12, 0.24)
    curl, step = rng.uniform(-0.15, 0.12), rng.uniform(-0.06, 0.06)
    shade = darker(family.base, 0.3)

    def leg_at(x: float, forward: float, colour: Colour) -> None:
        floor = half * 0.4 + length
        knee = (x - 0.09 * forward, half * 0.3 + length * 0.35)
        layer.tube([(x, 0.02), knee, (x + 0.05 * forward + step, floor)], [limb * 1.3, limb, limb * 0.6], colour)
        for toe in (-0.03, 0.02, 0.06):
            layer.line(
                [(x + 0.05 * forward + step, floor), (x + 0.05 * forward + step + toe, floor + 0.02)], 0.014, colour
            )

    leg_at(-0.2, -1, shade)
    leg_at(0.28, 1, shade)
    if crest > 0.45:
        for x in np.linspace(-0.25, 0.3, 10):
            height = half + between(crest, 0.0, 0.12) * (1 - abs(x) * 1.6)
            layer.polygon(
                [(x - 0.035, -half * 0.6), (x, -height - 0.03), (x + 0.035, -half * 0.6)],
                mix(family.accent, family.base, 0.2),
            )
    spine = [
        (-0.4 - reach, 0.1 + curl),
        (-0.4 - reach * 0.5, 0.14 + curl * 0.3),
        (-0.3, 0.02),
        (0.0, -0.02),
        (0.3, 0.0),
        (0.46, -0.06),
    ]
    skin(layer, family, tube(spine, [0.006, half * 0.3, half * 0.7, half, half * 0.85, half * 0.65], 40), belly=0.3)
    leg_at(-0.25, 1, family.base)
    leg_at(0.22, -1, family.base)
    skull = between(head, 0.07, 0.12)
    top = (0.52, -0.09)
    layer.tube([top, (top[0] + skull * 1.6, top[1] + skull * 0.35)], [skull, skull * 0.4], family.base)
    layer.line(
        [(top[0] + skull * 0.3, top[1] + skull * 0.45), (top[0] + skull * 1.8, top[1] + skull * 0.45)],
        0.01,
        darker(family.base, 0.5),
    )
    eye(layer, top[0] + skull * 0.45, top[1] - skull * 0.3, skull * 0.26, (200, 150, 30))


def frog(layer: Layer, family: Family, rng: Rng) -> None:
    """A frog that sits."""
    body, leg, head, eyes, *_ = family.traits
    half = between(body, 0.2, 0.32)
    crouch = rng.uniform(-0.04, 0.05)
    shade = darker(family.base, 0.25)
    for x, colour in ((-0.22, shade), (-0.28, family.base)):
        thigh = between(leg, 0.28, 0.42)
        layer.tube(
            [(x, half * 0.4), (x - 0.12, half * 0.1 - thigh * 0.3 + crouch), (x + thigh * 0.6, half * 0.75)],
            [0.1, 0.1, 0.06],
            colour,
        )
        layer.tube(
            [(x + thigh * 0.6, half * 0.75), (x - 0.05, half * 1.15), (x + 0.2, half * 1.2)],
            [0.05, 0.035, 0.05],
            colour,
        )
    outline = closed(
        [
            (-0.42, half * 0.5),
            (-0.25, -half * 0.5),
            (0.1, -half * 0.95 + crouch),
            (0.38, -half * 0.85),
            (0.5, -half * 0.3),
            (0.34, half * 0.4),
            (0.0, half * 0.85),
            (-0.3, half * 0.8),
        ]
    )
    skin(layer, family, outline, belly=0.4)
    for x, colour in ((0.2, shade), (0.14, family.base)):
        layer.tube([(x, half * 0.3), (x + 0.1, half * 0.8), (x + 0.04, half * 1.2)], [0.06, 0.045, 0.035], colour)
        for toe in (-0.05, 0.03, 0.1):
            layer.line([(x + 0.04, half * 1.2), (x + 0.04 + toe, half * 1.25)], 0.022, colour)
    ball = between(eyes, 0.06, 0.11)
    for x in (0.2, 0.34):
        layer.ellipse((x, -half * 0.95 + crouch), (ball * 1.3, ball * 1.3), family.base)
        eye(layer, x + 0.01, -half * 0.95 + crouch, ball, mix((220, 180, 40), family.accent, between(head, 0.0, 0.5)))
    layer.line(smooth([(0.49, -half * 0.3), (0.38, -half * 0.12), (0.2, -half * 0.2)]), 0.014, darker(family.base, 0.5))


def snake(layer: Layer, family: Family, rng: Rng) -> None:
    """A snake that winds."""
    thick, waves, head, *_ = family.traits
    half = between(thick, 0.035, 0.075)
    turns, phase = between(waves, 4.5, 8.5), rng.uniform(0, 6.3)
    depth = rng.uniform(0.12, 0.2)
    at = np.linspace(0, 1, 18)
    spine = np.stack([at * 1.3 - 0.7, depth * np.sin(turns * at + phase) * (1 - 0.3 * at)], axis=1)
    outline = tube(spine, [0.006, half * 0.6, half * 0.9, half, half, half * 0.9, half * 0.7], 60)
    skin(layer, family, outline, belly=0.0)
    end, before = spine[-1], spine[-3]
    ahead = (end - before) / np.hypot(*(end - before))
    tip = end + ahead * between(head, 0.1, 0.16)
    layer.line([tuple(tip), tuple(tip + ahead * 0.07 + (0, 0.012))], 0.01, (190, 40, 50))
    layer.line([tuple(tip), tuple(tip + ahead * 0.07 - (0, 0.012))], 0.01, (190, 40, 50))
    layer.tube(
        [tuple(end), tuple(end + ahead * 0.06), tuple(tip)], [half * 0.85, half * 1.25, half * 0.45], family.base
    )
    eye(
        layer,
        float(end[0] + ahead[0] * 0.07),
        float(end[1] + ahead[1] * 0.07 - half * 0.5),
        half * 0.33,
        (210, 170, 40),
    )


STANCES = {
    "quadruped": Stance(quadruped, "land", 0.08, stands=True),
    "bird": Stance(bird, "land", 0.14, stands=True),
    "lizard": Stance(lizard, "land", 0.2, stands=True),
    "frog": Stance(frog, "land", 0.12, stands=True),
    "snake": Stance(snake, "floor", 0.5),
    "fish": Stance(fish, "water", 0.35),
}
