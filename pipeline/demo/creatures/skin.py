"""What all creatures share: measures from traits, a skin with a pattern, eyes."""

from __future__ import annotations

import math

import numpy as np

from pipeline.demo.canvas import Canvas, Colour, Layer, Points, Rng, darker, mix
from pipeline.demo.families import Family, rng_of


def between(trait: float, low: float, high: float) -> float:
    """Scale a trait from 0..1 to a measure from low to high."""
    return low + (high - low) * trait


def skin(layer: Layer, family: Family, *outlines: Points, belly: float = 0.35, seed: object = 0) -> None:
    """Fill outlines with the family's colours and pattern; ``belly`` is the share of the height that is paler."""
    everything = np.concatenate([np.asarray(outline, float) for outline in outlines])
    (left, top), (right, bottom) = everything.min(axis=0), everything.max(axis=0)
    width, height = right - left, bottom - top
    paint, mask, at = layer.window(*outlines)
    paint.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], family.base)
    if belly:
        edge = bottom - height * belly
        wave = [(left + width * t, edge + height * 0.04 * math.sin(9 * t)) for t in np.linspace(0, 1, 12)]
        paint.polygon([*wave, (right, bottom), (left, bottom)], mix(family.base, family.belly, 0.75))
    _pattern(paint, family, left, top, width, height, rng_of("pattern", family.name, family.phylum, seed))
    layer.paint(paint, mask, at)


def _pattern(paint: Canvas, family: Family, left: float, top: float, width: float, height: float, rng: Rng) -> None:
    colour, size = family.accent, between(family.traits[9], 0.6, 1.5)
    match family.pattern:
        case "stripes":
            for x in np.arange(0.05, 1.0, 0.115 * size):
                at, lean = left + width * x, 0.03 * width * rng.normal()
                paint.tube(
                    [(at, top - 0.02), (at + lean, top + height * 0.45), (at + lean * 2, top + height * 0.85)],
                    [0.02 * size, 0.022 * size, 0.004],
                    colour,
                )
        case "bands":
            for x in np.arange(0.08, 1.0, 0.26 * size):
                at = left + width * x
                half = 0.045 * width * size
                paint.polygon(
                    [(at - half, top), (at + half, top), (at + half, top + height), (at - half, top + height)], colour
                )
        case "spots":
            for x in np.arange(0.06, 1.0, 0.13 * size):
                for y in np.arange(0.1, 0.9, 0.24 * size):
                    centre = (left + width * (x + 0.02 * rng.normal()), top + height * (y + 0.04 * rng.normal()))
                    radius = 0.03 * size * rng.uniform(0.7, 1.2)
                    paint.ellipse(centre, (radius, radius * 0.9), colour)
        case "rings":
            for x in np.arange(0.1, 1.0, 0.21 * size):
                centre = (left + width * x, top + height * (0.38 + 0.08 * rng.normal()))
                paint.ellipse(centre, (0.058 * size, 0.055 * size), colour)
                paint.ellipse(centre, (0.032 * size, 0.03 * size), family.base)
        case "saddle":
            points = [(left, top - 0.05), (left + width, top - 0.05), (left + width, top + height * 0.2)]
            wave = [(left + width * t, top + height * (0.3 + 0.12 * math.sin(5 * t))) for t in np.linspace(1, 0, 10)]
            paint.polygon(points + wave, colour)
        case "speckles":
            for x, y in rng.random((70, 2)):
                paint.ellipse((left + width * x, top + height * y), (0.011 * size, 0.011 * size), colour)


def eye(layer: Layer, x: float, y: float, radius: float, iris: Colour = (70, 45, 20)) -> None:
    """A round eye with a gleam."""
    layer.ellipse((x, y), (radius * 1.2, radius * 1.2), darker(iris, 0.6))
    layer.ellipse((x, y), (radius, radius), iris)
    layer.ellipse((x, y), (radius * 0.62, radius * 0.62), (12, 10, 10))
    layer.ellipse((x + radius * 0.3, y - radius * 0.35), (radius * 0.28, radius * 0.28), (250, 250, 250))
