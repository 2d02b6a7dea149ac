"""Augmentation: views of a picture, mirrored, turned and zoomed a little, and recoloured if asked for.

A view depends only on its settings, the seed, the content and its number, not on order, batch, thread or library. Its
geometry is one affine resample of a picture shrunk beforehand: it is antialiased and costs little more than a resize.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageStat

from pipeline.ingest.decoding import resize
from store.errors import ColdframeError, StoreDamaged

# How to fill beyond the edges: Keras' name, and numpy.pad's name for it.
FILLS = {"reflect": "symmetric", "nearest": "edge", "wrap": "wrap", "constant": "constant"}
# The largest value of each numeric setting; the least is always 0.
LARGEST = {"flip": 1.0, "rotation": 180.0, "zoom": 0.5, "brightness": 1.0, "contrast": 1.0, "channel_shift": 1.0}

# The picture is first shrunk to this many times the size of its views. That resize and the affine one are both bilinear,
# each over two thirds of an output pixel. Together they blur about as much as the one plain resize of an unaugmented picture.
OVERSAMPLING = 1.5
# A longer strip is turned as if it were this long: turned truly, it would show mostly fill.
LONGEST_SIDES = 4.0

Affine = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Augmentation:
    """How far views may be from the unaugmented picture. Each change is drawn uniformly from its range.

    Attributes:
        flip: probability of being mirrored, left for right.
        rotation: largest angle either way, in degrees.
        zoom: largest share by which the picture grows or shrinks about its middle.
        brightness: largest shift of all channels together, as a share of the range of grey levels.
        contrast: largest share by which differences from the mean of a channel grow or shrink.
        channel_shift: largest shift of each channel separately, as a share of the range of grey levels.
        fill: what lies beyond the edges: ``reflect`` (the picture mirrored at its edge, the default of Keras' RandomRotation and
            RandomZoom), ``nearest``, ``wrap`` or ``constant`` (black).
        seed: another seed gives other views.
    """

    flip: float = 0.5
    rotation: float = 15.0
    zoom: float = 0.1
    brightness: float = 0.0
    contrast: float = 0.0
    channel_shift: float = 0.0
    fill: str = "reflect"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises:
        ColdframeError: a setting is out of its range.
        """
        for name, most in LARGEST.items():
            value = float(getattr(self, name))
            if not 0 <= value <= most:
                raise ColdframeError(f"views: {name} = {value:g}, expected from 0 to {most:g}")
            object.__setattr__(self, name, value)  # 15 and 15.0 are the same setting, in JSON too
        if self.fill not in FILLS:
            raise ColdframeError(f"views: fill = {self.fill!r}, expected one of {', '.join(FILLS)}")
        if not 0 <= self.seed < 2**32:
            raise ColdframeError(f"views: seed = {self.seed}, expected from 0 to 4294967295")

    def to_json(self) -> dict[str, Any]:
        """The settings as the store remembers them."""
        return asdict(self)

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Augmentation:
        """The settings from what the store remembers.

        Raises:
            StoreDamaged: it does not remember them all, or remembers what they cannot be.
        """
        try:
            return cls(**{one.name: settings[one.name] for one in fields(cls)})
        except (KeyError, TypeError, ValueError) as error:
            raise StoreDamaged(f"views of a feature set: {error!r} in the settings they were made with") from None


@dataclass(frozen=True)
class Draw:
    """The changes to a picture for one view: it is mirrored, then turned, then zoomed, then recoloured.

    Attributes:
        is_flipped: whether left and right are swapped.
        angle: in radians, counter-clockwise.
        magnification: above 1, the picture grows.
        contrast: the factor for differences from a channel's mean.
        shifts: added to red, green and blue, in grey levels of 0 to 255.
    """

    is_flipped: bool = False
    angle: float = 0.0
    magnification: float = 1.0
    contrast: float = 1.0
    shifts: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def is_upright(self) -> bool:
        """Whether it neither turns nor zooms."""
        return self.angle == 0 and self.magnification == 1


def draw(augmentation: Augmentation, content_id: str, view: int) -> Draw:
    """The draw of view ``view`` (1 or more) of a content.

    Its eight numbers come from the SHA-512 of seed, content and view. They are the same with every version of every library,
    and each keeps its value when another setting changes.
    """
    digest = hashlib.sha512(f"{augmentation.seed}/{content_id}/{view}".encode()).digest()
    numbers = (np.frombuffer(digest, "<u8") >> np.uint64(11)) / 2.0**53  # 0 to 1, never 1
    either_way = (2 * numbers - 1).tolist()
    _, turn, grow, light, spread, *channels = either_way
    red, green, blue = (255 * (augmentation.brightness * light + augmentation.channel_shift * one) for one in channels)
    return Draw(
        is_flipped=bool(numbers[0] < augmentation.flip),
        angle=math.radians(augmentation.rotation) * turn,
        magnification=1 + augmentation.zoom * grow,
        contrast=1 + augmentation.contrast * spread,
        shifts=(red, green, blue),
    )


def views(
    image: Image.Image, draws: Sequence[Draw], *, size: tuple[int, int], fill: str = "reflect"
) -> list[Image.Image]:
    """The views of an RGB picture, one for each draw, at ``size`` (height, width); its aspect is not kept.

    The picture is turned in its own aspect: a circle in it stays as round as in a plain resize to ``size``. A draw that
    neither turns nor zooms gives exactly that resize.
    """
    matrices = [to_unit_square(one, aspect=image.width / image.height) for one in draws]
    turned = [matrix for one, matrix in zip(draws, matrices, strict=True) if not one.is_upright]
    source = _Source(image, turned, size, fill) if turned else None
    made = []
    for one, matrix in zip(draws, matrices, strict=True):
        if source is None or one.is_upright:
            view = resize(image, *size)
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if one.is_flipped else view
        else:
            view = source.resample(matrix)
        made.append(recoloured(view, one))
    return made


def to_unit_square(drawn: Draw, *, aspect: float) -> Affine:
    """The matrix, shape (2, 2), that maps the position of a pixel in the view to its source in the picture.

    Both are measured from the middle, in widths and heights of the picture; ``aspect`` is its width over its height. With the
    sides S = diag(aspect, 1), a view is S⁻¹ · zoom · rotation · mirror · S of the picture; this matrix is the inverse.
    """
    aspect = min(max(aspect, 1 / LONGEST_SIDES), LONGEST_SIDES)
    cosine, sine = math.cos(drawn.angle), math.sin(drawn.angle)
    sides = np.diag([aspect, 1.0])
    turn_back = np.array([[cosine, -sine], [sine, cosine]])  # pixels are counted downwards
    mirror = np.diag([-1.0 if drawn.is_flipped else 1.0, 1.0])
    matrix: Affine = np.linalg.inv(sides) @ mirror @ turn_back @ sides / drawn.magnification
    return matrix


class _Source:
    """A picture shrunk once for all its views, with as much margin beyond its edges as they show."""

    def __init__(self, image: Image.Image, matrices: Sequence[Affine], size: tuple[int, int], fill: str) -> None:
        self._size = size
        self._inner = np.array([math.ceil(OVERSAMPLING * side) for side in (size[1], size[0])])  # width, height
        shrunk = np.asarray(resize(image, int(self._inner[1]), int(self._inner[0])))
        # a view's corner lies half a side either way from the middle; anything farther out is margin
        reach = np.max([np.abs(matrix).sum(axis=1) / 2 for matrix in matrices], axis=0)
        self._margin = np.maximum(np.ceil((reach - 0.5) * self._inner), 0).astype(int) + 1  # 1: what bilinear reads
        across, down = (int(side) for side in self._margin)
        padded = np.pad(shrunk, ((down, down), (across, across), (0, 0)), mode=FILLS[fill])  # type: ignore[call-overload]
        self._image = Image.fromarray(padded)

    def resample(self, matrix: Affine) -> Image.Image:
        """One view, bilinear."""
        height, width = self._size
        scaled = _on_grid(np.diag(self._inner) @ matrix @ np.diag([1 / width, 1 / height]))
        origin = self._margin + _on_grid(self._inner / 2 - scaled @ np.array([width / 2, height / 2]))
        coefficients = np.column_stack([scaled, origin]).ravel().tolist()
        return self._image.transform((width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def _on_grid(values: Affine) -> Affine:
    """Round to multiples of 2⁻²⁴ pixel. Sums and products here are then exact: another view's wider margin moves no pixel."""
    return np.round(values * 2.0**24) / 2.0**24


def recoloured(image: Image.Image, drawn: Draw) -> Image.Image:
    """An RGB picture with contrast changed about each channel's mean, then channels shifted, then clipped to 0 to 255."""
    if drawn.contrast == 1 and not any(drawn.shifts):
        return image
    means, levels = ImageStat.Stat(image).mean, np.arange(256)
    tables = [(levels - mean) * drawn.contrast + mean + shift for mean, shift in zip(means, drawn.shifts, strict=True)]
    return image.point(np.concatenate(tables).round().clip(0, 255).astype(int).tolist())
