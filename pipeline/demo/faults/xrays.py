"""X-rays."""

from __future__ import annotations

import math

from PIL import Image, ImageFilter

from pipeline.demo.canvas import Layer, Rng, grained, hsv, mix, smooth
from pipeline.demo.faults.paper import Size, write


def xray(size: Size, rng: Rng) -> Image.Image:
    """Glowing bones on a bluish picture."""
    hue = rng.uniform(0.53, 0.64)
    ground = hsv(hue, rng.uniform(0.55, 0.8), rng.uniform(0.12, 0.24))
    bone, flesh = hsv(hue, rng.uniform(0.15, 0.28), 0.97), hsv(hue, 0.5, rng.uniform(0.38, 0.5))
    width, height = size
    scale = min(width, height) * rng.uniform(0.6, 0.85)
    centre = (width * rng.uniform(0.45, 0.55), height * rng.uniform(0.45, 0.55))
    angle = rng.uniform(-0.4, 0.4)
    body, bones = (Layer(size, centre=centre, scale=scale, angle=angle) for _ in range(2))
    bend = rng.uniform(-0.2, 0.2)
    spine = smooth([(-0.75, bend), (-0.3, 0.0), (0.1, -0.03), (0.42, -bend * 0.4 - 0.05)], 26)
    body.tube(spine[::4], [0.02, 0.12, 0.22, 0.24, 0.2, 0.14, 0.12], flesh)
    for number, (x, y) in enumerate(spine):
        bones.ellipse((float(x), float(y)), (0.021, 0.03 if number % 2 else 0.021), bone)
        if 7 < number < 22 and number % 2:
            reach = 0.2 * math.sin((number - 6) / 17 * math.pi)
            for side in (-1, 1):
                rib = [(x, y), (x - 0.05, y + side * reach * 0.6), (x - 0.02, y + side * reach)]
                bones.line(smooth(rib, 8), 0.014, bone)
    head = spine[-1]
    bones.ellipse((float(head[0]) + 0.1, float(head[1])), (0.13, 0.1), mix(bone, flesh, 0.3))
    bones.ellipse((float(head[0]) + 0.12, float(head[1]) - 0.02), (0.035, 0.035), ground)
    if rng.random() < 0.75:
        for x in (-0.3, 0.22):
            for side in (-1, 1):
                knee = (x + rng.uniform(-0.1, 0.1), side * 0.25)
                foot = (x + rng.uniform(-0.18, 0.18), side * 0.43)
                body.tube([(x, 0.0), knee, foot], [0.07, 0.05, 0.035], flesh)
                bones.tube([(x, side * 0.05), knee], [0.02, 0.016], bone)
                bones.tube([knee, foot], [0.015, 0.014], bone)
    picture = Image.new("RGB", size, ground)
    for layer, blur in ((body, 6), (bones, 1)):
        shape, box = layer.finished()
        whole = Image.new("RGBA", size)
        whole.paste(shape, box[:2])
        whole = whole.reduce(2).filter(ImageFilter.BoxBlur(blur)).resize(size, Image.Resampling.BILINEAR)
        picture.paste(whole, (0, 0), whole)
    if rng.random() < 0.5:
        write(picture, (width * 0.05, height * 0.04), rng.choice(["L", "R"]), height * 0.09, bone)
    return grained(picture, rng)
