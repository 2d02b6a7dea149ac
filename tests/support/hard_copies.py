"""Copies of a picture as they are found in catalogues, and drawn pictures with as much texture as photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

LOW_QUALITY, USUAL_QUALITY = 20, 90


def _cropped(image: Image.Image, share: float) -> Image.Image:
    """A picture without ``share`` of its width and of its height, half on each side."""
    across, down = round(image.width * share / 2), round(image.height * share / 2)
    return image.crop((across, down, image.width - across, image.height - down))


def _marked(image: Image.Image) -> Image.Image:
    marked = image.copy()
    font = ImageFont.load_default(max(10, image.height // 12))
    ImageDraw.Draw(marked).text((image.width * 0.05, image.height * 0.8), "(c) Photographs 2019", "white", font)
    return marked


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirror": ImageOps.mirror,
    "mirror and crop 10": lambda image: _cropped(ImageOps.mirror(image), 0.10),
    "rotate 5": lambda image: image.rotate(5, Image.Resampling.BICUBIC),
    "crop 10": lambda image: _cropped(image, 0.10),
    "crop 15": lambda image: _cropped(image, 0.15),
    "crop 25": lambda image: _cropped(image, 0.25),
    "border": lambda image: ImageOps.expand(image, round(0.06 * max(image.size)), "white"),
    "text": _marked,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.5),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.5),
    "quality 20": lambda image: image,
    "grey": lambda image: image.convert("L").convert("RGB"),
    "quarter size": lambda image: image.resize((image.width // 4, image.height // 4), Image.Resampling.LANCZOS),
    "squashed": lambda image: image.resize((round(0.75 * image.width), image.height), Image.Resampling.LANCZOS),
}


def save_copy(image: Image.Image, kind: str, file: Path) -> None:
    """Write a copy of a picture as a JPEG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    COPIES[kind](image).save(file, "JPEG", quality=LOW_QUALITY if kind == "quality 20" else USUAL_QUALITY)


def photograph(seed: int, size: tuple[int, int] = (360, 270)) -> Image.Image:
    """A picture of its own for each seed: soft ground, sharp shapes, and some grain."""
    random = np.random.default_rng(seed)
    whole = np.zeros((size[1], size[0], 3))
    for cells in (3, 7, 20, 60):
        levels = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        whole += np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)) / np.log2(cells + 1)
    whole = (whole - whole.min()) / np.ptp(whole) * 200 + 25
    image = Image.fromarray(whole.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = (int(random.integers(0, side)) for side in size)
        corners = [(x + int(dx), y + int(dy)) for dx, dy in random.integers(-30, 31, (5, 2))]
        draw.polygon(corners, fill=tuple(map(int, random.integers(0, 256, 3))))
    grain = np.asarray(image) + random.normal(0, 6, (size[1], size[0], 3))
    return Image.fromarray(grain.clip(0, 255).astype(np.uint8))
