"""Drawing on paper and boards, in pixels."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.demo.canvas import Colour, Layer, Rng, hsv

Size = tuple[int, int]
INK = (52, 46, 62)
WORDS = (
    "specimen",
    "habitat",
    "figure",
    "locality",
    "species",
    "notes",
    "plate",
    "museum",
    "range",
    "age",
    "total",
    "see",
)


def paper_colour(rng: Rng) -> Colour:
    """Warm or cool paper, never a pure grey."""
    return hsv(rng.choice([0.09, 0.11, 0.14, 0.56]), rng.uniform(0.09, 0.2), rng.uniform(0.88, 0.98))


def sheet(size: Size, colour: Colour) -> tuple[Layer, float, float]:
    """A filled layer in pixels, with its width and height."""
    layer = Layer(size)
    layer.polygon([(0, 0), (size[0], 0), (size[0], size[1]), (0, size[1])], colour)
    return layer, float(size[0]), float(size[1])


def flat(layer: Layer) -> Image.Image:
    """A layer as a picture."""
    return layer.finished()[0].convert("RGB")


def write(picture: Image.Image, at: tuple[float, float], text: str, size: float, colour: Colour) -> None:
    """Write text with its upper left corner at a place."""
    ImageDraw.Draw(picture).text(at, text, fill=colour, font=_font(max(round(size), 6)))


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def lines(layer: Layer, rng: Rng, box: tuple[float, float, float, float], spacing: float, colour: Colour) -> None:
    """Lines of words too small to read."""
    left, top, right, bottom = box
    for y in np.arange(top, bottom, spacing):
        x, end = left, right if rng.random() > 0.15 else left + (right - left) * rng.uniform(0.3, 0.8)
        while x < end:
            word = min(spacing * rng.uniform(0.5, 2.8), end - x)
            layer.polygon([(x, y), (x + word, y), (x + word, y + spacing * 0.42), (x, y + spacing * 0.42)], colour)
            x += word + spacing * 0.4


def rectangle(layer: Layer, left: float, top: float, width: float, height: float, colour: Colour) -> None:
    """Fill a rectangle."""
    layer.polygon([(left, top), (left + width, top), (left + width, top + height), (left, top + height)], colour)


def arrow(layer: Layer, start: tuple[float, float], end: tuple[float, float], width: float, colour: Colour) -> None:
    """A line with a head at its end."""
    layer.line([start, end], width, colour)
    along = np.array(end) - np.array(start)
    along = along / max(float(np.hypot(*along)), 1e-6) * width * 4
    across = np.array([-along[1], along[0]]) * 0.5
    tip = np.array(end)
    layer.polygon([tuple(tip), tuple(tip - along + across), tuple(tip - along - across)], colour)
