"""Photographs without an animal: food, people, signs, vehicles, buildings, things, empty landscapes."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from pipeline.demo.canvas import Colour, Layer, Rng, closed, darker, gradient, hsv, lighter, mix, smooth
from pipeline.demo.faults.paper import WORDS, Size, flat, lines, rectangle, sheet, write
from pipeline.demo.habitats import enlarged, foreground, habitat
from pipeline.demo.scenes import camera


def food(size: Size, rng: Rng) -> Image.Image:
    """A plate of food on a table."""
    table = hsv(rng.choice([0.07, 0.09, 0.55, 0.0]), rng.uniform(0.25, 0.5), rng.uniform(0.45, 0.85))
    layer, width, height = sheet(size, table)
    for x in np.arange(-0.1, 1.1, rng.uniform(0.13, 0.25)):
        layer.line([(x * width, 0), ((x + 0.05) * width, height)], height * 0.008, darker(table, 0.18))
    x, y = width * rng.uniform(0.44, 0.56), height * rng.uniform(0.45, 0.55)
    radius = height * rng.uniform(0.34, 0.44)
    squash = rng.uniform(0.75, 1.0)
    plate = hsv(rng.choice([0.1, 0.55, 0.6]), 0.07, 0.97)
    layer.ellipse((x + 5, y + 9), (radius * 1.02, radius * squash), darker(table, 0.5))
    layer.ellipse((x, y), (radius, radius * squash), plate)
    layer.ellipse((x, y), (radius * 0.97, radius * squash * 0.97), darker(plate, 0.1))
    layer.ellipse((x, y), (radius * 0.74, radius * squash * 0.74), plate)

    def on_plate(reach: float) -> tuple[float, float]:
        angle, out = rng.uniform(0, 2 * math.pi), radius * reach * math.sqrt(rng.random())
        return x + out * math.cos(angle), y + out * squash * math.sin(angle)

    sauce = hsv(rng.choice([0.02, 0.09, 0.13]), 0.75, rng.uniform(0.55, 0.85))
    for _ in range(4):
        layer.ellipse(on_plate(0.35), (radius * 0.28, radius * squash * 0.22), sauce)
    for _ in range(int(rng.integers(5, 12))):
        colour = hsv(rng.choice([0.01, 0.3, 0.08, 0.13, 0.24]), rng.uniform(0.55, 0.85), rng.uniform(0.55, 0.92))
        cx, cy = on_plate(0.55)
        size_ = radius * rng.uniform(0.08, 0.17)
        layer.ellipse((cx + 2, cy + 3), (size_, size_), darker(colour, 0.4))
        layer.ellipse((cx, cy), (size_, size_), colour)
        layer.ellipse((cx, cy), (size_ * 0.7, size_ * 0.7), lighter(colour, 0.25))
    for _ in range(10):
        layer.ellipse(on_plate(0.6), (radius * 0.025, radius * 0.02), hsv(0.3, 0.7, 0.5))
    steel = (188, 194, 204)
    for side in (-1, 1):
        at = x + side * radius * 1.25
        layer.tube(
            [(at, y - radius * 0.7), (at, y), (at, y + radius * 0.75)],
            [radius * 0.07, radius * 0.03, radius * 0.045],
            steel,
        )
    return camera(flat(layer), rng)


def person(size: Size, rng: Rng) -> Image.Image:
    """A person in front of a wall or outdoors, without an animal."""
    width, height = size
    if rng.random() < 0.5:
        picture = enlarged(habitat("land", int(rng.integers(4)), size, rng), size)
    else:
        wall = hsv(rng.random(), rng.uniform(0.12, 0.4), rng.uniform(0.6, 0.92))
        picture = gradient(size, [lighter(wall, 0.2), darker(wall, 0.15)])
    layer = Layer(
        size,
        centre=(width * rng.uniform(0.42, 0.58), height * rng.uniform(0.4, 0.48)),
        scale=height * rng.uniform(0.5, 0.72),
    )
    tone = hsv(rng.uniform(0.05, 0.085), rng.uniform(0.25, 0.6), rng.uniform(0.42, 0.95))
    shirt = hsv(rng.random(), rng.uniform(0.4, 0.8), rng.uniform(0.35, 0.9))
    hair = hsv(rng.uniform(0.03, 0.12), rng.uniform(0.3, 0.7), rng.uniform(0.12, 0.6))
    if rng.random() < 0.45:
        layer.tube([(0.0, -0.2), (0.0, 0.15)], [0.24, 0.22], hair)
    raise_ = rng.uniform(-0.3, 0.25)
    for side in (-1, 1):
        elbow = (side * 0.4, 0.62 - raise_ * (side > 0))
        layer.tube(
            [(side * 0.26, 0.32), elbow, (side * 0.36, 0.95 - 1.4 * raise_ * (side > 0))],
            [0.1, 0.085, 0.07],
            darker(shirt, 0.15),
        )
        layer.ellipse((side * 0.36, 0.97 - 1.4 * raise_ * (side > 0)), (0.07, 0.07), tone)
    layer.polygon(
        closed([(-0.3, 0.3), (0.0, 0.2), (0.3, 0.3), (0.32, 0.7), (0.28, 1.4), (-0.28, 1.4), (-0.32, 0.7)]), shirt
    )
    layer.tube([(0.0, 0.05), (0.0, 0.27)], [0.085, 0.09], darker(tone, 0.15))
    layer.ellipse((0.0, -0.14), (0.2, 0.25), tone)
    layer.polygon(
        closed(
            [(-0.21, -0.12), (-0.2, -0.34), (0.0, -0.44), (0.2, -0.34), (0.21, -0.12), (0.13, -0.27), (-0.1, -0.29)]
        ),
        hair,
    )
    for side in (-1, 1):
        layer.ellipse((side * 0.08, -0.14), (0.032, 0.022), (248, 248, 248))
        layer.ellipse((side * 0.08, -0.14), (0.017, 0.02), (50, 40, 35))
        layer.line([(side * 0.12, -0.2), (side * 0.045, -0.205)], 0.014, hair)
    layer.line(smooth([(-0.07, -0.01), (0.0, 0.025), (0.07, -0.01)], 8), 0.018, mix(tone, (170, 40, 50), 0.6))
    layer.line([(0.0, -0.12), (0.02, -0.06), (0.0, -0.055)], 0.012, darker(tone, 0.25))
    figure, box = layer.finished()
    picture.paste(figure, box[:2], figure)
    return camera(picture, rng)


def sign(size: Size, rng: Rng) -> Image.Image:
    """A board with writing, outdoors."""
    width, height = size
    picture = enlarged(habitat("land", int(rng.integers(4)), size, rng), size)
    layer = Layer(size)
    board = hsv(rng.choice([0.08, 0.33, 0.6, 0.13, 0.0]), rng.uniform(0.4, 0.8), rng.uniform(0.35, 0.9))
    wide, tall = width * rng.uniform(0.45, 0.75), height * rng.uniform(0.3, 0.5)
    left, top = (width - wide) * rng.uniform(0.3, 0.7), height * rng.uniform(0.1, 0.24)
    post = hsv(0.08, 0.4, 0.4)
    for share in (0.2, 0.8) if rng.random() < 0.6 else (0.5,):
        rectangle(layer, left + wide * share - width * 0.018, top, width * 0.036, height * 0.92 - top, post)
    text = (250, 248, 235) if sum(board) < 400 else (40, 35, 40)
    rectangle(layer, left, top, wide, tall, text)
    edge = height * 0.015
    rectangle(layer, left + edge, top + edge, wide - 2 * edge, tall - 2 * edge, board)
    lines(layer, rng, (left + wide * 0.1, top + tall * 0.5, left + wide * 0.9, top + tall * 0.88), tall * 0.13, text)
    figure, box = layer.finished()
    picture.paste(figure, box[:2], figure)
    write(picture, (left + wide * 0.1, top + tall * 0.13), str(rng.choice(WORDS)).upper(), tall * 0.24, text)
    return camera(picture, rng)


def vehicle(size: Size, rng: Rng) -> Image.Image:
    """A car or a lorry on a road."""
    width, height = size
    picture = gradient(size, [hsv(0.57, 0.3, 0.9), hsv(0.57, 0.1, 0.95), hsv(0.1, 0.1, 0.8)])
    layer = Layer(size)
    road = hsv(0.62, 0.1, rng.uniform(0.3, 0.45))
    rectangle(layer, 0, height * 0.68, width, height * 0.32, road)
    for x in np.arange(rng.uniform(0, 0.1), 1.0, 0.2):
        rectangle(layer, width * x, height * 0.88, width * 0.1, height * 0.02, (235, 225, 180))
    paint = hsv(rng.random(), rng.uniform(0.5, 0.9), rng.uniform(0.45, 0.9))
    left, wide = width * rng.uniform(0.1, 0.2), width * rng.uniform(0.58, 0.72)
    floor, tall = height * 0.76, height * rng.uniform(0.17, 0.23)
    glass = (170, 205, 225)
    if rng.random() < 0.6:
        cabin = [
            (left + wide * 0.2, floor - tall),
            (left + wide * 0.32, floor - tall * 1.9),
            (left + wide * 0.66, floor - tall * 1.9),
            (left + wide * 0.82, floor - tall),
        ]
        layer.polygon(cabin, paint)
        for a, b in ((0.27, 0.48), (0.52, 0.74)):
            layer.polygon(
                [
                    (left + wide * a, floor - tall),
                    (left + wide * (a + 0.07), floor - tall * 1.75),
                    (left + wide * (b - 0.06), floor - tall * 1.75),
                    (left + wide * b, floor - tall),
                ],
                glass,
            )
    else:
        rectangle(layer, left, floor - tall * 2.4, wide * 0.66, tall * 2.2, lighter(paint, 0.5))
        rectangle(layer, left + wide * 0.7, floor - tall * 1.8, wide * 0.26, tall * 1.2, paint)
        rectangle(layer, left + wide * 0.76, floor - tall * 1.65, wide * 0.16, tall * 0.6, glass)
    rectangle(layer, left, floor - tall, wide, tall * 0.85, paint)
    rectangle(layer, left, floor - tall * 0.35, wide, tall * 0.12, darker(paint, 0.4))
    layer.ellipse((left + wide * 0.97, floor - tall * 0.65), (wide * 0.025, tall * 0.12), (255, 240, 180))
    for share in (0.2, 0.78):
        layer.ellipse((left + wide * share, floor - tall * 0.1), (tall * 0.5, tall * 0.5), (30, 30, 34))
        layer.ellipse((left + wide * share, floor - tall * 0.1), (tall * 0.25, tall * 0.25), (180, 184, 190))
    figure, box = layer.finished()
    picture.paste(figure, box[:2], figure)
    return camera(picture, rng)


def building(size: Size, rng: Rng) -> Image.Image:
    """A house with windows, or a block of flats."""
    width, height = size
    picture = gradient(size, [hsv(0.57, 0.4, 0.85), hsv(0.56, 0.12, 0.95)])
    layer = Layer(size)
    rectangle(layer, 0, height * 0.86, width, height * 0.14, hsv(0.2, 0.3, 0.5))
    wall = hsv(rng.choice([0.03, 0.09, 0.12, 0.58]), rng.uniform(0.2, 0.5), rng.uniform(0.6, 0.92))
    wide, tall = width * rng.uniform(0.5, 0.75), height * rng.uniform(0.42, 0.6)
    left, top = (width - wide) / 2, height * 0.88 - tall
    rectangle(layer, left, top, wide, tall, wall)
    if rng.random() < 0.6:
        roof = hsv(rng.choice([0.01, 0.06, 0.6]), 0.5, 0.45)
        layer.polygon(
            [(left - wide * 0.06, top), (left + wide / 2, top - height * 0.24), (left + wide * 1.06, top)], roof
        )
    else:
        rectangle(layer, left - wide * 0.02, top - height * 0.03, wide * 1.04, height * 0.04, darker(wall, 0.4))
    columns, rows = int(rng.integers(3, 6)), int(rng.integers(2, 4))
    for column in range(columns):
        for row in range(rows):
            x, y = left + wide * (column + 0.25) / columns, top + tall * (row + 0.2) / rows
            rectangle(layer, x - 2, y - 2, wide * 0.5 / columns + 4, tall * 0.5 / rows + 4, lighter(wall, 0.5))
            rectangle(layer, x, y, wide * 0.5 / columns, tall * 0.5 / rows, hsv(0.57, 0.35, rng.uniform(0.35, 0.8)))
    rectangle(layer, left + wide * 0.45, top + tall * 0.7, wide * 0.1, tall * 0.3, hsv(0.06, 0.5, 0.3))
    figure, box = layer.finished()
    picture.paste(figure, box[:2], figure)
    return camera(picture, rng)


def landscape(size: Size, rng: Rng) -> Image.Image:
    """A habitat on land, without creatures."""
    kind = str(rng.choice(["land", "land", "floor"]))
    picture = enlarged(habitat(kind, int(rng.integers(4)), size, rng), size)
    foreground(picture, kind, rng)
    return camera(picture, rng)


def thing(size: Size, rng: Rng) -> Image.Image:
    """A household object, or a heap of plain shapes, indoors or outdoors."""
    width, height = size
    wall = hsv(rng.random(), rng.uniform(0.1, 0.5), rng.uniform(0.55, 0.95))
    if rng.random() < 0.4:
        kind = str(rng.choice(["land", "land", "floor"]))
        picture = enlarged(habitat(kind, int(rng.integers(4)), size, rng), size)
    else:
        picture = gradient(size, [lighter(wall, 0.25), darker(wall, 0.1)])
        floor = hsv(rng.random(), rng.uniform(0.1, 0.5), rng.uniform(0.3, 0.8))
        picture.paste(floor, (0, int(height * rng.uniform(0.68, 0.85)), width, height))
    centre = (width * rng.uniform(0.4, 0.6), height * rng.uniform(0.45, 0.58))
    layer = Layer(size, centre=centre, scale=height * rng.uniform(0.5, 0.75), angle=rng.uniform(-0.12, 0.12))
    THINGS[int(rng.integers(len(THINGS)))](layer, rng)
    figure, box = layer.finished()
    picture.paste(figure, box[:2], figure)
    return camera(picture, rng)


def _paint(rng: Rng) -> Colour:
    return hsv(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.35, 0.95))


def _cup(layer: Layer, rng: Rng) -> None:
    colour = _paint(rng)
    layer.ellipse((0.33, 0.02), (0.2, 0.2), darker(colour, 0.2))
    layer.ellipse((0.33, 0.02), (0.12, 0.12), (225, 220, 210))
    layer.polygon([(-0.32, -0.3), (0.32, -0.3), (rng.uniform(0.2, 0.3), 0.4), (-rng.uniform(0.2, 0.3), 0.4)], colour)
    layer.ellipse((0.0, -0.3), (0.32, 0.08), darker(colour, 0.4))
    layer.polygon([(-0.3, -0.05), (0.3, -0.05), (0.28, 0.08), (-0.28, 0.08)], lighter(colour, 0.4))


def _bottle(layer: Layer, rng: Rng) -> None:
    colour, half = _paint(rng), rng.uniform(0.12, 0.2)
    rectangle(layer, -half, -0.1, 2 * half, 0.58, colour)
    layer.polygon([(-half, -0.1), (-0.06, -0.3), (0.06, -0.3), (half, -0.1)], colour)
    rectangle(layer, -0.06, -0.5, 0.12, 0.22, lighter(colour, 0.15))
    rectangle(layer, -0.07, -0.56, 0.14, 0.08, _paint(rng))
    rectangle(layer, -half, 0.05, 2 * half, 0.22, (240, 234, 215))


def _chair(layer: Layer, rng: Rng) -> None:
    colour, wood = _paint(rng), hsv(0.08, 0.5, rng.uniform(0.3, 0.6))
    for x in (-0.26, -0.14, 0.22, 0.3):
        rectangle(layer, x, 0.05, 0.05, 0.45, wood)
    rectangle(layer, -0.3, -0.5, 0.06, 0.6, wood)
    for y in np.arange(-0.48, -0.1, rng.uniform(0.1, 0.16)):
        rectangle(layer, -0.3, float(y), rng.uniform(0.3, 0.42), 0.05, colour)
    layer.polygon([(-0.32, 0.02), (0.28, 0.02), (0.38, 0.1), (-0.24, 0.1)], colour)


def _lamp(layer: Layer, rng: Rng) -> None:
    colour = _paint(rng)
    rectangle(layer, -0.02, -0.2, 0.04, 0.65, (70, 66, 74))
    layer.ellipse((0.0, 0.46), (0.2, 0.05), (70, 66, 74))
    top = rng.uniform(0.1, 0.22)
    layer.polygon([(-top, -0.5), (top, -0.5), (0.32, -0.15), (-0.32, -0.15)], colour)


def _umbrella(layer: Layer, rng: Rng) -> None:
    colour = _paint(rng)
    rectangle(layer, -0.015, -0.3, 0.03, 0.75, (60, 50, 50))
    arc = [(0.5 * math.cos(a), -0.05 - 0.42 * math.sin(a)) for a in np.linspace(0, math.pi, 20)]
    layer.polygon(arc, colour)
    layer.polygon([(-0.2, -0.05), (0.0, -0.47), (0.2, -0.05)], lighter(colour, 0.35))


def _ball(layer: Layer, rng: Rng) -> None:
    colour, radius = _paint(rng), rng.uniform(0.25, 0.42)
    layer.ellipse((0.0, 0.1), (radius, radius), colour)
    layer.ellipse((0.0, 0.1), (radius * 0.35, radius), lighter(colour, 0.5))
    layer.ellipse((-radius * 0.3, 0.1 - radius * 0.4), (radius * 0.15, radius * 0.1), (250, 250, 245))


def _boxes(layer: Layer, rng: Rng) -> None:
    top = 0.45
    for _ in range(int(rng.integers(1, 5))):
        wide, tall = rng.uniform(0.25, 0.8), rng.uniform(0.1, 0.35)
        left, colour = rng.uniform(-0.5, 0.5 - wide), _paint(rng)
        top -= tall
        rectangle(layer, left, top, wide, tall, colour)
        rectangle(layer, left + wide * 0.42, top, wide * 0.12, tall, darker(colour, 0.25))


def _shapes(layer: Layer, rng: Rng) -> None:
    for _ in range(int(rng.integers(3, 9))):
        x, y = rng.uniform(-0.5, 0.5), rng.uniform(-0.4, 0.4)
        wide, tall = rng.uniform(0.06, 0.4, 2)
        shape = rng.integers(3)
        if shape == 0:
            layer.ellipse((x, y), (wide / 2, tall / 2), _paint(rng))
        elif shape == 1:
            rectangle(layer, x - wide / 2, y - tall / 2, wide, tall, _paint(rng))
        else:
            layer.polygon([(x - wide / 2, y + tall / 2), (x + wide / 2, y + tall / 2), (x, y - tall / 2)], _paint(rng))


THINGS = (_cup, _bottle, _chair, _lamp, _umbrella, _ball, _boxes, _shapes)
