"""Where creatures live: soft backgrounds on land, on the ground, in the water and on the sea floor.

They are drawn at a third of the size and enlarged, which puts them out of focus behind the subject.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipeline.demo.canvas import Colour, Layer, Rng, darker, gradient, hsv, lighter, mix

SHRINK = 3
Paint = Callable[[Image.Image, Rng], None]


def _hills(picture: Image.Image, rng: Rng, top: float, colour: Colour, height: float) -> None:
    width, tall = picture.size
    draw = ImageDraw.Draw(picture)
    phase, turns = rng.uniform(0, 6.3), rng.uniform(1.0, 2.6)
    line = [
        (
            x,
            tall
            * (top - height * (0.5 + 0.5 * math.sin(phase + turns * 6.3 * x / width) * math.cos(x * 0.07 + phase))),
        )
        for x in range(0, width + 4, 4)
    ]
    draw.polygon([*line, (width, tall), (0, tall)], colour)


def _blobs(
    picture: Image.Image, rng: Rng, count: int, colours: list[Colour], size: tuple[float, float], top: float
) -> None:
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    low, high = (0.0, top, size[0], 0.4, 0), (1.0, 1.05, size[1], 1.0, len(colours))
    for x, y, radius, squash, colour in rng.uniform(low, high, (count, 5)) * (width, height, width, 1, 1):
        ry = radius * squash
        draw.ellipse((x - radius, y - ry, x + radius, y + ry), colours[int(colour)])


def _trunks(picture: Image.Image, rng: Rng, count: int, colour: Colour, ground: float) -> None:
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for _ in range(count):
        x, half = rng.uniform(0, width), width * rng.uniform(0.008, 0.035)
        draw.polygon(
            [(x - half, 0), (x + half, 0), (x + half * 1.4, height * ground), (x - half * 1.4, height * ground)],
            mix(colour, (200, 220, 190), rng.uniform(0, 0.45)),
        )


def _meadow(hue: float, saturation: float) -> Paint:
    def paint(picture: Image.Image, rng: Rng) -> None:
        sky = hsv(0.56 + 0.03 * rng.normal(), rng.uniform(0.15, 0.45), rng.uniform(0.8, 0.97))
        ground = hsv(hue + 0.02 * rng.normal(), saturation, rng.uniform(0.45, 0.7))
        picture.paste(gradient(picture.size, [sky, lighter(sky, 0.45), mix(sky, ground, 0.5)]))
        _hills(picture, rng, 0.6, mix(ground, sky, 0.55), 0.22)
        _hills(picture, rng, 0.66, mix(ground, sky, 0.25), 0.12)
        below = gradient((picture.width, picture.height // 3 + 2), [ground, darker(ground, 0.3)])
        picture.paste(below, (0, picture.height - below.height))
        _blobs(picture, rng, 10, [darker(ground, 0.15), lighter(ground, 0.12)], (0.02, 0.07), 0.72)

    return paint


def _forest(picture: Image.Image, rng: Rng) -> None:
    green = hsv(0.29 + 0.03 * rng.normal(), rng.uniform(0.35, 0.55), rng.uniform(0.35, 0.55))
    picture.paste(gradient(picture.size, [lighter(green, 0.5), lighter(green, 0.3), darker(green, 0.2)]))
    _blobs(picture, rng, 26, [lighter(green, 0.25), darker(green, 0.2), hsv(0.2, 0.5, 0.7)], (0.03, 0.1), -0.1)
    _trunks(picture, rng, 6, (80, 62, 48), 0.75)
    earth = mix(green, (98, 76, 50), 0.6)
    below = gradient((picture.width, picture.height // 3), [earth, darker(earth, 0.35)])
    picture.paste(below, (0, picture.height - below.height))
    _blobs(picture, rng, 14, [darker(earth, 0.2), mix(earth, green, 0.5)], (0.02, 0.06), 0.7)


def _snow(picture: Image.Image, rng: Rng) -> None:
    sky = hsv(0.58 + 0.02 * rng.normal(), rng.uniform(0.2, 0.4), rng.uniform(0.75, 0.92))
    picture.paste(gradient(picture.size, [sky, lighter(sky, 0.5)]))
    _hills(picture, rng, 0.62, hsv(0.6, 0.22, 0.78), 0.35)
    _hills(picture, rng, 0.68, hsv(0.58, 0.1, 0.9), 0.1)
    below = gradient((picture.width, picture.height // 3), [hsv(0.58, 0.07, 0.95), hsv(0.6, 0.16, 0.84)])
    picture.paste(below, (0, picture.height - below.height))


def _ground(hue: float, saturation: float, value: float, litter: str) -> Paint:
    def paint(picture: Image.Image, rng: Rng) -> None:
        base = hsv(hue + 0.015 * rng.normal(), saturation, value * rng.uniform(0.85, 1.15))
        picture.paste(gradient(picture.size, [lighter(base, 0.15), darker(base, 0.12)]))
        draw = ImageDraw.Draw(picture)
        width, height = picture.size
        if litter == "leaf":
            lean = rng.uniform(-0.6, 0.6)
            for step in np.linspace(-1, 2, 9):
                draw.line([(width * step, 0), (width * (step + lean), height)], lighter(base, 0.22), 2)
            draw.line([(0, height * (0.5 - lean / 3)), (width, height * (0.5 + lean / 3))], lighter(base, 0.35), 4)
        elif litter == "bark":
            for _ in range(40):
                x, y = rng.uniform(0, width), rng.uniform(0, height)
                draw.line(
                    [(x, y), (x + 3 * rng.normal(), y + rng.uniform(8, 30))], darker(base, rng.uniform(0.1, 0.4)), 2
                )
        else:
            _blobs(
                picture,
                rng,
                60,
                [darker(base, 0.18), lighter(base, 0.16), mix(base, (120, 150, 70), 0.25)],
                (0.005, 0.035),
                -0.05,
            )

    return paint


def _water(hue: float, deep: float) -> Paint:
    def paint(picture: Image.Image, rng: Rng) -> None:
        top = hsv(hue + 0.02 * rng.normal(), rng.uniform(0.4, 0.65), rng.uniform(0.75, 0.95) - deep)
        picture.paste(gradient(picture.size, [lighter(top, 0.25), top, darker(top, 0.45 + deep)]))
        width, height = picture.size
        rays = Image.new("L", picture.size)
        draw = ImageDraw.Draw(rays)
        for _ in range(5):
            x, lean = rng.uniform(0, width), rng.uniform(-0.3, 0.3) * width
            half = width * rng.uniform(0.01, 0.05)
            draw.polygon(
                [(x - half, 0), (x + half, 0), (x + lean + half * 3, height), (x + lean - half * 3, height)], 38
            )
        picture.paste(Image.new("RGB", picture.size, lighter(top, 0.6)), mask=rays.filter(ImageFilter.BoxBlur(3)))
        _blobs(picture, rng, 12, [lighter(top, 0.3), lighter(top, 0.15)], (0.003, 0.014), 0.0)

    return paint


def _seabed(hue: float, sand: Colour, weeds: bool) -> Paint:
    def paint(picture: Image.Image, rng: Rng) -> None:
        _water(hue, 0.12)(picture, rng)
        width, height = picture.size
        draw = ImageDraw.Draw(picture)
        for _ in range(9 if weeds else 4):
            x = rng.uniform(0, width)
            colour = hsv(rng.choice([0.3, 0.4, 0.95, 0.08]), rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.55))
            for blade in range(4):
                lean = 6 * rng.normal()
                draw.line(
                    [(x + blade * 3, height * 0.85), (x + blade * 3 + lean, height * rng.uniform(0.4, 0.65))], colour, 3
                )
        _hills(picture, rng, 0.78, mix(sand, hsv(hue, 0.5, 0.5), 0.45), 0.1)
        below = gradient((width, height // 4 + 2), [mix(sand, hsv(hue, 0.5, 0.6), 0.3), darker(sand, 0.25)])
        picture.paste(below, (0, height - below.height))
        _blobs(picture, rng, 16, [darker(sand, 0.25), lighter(sand, 0.1), hsv(0.02, 0.3, 0.5)], (0.006, 0.03), 0.78)

    return paint


# Four of each kind; a family lives in two of them.
HABITATS: dict[str, tuple[Paint, ...]] = {
    "land": (_meadow(0.26, 0.5), _forest, _meadow(0.12, 0.5), _snow),
    "floor": (
        _ground(0.28, 0.5, 0.55, "leaf"),
        _ground(0.08, 0.4, 0.5, "bark"),
        _ground(0.11, 0.35, 0.75, "sand"),
        _ground(0.23, 0.4, 0.45, "moss"),
    ),
    "water": (_water(0.55, 0.0), _water(0.48, 0.1), _water(0.6, 0.25), _water(0.38, 0.15)),
    "seabed": (
        _seabed(0.54, (215, 195, 150), True),
        _seabed(0.5, (170, 150, 130), False),
        _seabed(0.58, (200, 185, 165), True),
        _seabed(0.46, (150, 140, 105), True),
    ),
}


def habitat(kind: str, number: int, size: tuple[int, int], rng: Rng) -> Image.Image:
    """A background of a kind, RGB, a ``SHRINK``th of ``size`` (width, height)."""
    small = Image.new("RGB", (-(-size[0] // SHRINK), -(-size[1] // SHRINK)))
    HABITATS[kind][number % len(HABITATS[kind])](small, rng)
    return small


def enlarged(small: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A background at its full size, out of focus."""
    return small.filter(ImageFilter.BoxBlur(1)).resize(size, Image.Resampling.BILINEAR)


def foreground(picture: Image.Image, kind: str, rng: Rng) -> None:
    """Blades of grass or bubbles in front, drawn onto the picture."""
    width, height = picture.size
    if kind in ("water", "seabed"):
        draw = ImageDraw.Draw(picture, "RGBA")
        for _ in range(int(rng.integers(0, 9))):
            x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(1.5, 5)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), (235, 250, 255, 60), (245, 255, 255, 150))
        return
    if kind != "land" or rng.random() < 0.3:
        return
    band = height // 4
    grass = Layer((width, band))
    ground = picture.getpixel((int(width * rng.uniform(0.05, 0.95)), height - 3))
    assert isinstance(ground, tuple)
    colour = mix((int(ground[0]), int(ground[1]), int(ground[2])), (90, 130, 50), 0.35)
    for _ in range(int(rng.integers(20, 60))):
        x, tall, lean = rng.uniform(0, width), rng.uniform(0.1, 0.6) * band, 7 * rng.normal()
        grass.polygon(
            [(x - 1.5, band), (x + 1.5, band), (x + lean, band - tall)], mix(colour, (30, 50, 20), rng.uniform(0, 0.5))
        )
    blades, (left, top, _, _) = grass.finished()
    picture.paste(blades, (left, height - band + top), blades)
