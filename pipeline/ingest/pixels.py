"""The decoding rules: from the bytes of a file to the one RGB picture every step sees.

First frame; the file decoded to its last byte, but for damaged metadata; EXIF orientation applied; palette and alpha composed
on white; CMYK through its ICC profile if it has one, else Pillow's conversion; more than 8 bits scaled by what the file says of
them; then RGB.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageCms, UnidentifiedImageError

# One a line: an export joins these files to one, without these lines.
from pipeline.ingest.other_files import what_else
from pipeline.ingest.repairs import variants
from pipeline.ingest.samples import Unsaid, in_8_bits, raw_mode

# Part of a new feature set's digest, and of what ingest remembers of a file. Raise it when a change here changes a pixel,
# the chroma or the perceptual hash.
RULES_VERSION = 2
# The versions under which pictures of 8 bits have the same pixels: what was made under one of them goes on.
ALIKE = (1, RULES_VERSION)

# Pillow's warnings are either errors below or harmless. Threads decode, so the filter is set once.
warnings.filterwarnings("ignore", module=r"PIL\.")

# The formats that are read: raster images, the usual ones first. Other formats of Pillow are left out: it hands EPS to
# Ghostscript as a program, IPTC opens whatever is inside it, and the rest hold no picture that Pillow can decode by itself.
FORMATS = (
    "JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA", "PSD", "ICO", "ICNS", "DIB", "DDS",
    "BLP", "CUR", "DCX", "FITS", "FLI", "FTEX", "GBR", "IM", "IMT", "MCIDAS", "MSP", "PCD", "PCX", "PIXAR", "QOI", "SGI",
    "SPIDER", "SUN", "XBM", "XPM", "XVTHUMB",
)  # fmt: skip
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}

# Pillow's own limit: above it, Pillow warns of a decompression bomb.
MAX_PIXELS = 89_478_485
CONTENT_ID_BYTES = 16  # of a SHA-256


class UnreadableImage(Exception):
    """A file that gives no picture; the message is the reason, fit for ``failures.reason``."""


@dataclass(frozen=True)
class Picture:
    """A decoded file. ``image`` is RGB and upright; ``width`` and ``height`` are its size as displayed.

    Attributes:
        white: the sample value in the file that is shown as white.
        exif: its tags as Pillow found them, not checked, by directory: ``""``, ``"exif"``, ``"gps"``; empty if not asked for.
    """

    image: Image.Image
    content_id: str
    bytes: int
    format: str
    mode: str
    frames: int
    white: float
    exif: dict[str, dict[int, Any]]

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.image.width

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.image.height


def content_id(data: bytes) -> str:
    """The first 128 bits of the SHA-256 of a file's bytes, in hex."""
    return hashlib.sha256(data).digest()[:CONTENT_ID_BYTES].hex()


class _PillowLimit:
    """Sets Pillow's own limit while pictures are decoded, and puts the caller's back after the last of them.

    The limit is one for the whole process, threads decode, and it also holds for the pictures inside pictures (icons).
    """

    def __init__(self) -> None:
        self._lock, self._decoding, self._of_caller = threading.Lock(), 0, Image.MAX_IMAGE_PIXELS

    @contextlib.contextmanager
    def __call__(self, pixels: int) -> Iterator[None]:
        with self._lock:
            if not self._decoding:
                self._of_caller = Image.MAX_IMAGE_PIXELS
            self._decoding += 1
            Image.MAX_IMAGE_PIXELS = pixels
        try:
            yield
        finally:
            with self._lock:
                self._decoding -= 1
                if not self._decoding:
                    Image.MAX_IMAGE_PIXELS = self._of_caller


_pillow_limit = _PillowLimit()


@functools.cache
def _formats(heif: bool) -> tuple[str, ...]:
    """The available ones of :data:`FORMATS`: with a model, this file may meet an older Pillow that knows fewer."""
    Image.init()
    if heif:
        try:
            import pillow_heif  # the extra ``heic``
        except ImportError:
            raise UnreadableImage(
                "HEIC, which needs a library: pip install 'coldframe[heic]', or save it as JPEG"
            ) from None
        pillow_heif.register_heif_opener()
        return ("HEIF",)
    return tuple(one for one in FORMATS if one in Image.OPEN)


def _is_heif(data: bytes) -> bool:
    brands = {data[at : at + 4] for at in range(8, min(int.from_bytes(data[:4]), 128), 4)}
    return data[4:8] == b"ftyp" and not _HEIF_BRANDS.isdisjoint(brands) and b"avif" not in brands


def looks_like_picture(data: bytes) -> bool:
    """Whether a file begins like a picture; nothing is decoded."""
    try:
        if _is_heif(data):
            return True
        with Image.open(io.BytesIO(variants(data)[0]), formats=_formats(False)):
            return True
    except Exception:  # Pillow's readers raise nearly anything on damaged input
        return False


def decode(
    data: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | None = None, with_exif: bool = False
) -> Picture:
    """Decode a file by the rules above; a JPEG may come smaller, its shorter side not below ``at_least`` pixels.

    Raises:
        UnreadableImage: the file is not an image, is truncated or damaged, has more than ``max_pixels`` pixels, or has samples
            of which nothing says how bright they are.
    """
    *others, last = variants(data)
    for variant in others:
        with contextlib.suppress(UnreadableImage):
            return _decode(variant, data, max_pixels, at_least, with_exif)
    return _decode(last, data, max_pixels, at_least, with_exif)


def _decode(variant: bytes, data: bytes, max_pixels: int, at_least: int | None, with_exif: bool) -> Picture:
    try:
        formats = _formats(_is_heif(data))
        with _pillow_limit(max_pixels), Image.open(io.BytesIO(variant), formats=formats) as opened:
            if opened.width * opened.height > max_pixels:
                raise UnreadableImage(f"{opened.width}x{opened.height} pixels, over the pixel limit of {max_pixels}")
            if at_least is not None:
                opened.draft(None, (at_least, at_least))
            raw = raw_mode(opened)
            opened.load()
            format_, mode = opened.format or "", opened.mode
            frames = int(getattr(opened, "n_frames", 1))
            if frames > 1:
                opened.seek(0)  # in some formats, counting the frames moves the position
            scaled, white = in_8_bits(opened, raw, variant)
            image = _upright(_convert(scaled), opened)
            exif = _exif(opened) if with_exif else {}
    except UnreadableImage:
        raise
    except Unsaid as error:
        raise UnreadableImage(str(error)) from None
    except UnidentifiedImageError:
        raise UnreadableImage(what_else(data)) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"over the pixel limit of {max_pixels}") from None
    except MemoryError:
        raise UnreadableImage("needs more memory to decode than there is") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged input
        raise UnreadableImage(f"cannot be decoded: {str(error) or type(error).__name__}") from error
    return Picture(image, content_id(data), len(data), format_, mode, frames, white, exif)


def _exif(image: Image.Image) -> dict[str, dict[int, Any]]:
    found: dict[str, dict[int, Any]] = {}
    for name, tag in {"": None, "exif": 0x8769, "gps": 0x8825}.items():
        with contextlib.suppress(Exception):  # ignore damaged EXIF; the pixels are fine
            found[name] = dict(image.getexif() if tag is None else image.getexif().get_ifd(tag))
    return found


def _upright(converted: Image.Image, original: Image.Image) -> Image.Image:
    try:
        orientation = original.getexif().get(_EXIF_ORIENTATION)
        if orientation in _TRANSPOSITIONS:
            return converted.transpose(_TRANSPOSITIONS[orientation])
    except Exception:  # ignore damaged EXIF; the pixels are fine
        pass
    return converted


_EXIF_ORIENTATION = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _convert(image: Image.Image) -> Image.Image:
    if image.mode in ("CMYK", "LAB"):
        return _convert_by_profile(image)
    if image.mode in ("PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return image.convert("RGB")


def _convert_by_profile(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    try:
        if profile:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        elif image.mode == "LAB":
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            return image.convert("RGB")
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB")  # the profile is damaged, or is for another kind of ink
    return converted if converted is not None else image.convert("RGB")


def resize(image: Image.Image, height: int, width: int) -> Image.Image:
    """Bilinear, antialiased, aspect not kept: the resize for Keras backbones."""
    return image.resize((width, height), Image.Resampling.BILINEAR)
