"""A layer to draw on in a figure's own coordinates: smooth outlines, tapered limbs, soft light.

Shapes are drawn at twice the size and halved, which smooths their edges. In a figure's coordinates x points forward, y down,
and 1 is about the length of a body.
"""

from __future__ import annotations

import colorsys
import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

SUPERSAMPLING = 2
SMALL_DOT = 5  # pixels of a supersampled radius below which ten corners look like a circle

Colour = tuple[int, int, int]
Outline = npt.NDArray[np.float64]
Points = Outline | Sequence[tuple[float, float]]
Rng = np.random.Generator


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour from hue, saturation and value, each 0 to 1; the hue wraps around."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return round(red * 255), round(green * 255), round(blue * 255)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """``one`` with a share (0 to 1) of ``other``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def darker(colour: Colour, share: float = 0.35) -> Colour:
    """The colour with a share of black."""
    return mix(colour, (0, 0, 0), share)


def lighter(colour: Colour, share: float = 0.35) -> Colour:
    """The colour with a share of white."""
    return mix(colour, (255, 255, 255), share)


@functools.lru_cache(maxsize=64)
def _catmull_rom(points: int, samples: int) -> Outline:
    """The matrix from control points to samples of the Catmull-Rom spline through them, ends repeated."""
    at = np.linspace(0, points - 1, samples)
    first = np.minimum(at.astype(int), points - 2)
    t = at - first
    weights = 0.5 * np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2])
    matrix = np.zeros((samples, points))
    for offset in range(4):
        np.add.at(matrix, (np.arange(samples), np.clip(first + offset - 1, 0, points - 1)), weights[offset])
    return matrix


def smooth(points: Points, samples: int = 28) -> Outline:
    """A smooth open curve through the points, shape (samples, 2)."""
    control = np.asarray(points, float)
    curve: Outline = _catmull_rom(len(control), samples) @ control
    return curve


def closed(points: Points, samples: int = 40) -> Outline:
    """A smooth closed curve through the points, shape (samples, 2)."""
    control = np.asarray(points, float)
    around = np.concatenate([control[-2:], control, control[:3]])
    inner = _catmull_rom(len(around), samples * 2) @ around
    at = np.linspace(0, len(around) - 1, samples * 2)
    once: Outline = inner[(at >= 2) & (at <= len(control) + 2)]
    return once


def tube(spine: Points, widths: Sequence[float], samples: int = 28) -> Outline:
    """Outline of a spine with half-widths along it, both smoothed, shape (2 * samples, 2)."""
    line = smooth(spine, samples)
    half = _catmull_rom(len(widths), samples) @ np.asarray(widths, float)
    along = np.empty_like(line)
    along[1:-1] = line[2:] - line[:-2]
    along[0], along[-1] = line[1] - line[0], line[-1] - line[-2]
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * np.maximum(half, 0)[:, None]
    return np.concatenate([line + across, (line - across)[::-1]])


@functools.lru_cache(maxsize=8)
def _circle(samples: int) -> Outline:
    angles = np.linspace(0, 2 * math.pi, samples, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def ellipse(centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0) -> Outline:
    """Outline of an ellipse; the angle, in radians, turns it clockwise."""
    outline = _circle(28) * radii
    return (turned(outline, angle) if angle else outline) + centre


def turned(points: Points, angle: float) -> Outline:
    """The points turned clockwise around the origin, in radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    rotated: Outline = np.asarray(points, float) @ np.array([[cos, sin], [-sin, cos]])
    return rotated


class Canvas:
    """A picture and the transform from a figure's coordinates to its pixels."""

    def __init__(self, image: Image.Image, matrix: Outline, offset: Outline, scale: float) -> None:
        self.image, self._matrix, self._offset, self._scale = image, matrix, offset, scale
        self._draw = ImageDraw.Draw(image)

    def polygon(self, points: Points, colour: Colour) -> None:
        """A filled outline."""
        self._draw.polygon(self._placed(points), colour)

    def ellipse(
        self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour, angle: float = 0.0
    ) -> None:
        """A filled ellipse."""
        if max(radii) * self._scale < SMALL_DOT:
            self.polygon(_circle(10) * radii + centre, colour)
        else:
            self.polygon(ellipse(centre, radii, angle), colour)

    def tube(self, spine: Points, widths: Sequence[float], colour: Colour) -> None:
        """A filled tube with round ends."""
        self.polygon(tube(spine, widths), colour)
        for end, width in ((spine[0], widths[0]), (spine[-1], widths[-1])):
            if width > 0.004:
                self.ellipse((float(end[0]), float(end[1])), (width, width), colour)

    def line(self, points: Points, width: float, colour: Colour) -> None:
        """A line of a width in the figure's coordinates, at least a pixel."""
        self._draw.line(self._placed(points), colour, max(round(width * self._scale), SUPERSAMPLING), "curve")

    def _placed(self, points: Points) -> list[float]:
        placed: list[float] = (np.asarray(points, float) @ self._matrix.T + self._offset).ravel().tolist()
        return placed


class Layer(Canvas):
    """A transparent canvas as large as a picture, with a figure's place on it.

    ``size`` (width, height), ``centre`` and ``scale`` are in pixels of the finished picture; ``angle`` in radians.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        centre: tuple[float, float] = (0.0, 0.0),
        scale: float = 1.0,
        angle: float = 0.0,
        flip: bool = False,
    ) -> None:
        cos, sin, mirror = math.cos(angle), math.sin(angle), -1.0 if flip else 1.0
        super().__init__(
            # premultiplied: halving then needs no conversion, and opaque colours are the same in both forms
            Image.new("RGBa", (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)),
            np.array([[cos * mirror, sin * mirror], [-sin, cos]]) * scale * SUPERSAMPLING,
            np.array(centre) * SUPERSAMPLING,
            scale * SUPERSAMPLING,
        )

    def window(self, *outlines: Points) -> tuple[Canvas, Image.Image, tuple[int, int]]:
        """An empty canvas as large as the outlines, their union as a mask, and the position of both on this layer."""
        placed = [np.asarray(self._placed(outline)).reshape(-1, 2) for outline in outlines]
        everything = np.concatenate(placed)
        left, top = (int(value) for value in np.clip(everything.min(axis=0) - 1, 0, None))
        right, bottom = (
            min(int(value) + 2, side) for value, side in zip(everything.max(axis=0), self.image.size, strict=True)
        )
        image = Image.new(self.image.mode, (max(right - left, 1), max(bottom - top, 1)))
        other = Canvas(image, self._matrix, self._offset - (left, top), self._scale)
        mask = Image.new("L", other.image.size)
        draw = ImageDraw.Draw(mask)
        for points in placed:
            draw.polygon((points - (left, top)).ravel().tolist(), 255)
        return other, mask, (left, top)

    def paint(self, window: Canvas, mask: Image.Image, at: tuple[int, int]) -> None:
        """Paint a window onto the layer where its mask is set."""
        self.image.paste(window.image, at, mask)

    def finished(self) -> tuple[Image.Image, tuple[int, int, int, int]]:
        """The finished drawing, RGBA, edges smooth, and the box of the picture that it fills (left, top, right, bottom)."""
        left, top, right, bottom = self.image.getbbox() or (0, 0, *self.image.size)
        box = (
            left // SUPERSAMPLING,
            top // SUPERSAMPLING,
            -(-right // SUPERSAMPLING),
            -(-bottom // SUPERSAMPLING),
        )
        wide = (box[0] * SUPERSAMPLING, box[1] * SUPERSAMPLING, box[2] * SUPERSAMPLING, box[3] * SUPERSAMPLING)
        return self.image.reduce(SUPERSAMPLING, wide).convert("RGBA"), box


def lit(figure: Image.Image, *, strength: float, towards: tuple[float, float]) -> Image.Image:
    """An RGBA picture with soft light from one side, as on a round object.

    ``towards``: the direction from which the light comes; ``strength``: about 0 to 1.
    """
    alpha = figure.getchannel("A")
    depth = alpha.reduce(5).filter(ImageFilter.BoxBlur(3))
    shifted = ImageChops.offset(depth, round(towards[0] * 3), round(towards[1] * 3))
    # dark where the blurred shape slopes away from the light
    relief = ImageChops.subtract(shifted, depth, scale=1.0, offset=128)
    light = relief.point((238 - (np.arange(256) - 128) * 1.9 * strength).clip(70, 255).tolist())
    shade = light.resize(figure.size, Image.Resampling.BILINEAR)
    picture = ImageChops.multiply(figure.convert("RGB"), Image.merge("RGB", (shade, shade, shade)))
    picture.putalpha(alpha)
    return picture


GRAIN_SIDE = 640
MAX_GRAIN = 12


@functools.lru_cache(maxsize=4)
def _grain(level: int) -> Image.Image:
    """A tile of noise, fine and coarse, at most ``MAX_GRAIN`` up or down, modulo 256, RGB."""
    fine = np.random.default_rng(1).normal(0, 1, (GRAIN_SIDE, GRAIN_SIDE))
    coarse = np.random.default_rng(2).normal(0, 1, (GRAIN_SIDE // 4, GRAIN_SIDE // 4)).repeat(4, 0).repeat(4, 1)
    grey = ((1.2 + 1.2 * level) * fine + 2.0 * coarse).clip(-MAX_GRAIN, MAX_GRAIN)
    return Image.fromarray(grey.astype(np.int8).view(np.uint8)).convert("RGB")


AS_THEY_ARE = np.tile(np.arange(256.0), (3, 1))


def grained(picture: Image.Image, rng: Rng, levels: npt.NDArray[np.float64] = AS_THEY_ARE) -> Image.Image:
    """The picture with a camera's grain, RGB, up to ``GRAIN_SIDE`` pixels a side.

    ``levels``, shape (3, 256): the new value for each value of each channel, applied before the grain.
    """
    # leave room for the grain at both ends: a sum modulo 256 is far faster than a clipped one
    picture = picture.point(levels.clip(MAX_GRAIN, 255 - MAX_GRAIN).ravel().tolist())
    left, top = (int(rng.integers(0, GRAIN_SIDE - side + 1)) for side in picture.size)
    tile = _grain(int(rng.integers(4))).crop((left, top, left + picture.width, top + picture.height))
    return ImageChops.add_modulo(picture, tile)


def gradient(size: tuple[int, int], colours: Sequence[Colour]) -> Image.Image:
    """Colours from top to bottom, blended."""
    column = Image.new("RGB", (1, len(colours)))
    column.putdata(list(colours))
    steps = column.resize((1, size[1]), Image.Resampling.BICUBIC if len(colours) > 2 else Image.Resampling.BILINEAR)
    return steps.resize(size, Image.Resampling.NEAREST)
