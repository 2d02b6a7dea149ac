"""Facts of a picture: what its pixels are like, and what its EXIF says of when, by what and where it was taken."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from PIL import Image

from pipeline.ingest.pixels import Picture

# Brightness is L of ITU-R 601, 0 to 255.
SHARP_SIDE = 512  # pixels of the longer side at which sharpness is measured, so that pictures of other sizes compare
EXTREMES = (0.01, 0.99)  # shares of the pixels that are darker: one hot pixel is no extreme
TEXT_CHARACTERS = 100  # of the name of a camera


def facts_of(picture: Picture) -> dict[str, Any]:
    """What the dataset ``facts`` holds of a picture, but for its id and date."""
    grey = picture.image.convert("L")
    shares = np.array(grey.histogram(), np.float64) / (grey.width * grey.height)
    darkest, lightest = (int(np.searchsorted(np.cumsum(shares), share)) for share in EXTREMES)
    used = shares[shares > 0]
    return {
        "white": picture.white,
        "sharpness": sharpness(grey),
        "brightness": float(shares @ np.arange(256)),
        "darkest": darkest,
        "lightest": min(lightest, 255),
        "entropy": float(max(0.0, -(used * np.log2(used)).sum())),
        **_taken(picture.exif),
    }


def sharpness(grey: Image.Image) -> float:
    """How sharp a grey picture is: the variance of the Laplacian of its brightness, its longer side at 512 pixels.

    0 for a picture of one colour or below 3x3 pixels; hundreds or thousands for a sharp photograph, below 50 for a blurred one.
    """
    small = grey.copy()
    small.thumbnail((SHARP_SIDE, SHARP_SIDE), Image.Resampling.BOX)
    if min(small.size) < 3:
        return 0.0
    levels = np.asarray(small, np.float32)
    around = levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:]
    return float((around - 4 * levels[1:-1, 1:-1]).var(dtype=np.float64))


def _taken(exif: Mapping[str, Mapping[int, Any]]) -> dict[str, Any]:
    """When, by what and where; None for what EXIF does not say, or says wrongly."""
    main, more, gps = (exif.get(name, {}) for name in ("", "exif", "gps"))
    make, model = _text(main.get(0x010F)), _text(main.get(0x0110))
    if make and model and model.lower().startswith(make.lower()):
        make = None
    latitude, longitude = _degrees(gps, 1, "S", 90), _degrees(gps, 3, "W", 180)
    if None in (latitude, longitude) or latitude == longitude == 0:  # cameras write zeros where they do not know
        latitude = longitude = None
    return {
        "taken_at": _time(more.get(0x9003), more.get(0x9291)) or _time(more.get(0x9004), more.get(0x9292)),
        "camera": " ".join(filter(None, (make, model))) or None,
        "camera_serial": _text(more.get(0xA431)),
        "latitude": latitude,
        "longitude": longitude,
    }


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return None
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+", " ", value).split())[:TEXT_CHARACTERS] or None


def _time(value: Any, fraction: Any) -> datetime | None:
    found = re.match(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)", _text(value) or "")
    parts = re.match(r"\d{1,6}", _text(fraction) or "")
    try:
        time = datetime.strptime(":".join(found.groups()), "%Y:%m:%d:%H:%M:%S") if found else None
    except ValueError:  # such as 0000:00:00
        return None
    return time.replace(microsecond=int(parts[0].ljust(6, "0"))) if time and parts else time


def _degrees(gps: Mapping[int, Any], tag: int, negative: str, most: int) -> float | None:
    try:
        degrees, minutes, seconds = (float(one) for one in gps[tag + 1])
        value = (degrees + minutes / 60 + seconds / 3600) * (-1 if _text(gps.get(tag)) == negative else 1)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None
    return value if math.isfinite(value) and abs(value) <= most else None
