"""A photograph of a creature: its habitat, its pose, the light, the camera."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipeline.demo.canvas import Layer, Rng, grained, lit
from pipeline.demo.creatures import STANCES
from pipeline.demo.families import Family
from pipeline.demo.habitats import SHRINK, enlarged, foreground, habitat

SIZES = ((336, 252), (336, 252), (336, 252), (252, 336), (320, 240), (360, 240), (280, 280))


def any_size(rng: Rng) -> tuple[int, int]:
    """One of ``SIZES``, (width, height) in pixels."""
    return SIZES[int(rng.integers(len(SIZES)))]


def photograph(family: Family, rng: Rng) -> Image.Image:
    """A picture of a member of a family, RGB; the generator decides pose, place, light and distance."""
    size = any_size(rng)
    stance = STANCES[family.plan]
    place = family.habitats[int(rng.random() < 0.35)] if rng.random() < 0.85 else int(rng.integers(4))
    background = habitat(stance.habitat, place, size, rng)
    figure, box = creature(family, rng, size).finished()
    if stance.habitat in ("land", "floor"):
        _shadow(background, figure.getchannel("A"), box, stands=stance.stands)
    picture = enlarged(background, size)
    figure = lit(figure, strength=rng.uniform(0.7, 1.1), towards=(rng.choice([-0.8, 0.8]), -1.0))
    picture.paste(figure, box[:2], figure)
    foreground(picture, stance.habitat, rng)
    return camera(picture, rng)


def creature(family: Family, rng: Rng, size: tuple[int, int]) -> Layer:
    """A member of a family in a pose, on a layer of ``size`` (width, height)."""
    stance = STANCES[family.plan]
    width, height = size
    scale = min(width, height * 1.25) * rng.uniform(0.42, 0.66)
    centre = (width * (0.5 + 0.06 * rng.normal()), height * (0.5 + 0.05 * rng.normal()))
    if stance.stands:
        scale *= 0.88
        centre = (centre[0], height * rng.uniform(0.48, 0.58))
    angle = rng.uniform(-stance.turn, stance.turn)
    layer = Layer(size, centre=centre, scale=scale, angle=angle, flip=bool(rng.random() < 0.5))
    stance.draw(layer, family, rng)
    return layer


def _shadow(background: Image.Image, alpha: Image.Image, box: tuple[int, int, int, int], *, stands: bool) -> None:
    """A pool of shadow under the feet of what stands; the shape itself beside what lies on the ground."""
    left, top, right, bottom = (side / SHRINK for side in box)
    shadow = Image.new("L", background.size)
    if stands:
        middle, half = (left + right) / 2, (right - left) * 0.4
        ImageDraw.Draw(shadow).ellipse((middle - half, bottom - half * 0.2, middle + half, bottom + half * 0.15), 130)
    else:
        dark = alpha.reduce(SHRINK).point([value * 150 // 255 for value in range(256)])
        shadow.paste(dark, (int(left) + 3, int(top) + 4))
    background.paste((12, 18, 20), (0, 0, *background.size), shadow.filter(ImageFilter.BoxBlur(2)))


def camera(picture: Image.Image, rng: Rng) -> Image.Image:
    """The effects of light and camera on a scene: exposure, colour of the light, a little grain."""
    exposure = rng.uniform(0.82, 1.18)
    warmth = 0.07 * rng.normal()
    gains = (exposure * (1 + warmth), exposure, exposure * (1 - warmth))
    gamma = math.exp(0.08 * rng.normal())
    return grained(picture, rng, np.outer(gains, 255 * (np.arange(256) / 255) ** gamma))
