"""Printed matter: pages of text, diagrams, maps."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from pipeline.demo.canvas import Layer, Rng, closed, darker, grained, hsv, lighter, mix, smooth
from pipeline.demo.faults.paper import INK, WORDS, Size, arrow, flat, lines, paper_colour, rectangle, sheet, write

Point = tuple[float, float]
STROKE = 0.011  # of the height


def document(size: Size, rng: Rng) -> Image.Image:
    """A page of text."""
    paper = paper_colour(rng)
    layer, width, height = sheet(size, paper)
    margin, spacing = width * rng.uniform(0.06, 0.12), height * rng.uniform(0.03, 0.048)
    columns = int(rng.integers(1, 3))
    title = height * rng.uniform(0.08, 0.16)
    ink = mix(INK, paper, rng.uniform(0.0, 0.25))
    column = (width - margin * (columns + 1)) / columns
    for number in range(columns):
        left = margin + number * (column + margin)
        top = title + margin * 0.6
        if rng.random() < 0.3:
            rectangle(layer, left, top, column, height * 0.22, mix(paper, hsv(rng.random(), 0.4, 0.6), 0.5))
            top += height * 0.26
        lines(layer, rng, (left, top, left + column, height - margin * 0.6), spacing, ink)
    picture = flat(layer)
    write(picture, (margin, margin * 0.5), " ".join(rng.choice(WORDS, 2)), title * 0.6, ink)
    if rng.random() < 0.5:  # photographed, not scanned
        picture = picture.rotate(rng.uniform(-4, 4), Image.Resampling.BILINEAR, fillcolor=darker(paper, 0.35))
    return grained(picture, rng)


def diagram(size: Size, rng: Rng) -> Image.Image:
    """A chart, a cycle or labelled boxes with arrows."""
    paper = lighter(paper_colour(rng), 0.3)
    layer, width, height = sheet(size, paper)
    hue = rng.random()
    style = rng.choice(["boxes", "bars", "curve", "cycle"])
    if style == "boxes":
        labels = _boxes(layer, width, height, hue, rng)
    elif style == "cycle":
        labels = _cycle(layer, width, height, hue, rng)
    else:
        labels = _chart(layer, width, height, hue, rng, style)
    picture = flat(layer)
    for label in labels:
        write(picture, label, str(rng.choice(WORDS)), height * 0.045, INK)
    return grained(picture, rng)


def _boxes(layer: Layer, width: float, height: float, hue: float, rng: Rng) -> list[Point]:
    """Labelled boxes with arrows between them; returns the positions of their labels."""
    labels: list[Point] = []
    stroke = height * STROKE
    rows, columns = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    wide, tall = width / columns, height / rows
    for row in range(rows):
        for column in range(columns):
            left, top = column * wide + wide * 0.16, row * tall + tall * 0.22
            rectangle(layer, left, top, wide * 0.68, tall * 0.5, INK)
            fill = hsv(hue + 0.13 * (row + column), 0.4, 0.93)
            rectangle(layer, left + stroke, top + stroke, wide * 0.68 - 2 * stroke, tall * 0.5 - 2 * stroke, fill)
            labels.append((left + wide * 0.1, top + tall * 0.14))
            if column + 1 < columns:
                arrow(
                    layer,
                    (left + wide * 0.7, top + tall * 0.25),
                    (left + wide * 0.98, top + tall * 0.25),
                    stroke,
                    INK,
                )
            if row + 1 < rows and rng.random() < 0.7:
                arrow(
                    layer,
                    (left + wide * 0.34, top + tall * 0.52),
                    (left + wide * 0.34, top + tall * 0.96),
                    stroke,
                    INK,
                )
    return labels


def _chart(layer: Layer, width: float, height: float, hue: float, rng: Rng, style: str) -> list[Point]:
    """Bars or curves over two axes; returns the positions of labels."""
    stroke = height * STROKE
    left, bottom = width * 0.14, height * 0.84
    arrow(layer, (left, bottom), (left, height * 0.1), stroke, INK)
    arrow(layer, (left, bottom), (width * 0.94, bottom), stroke, INK)
    count = int(rng.integers(4, 9))
    tops = bottom - height * rng.uniform(0.1, 0.65, count)
    step = width * 0.74 / count
    for number, top in enumerate(tops):
        if style == "bars":
            colour = hsv(hue + 0.09 * number * (rng.random() < 0.6), 0.6, 0.85)
            rectangle(layer, left + step * (number + 0.3), float(top), step * 0.62, bottom - float(top), colour)
    if style == "curve":
        for number in range(int(rng.integers(1, 4))):
            heights = bottom - height * rng.uniform(0.1, 0.65, count)
            points = [(left + step * (at + 0.5), float(y)) for at, y in enumerate(heights)]
            colour = hsv(hue + 0.3 * number, 0.75, 0.75)
            layer.line(smooth(points, 40), stroke * 1.6, colour)
            for point in points:
                layer.ellipse(point, (stroke * 2, stroke * 2), colour)
    return [(width * 0.35, height * 0.88), (width * 0.3, height * 0.03)]


def _cycle(layer: Layer, width: float, height: float, hue: float, rng: Rng) -> list[Point]:
    """Discs in a circle with arrows between them; returns the positions of their labels."""
    labels: list[Point] = []
    stroke = height * STROKE
    count, radius = int(rng.integers(3, 7)), height * 0.33
    for number in range(count):
        angle, after = (2 * math.pi * (number + part) / count for part in (0.22, 0.78))
        arrow(
            layer,
            (width / 2 + radius * 1.25 * math.cos(angle), height / 2 + radius * math.sin(angle)),
            (width / 2 + radius * 1.25 * math.cos(after), height / 2 + radius * math.sin(after)),
            stroke,
            INK,
        )
        angle = 2 * math.pi * number / count
        centre = (width / 2 + radius * 1.25 * math.cos(angle), height / 2 + radius * math.sin(angle))
        layer.ellipse(centre, (height * 0.115, height * 0.1), INK)
        layer.ellipse(centre, (height * 0.103, height * 0.088), hsv(hue + 0.12 * number, 0.45, 0.93))
        labels.append((centre[0] - height * 0.08, centre[1] - height * 0.03))
    return labels


def map_(size: Size, rng: Rng) -> Image.Image:
    """Land, water, roads and names from above."""
    sea, land = hsv(rng.uniform(0.5, 0.58), rng.uniform(0.25, 0.45), 0.92), hsv(rng.uniform(0.12, 0.28), 0.28, 0.93)
    layer, width, height = sheet(size, sea)
    for _ in range(int(rng.integers(2, 5))):
        x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
        count = 14
        reach = rng.uniform(0.2, 0.5) * height * (1 + 0.35 * rng.normal(size=count)).clip(0.35, 1.8)
        angles = np.arange(count) * 2 * math.pi / count
        shore = np.stack([x + 1.4 * reach * np.cos(angles), y + reach * np.sin(angles)], axis=1)
        layer.polygon(closed((shore - (x, y)) * 1.06 + (x, y), 60), mix(sea, (60, 90, 140), 0.35))
        layer.polygon(closed(shore, 60), land)
        layer.polygon(closed((shore - (x, y)) * 0.55 + (x, y), 60), mix(land, (120, 160, 80), 0.5))
        layer.polygon(closed((shore - (x, y)) * 0.25 + (x, y), 60), mix(land, (190, 140, 80), 0.6))
    for colour, thick in ((hsv(0.03, 0.7, 0.85), 0.012), (hsv(0.13, 0.7, 0.95), 0.01), (hsv(0.58, 0.6, 0.8), 0.008)):
        road = np.stack([np.linspace(0, 1, 6) * width, height * rng.uniform(0.1, 0.9, 6)], axis=1)
        layer.line(smooth(road, 40), height * thick, colour)
    for share in np.arange(0.2, 1.0, 0.2):
        layer.line([(width * share, 0), (width * share, height)], 0.5, mix(INK, sea, 0.5))
        layer.line([(0, height * share), (width, height * share)], 0.5, mix(INK, sea, 0.5))
    dots = rng.uniform(0.08, 0.85, (7, 2)) * (width, height)
    for x, y in dots:
        layer.ellipse((float(x), float(y)), (height * 0.012, height * 0.012), (190, 40, 40))
    picture = flat(layer)
    for x, y in dots[:5]:
        write(picture, (float(x) + 5, float(y) - 6), str(rng.choice(WORDS)), height * 0.042, INK)
    return grained(picture, rng)
