"""Pencil sketches of creatures."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from pipeline.demo.canvas import Rng, grained
from pipeline.demo.families import Family
from pipeline.demo.faults.paper import Size
from pipeline.demo.scenes import creature


def sketch(family: Family, size: Size, rng: Rng) -> Image.Image:
    """A pencil drawing of a creature, without colour; RGB with equal channels."""
    figure, box = creature(family, rng, size).finished()
    shade = int(rng.integers(222, 250))
    grey = Image.new("L", size, 255)
    grey.paste(ImageChops.add(figure.convert("L"), Image.new("L", figure.size, 60)), box[:2], figure.getchannel("A"))
    contour = grey.filter(ImageFilter.CONTOUR).point([min(value + 10, 255) for value in range(256)])
    soft = grey.point([round(255 - (255 - value) * 0.3) for value in range(256)])
    pencil = ImageChops.multiply(ImageChops.multiply(contour, soft), Image.new("L", size, shade))
    draw = ImageDraw.Draw(pencil)
    draw.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=shade)  # the filter leaves the edge unchanged
    drawn = grained(pencil.convert("RGB"), rng).convert("L")
    return Image.merge("RGB", (drawn, drawn, drawn))
