"""Samples of more than 8 bits, scaled to 8 by what the file says of them.

Many programs write 10, 12 or 14 bits into 16 and say so nowhere. Taken for 16 they would be nearly black, so a picture that
uses less than a quarter of its range fails unless the file says what is white.
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from PIL import Image

LEAST_SHARE = 0.25  # of the range that samples may have: a picture whose lightest is below it may be in fewer bits
S_MIN, S_MAX, MAX, PHOTOMETRIC, DESCRIPTION, BITS = 340, 341, 281, 262, 270, 258  # tags of TIFF
OF_16_BITS = {
    "RGB": 3,
    "RGBA": 3,
    "RGBa": 3,
    "CMYK": 4,
}  # modes of which Pillow keeps the high bytes, and their colours
SAY_THEIR_WHITE = ("PPM", "JPEG2000")  # Pillow scales them by it


class Unsaid(Exception):
    """Nothing says which sample is white; the message is the reason."""


def raw_mode(image: Image.Image) -> str:
    """How Pillow reads the samples of an image that is not loaded yet, such as ``I;16B``; empty if it does not say."""
    tile: Any = getattr(image, "tile", None)
    arguments = tile[0].args if tile else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def in_8_bits(image: Image.Image, raw: str, data: bytes) -> tuple[Image.Image, float]:
    """A loaded image with samples of 8 bits, and the sample that is white in it.

    Args:
        raw: its raw mode.
        data: the file.

    Raises:
        Unsaid: nothing says which sample is white.
    """
    found = re.search(r";(12|16|32)[BLNR]?(S?)", raw)
    bits, signed = (int(found[1]), bool(found[2])) if found else (16, False)
    if image.mode.startswith(("I", "F")):
        samples = np.asarray(image)
        if image.mode == "I" and bits == 32 and not signed:
            samples = samples.view(np.uint32)
    elif found and bits == 16 and image.mode in OF_16_BITS and _highest(image) < 256 * LEAST_SHARE:
        samples = _with_low_bytes(image, raw, data)  # the high bytes hold next to nothing
    elif not found and max(np.ravel(getattr(image, "tag_v2", {}).get(BITS, 8))) > 8:
        raise Unsaid(
            "has samples of more than 8 bits, each colour by itself, which Pillow reads wrongly: save it as 8 bits"
        )
    else:
        return image, 65535 if found else 255
    colours = samples[..., : OF_16_BITS[image.mode]] if samples.ndim == 3 else samples
    black, white = _range(colours, image, data, None if image.mode == "F" else bits - signed)
    wide: Any = samples.astype(np.float64 if bits == 32 else np.float32)
    levels = (wide - black) * (255 / (white - black))
    scaled = levels.round().clip(0, 255).astype(np.uint8)
    clear = image.info.get("transparency")
    if samples.ndim == 2 and isinstance(clear, int):
        scaled[samples == clear] = 255
    return Image.fromarray(scaled, image.mode if samples.ndim == 3 else "L"), white


def _highest(image: Image.Image) -> float:
    bands: Any = image.getextrema()
    return float(max(high for _, high in bands[: OF_16_BITS[image.mode]]))


def _with_low_bytes(image: Image.Image, raw: str, data: bytes) -> Any:
    """All 16 bits of an RGB or RGBA image, uint16 of shape (height, width, 3 or 4)."""
    little = re.search("16[LN]", raw)
    other = re.sub("16[BLN]", "16B" if little else "16L", raw)  # in the other order, the high byte is the low one
    opened: Any = Image.open(io.BytesIO(data), formats=(image.format or "",))
    with opened as again:
        tile: Any = again.tile
        again.tile = [one._replace(args=other if one.args == raw else (other, *one.args[1:])) for one in tile]
        try:
            again.load()
        except ValueError:  # Pillow has no such order, as for grey with alpha
            raise Unsaid(_reason("16-bit", "that are all dark")) from None
        return np.asarray(image).astype(np.uint16) << 8 | np.asarray(again)


def _range(samples: Any, image: Image.Image, data: bytes, bits: int | None) -> tuple[float, float]:
    """The samples that are black and white, for samples of so many bits; None for floating point.

    Raises:
        Unsaid: the file does not say, and the samples do not show it.
    """
    tags, ends = getattr(image, "tag_v2", {}), (float(samples.min()), float(samples.max()))
    if not np.isfinite(ends).all():
        raise Unsaid("has samples that are no numbers (NaN or infinite): save it as 8 bits")
    black, white = _said_by_tags(tags) or (0.0, _white_of(samples, ends, image, tags, data, bits) or 0.0)
    if not white:
        found = re.match(r"ImageJ=(?s:.*)\bmin=(-?[\d.e+-]+)\s+max=(-?[\d.e+-]+)", str(tags.get(DESCRIPTION, "")))
        black, white = (_float(found[1]), _float(found[2])) if found else (0.0, 0.0)
    if white <= black:
        what = "floating-point" if bits is None else f"{bits + (bits % 2)}-bit"
        raise Unsaid(_reason(what, f"from {ends[0]:.6g} to {ends[1]:.6g}"))
    return (white, black) if tags.get(PHOTOMETRIC) == 0 else (black, white)


def _said_by_tags(tags: Any) -> tuple[float, float] | None:
    lows, highs = (np.ravel(tags.get(tag, ())) for tag in (S_MIN, S_MAX))
    try:
        black, white = float(min(lows, default=0)), float(max(highs))
    except (TypeError, ValueError):
        return None
    return (black, white) if black < white < np.inf else None


def _white_of(
    samples: Any, ends: tuple[float, float], image: Image.Image, tags: Any, data: bytes, bits: int | None
) -> float | None:
    """The white sample where zero is black; None if nothing tells."""
    lowest, highest = ends
    if lowest < 0:
        return None
    if bits is None:
        return 1.0 if highest <= 1 else None
    full = 2.0**bits - 1
    if bits == 12 or image.format in SAY_THEIR_WHITE:
        return full
    said = _significant_bits(tags, data)
    if said is not None and (said >= bits or highest >= 2**said):
        return full  # samples of fewer bits are scaled up, as PNG has it
    is_scaled_up = bits == 16 and not (samples % 257).any()
    if highest == 0 or highest >= LEAST_SHARE * full or is_scaled_up:
        return full
    return None if said is None else 2.0**said - 1


def _significant_bits(tags: Any, data: bytes) -> int | None:
    """How many bits of a sample are used, as a TIFF or a PNG says."""
    if data.startswith(b"\x89PNG"):
        begin = data[: data.find(b"IDAT")]
        at = begin.find(b"sBIT")
        return max(begin[at + 4 : at + 4 + begin[at - 1]], default=0) or None if at > 8 else None
    found = re.search(r'SignificantBits="(\d{1,2})"', str(tags.get(DESCRIPTION, "")))  # of OME
    most = tags.get(MAX)
    most = max(most) if isinstance(most, tuple) and most else most
    if found or not isinstance(most, int):
        return int(found[1]) if found else None
    return most.bit_length() or None


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _reason(kind: str, which: str) -> str:
    return (
        f"has {kind} samples {which}, and nothing in the file says which is white: save it as 8 bits, or with the tags "
        "SMinSampleValue and SMaxSampleValue of TIFF"
    )
