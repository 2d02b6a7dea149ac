"""The decoding rules: from the bytes of a file to the one RGB picture every step sees.

First frame; the file decoded to its last byte; EXIF orientation applied; palette and alpha composed on white; CMYK through
its ICC profile if it has one, else Pillow's conversion; 16-bit scaled to 8; then RGB.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageChops, ImageCms, UnidentifiedImageError

# Part of every feature set's digest, and of what ingest remembers of a file. Raise it when a change here changes a pixel,
# the chroma or the perceptual hash.
RULES_VERSION = 1

# Pillow's warnings are either errors below or harmless. Threads decode, so the filter is set once.
warnings.filterwarnings("ignore", module=r"PIL\.")

# The formats that are read: raster images, the usual ones first. Other formats of Pillow are left out: it hands EPS to
# Ghostscript as a program, IPTC opens whatever is inside it, and the rest hold no picture that Pillow can decode by itself.
FORMATS = (
    "JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA", "PSD", "ICO", "ICNS", "DIB", "DDS",
    "BLP", "CUR", "DCX", "FITS", "FLI", "FTEX", "GBR", "IM", "IMT", "MCIDAS", "MSP", "PCD", "PCX", "PIXAR", "QOI", "SGI",
    "SPIDER", "SUN", "XBM", "XPM", "XVTHUMB",
)  # fmt: skip
_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6", b"%!\n", b"\x04%!PS")

# Pillow's own limit: above it, Pillow warns of a decompression bomb.
MAX_PIXELS = 89_478_485
# Bytes of the largest file, whatever its pixels. A higher pixel limit allows more, at 16 bytes a pixel.
MAX_BYTES = 1 << 30

# A picture is grey when the channels of at least 99 % of its pixels are this close together. JPEG compression moves
# the channels of a grey picture by a few steps; the palest colour photographs measured differ by 15.
GREY_CHROMA = 8
GREY_PERCENTILE = 0.99

MISSING = "missing: no such file"

CONTENT_ID_BYTES = 16  # of a SHA-256


class UnreadableImage(Exception):
    """A file that gives no picture; the message is the reason, fit for ``failures.reason``."""


@dataclass(frozen=True)
class Picture:
    """A decoded file. ``image`` is RGB and upright; ``width`` and ``height`` are its size as displayed."""

    image: Image.Image
    content_id: str
    bytes: int
    format: str
    mode: str
    frames: int

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


def locate(root: Path, path: str) -> Path:
    """The file that a catalogue path names; it must lie in ``root``.

    Raises:
        UnreadableImage: the path is empty, absolute, or leaves ``root``, by itself or through a link.
    """
    if not path:
        raise UnreadableImage("no path given in this row")
    from store import places  # not for those who have this module with a model

    if PurePosixPath(path).is_absolute() or Path(path).is_absolute():
        raise UnreadableImage("absolute path: expected one relative to the image folder")
    if "\0" in path:
        raise UnreadableImage("not a path: it holds a NUL character")
    whole = root / path
    try:
        is_inside = places.is_inside(whole, root)
    except OSError as error:
        raise UnreadableImage(f"not a usable path: {error.strerror}") from error
    if not is_inside:
        raise UnreadableImage("leaves the image folder, by its path or through a link")
    return whole


def suffixes() -> frozenset[str]:
    """File name suffixes of the formats that are read, in lower case."""
    return frozenset(
        ending for ending, format_ in Image.registered_extensions().items() if format_ in (*FORMATS, "MPO")
    )


def most_bytes(max_pixels: int) -> int:
    """The largest file to read, in bytes, if pictures may have ``max_pixels`` pixels."""
    return max(MAX_BYTES, 16 * max_pixels)


def read_bytes(file: Path, *, most: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file, or of the regular file that a link leads to.

    Raises:
        UnreadableImage: the file is missing, empty, larger than ``most`` bytes or than it says, a folder, a special file, or not
            permitted.
    """
    return _read(file, None, most)[0]


def read_inside(root: Path, path: str, *, most: int = MAX_BYTES) -> tuple[bytes, int]:
    """The bytes of the file that a catalogue path names, and its mtime in nanoseconds since 1970.

    Raises:
        UnreadableImage: as for :func:`locate` and :func:`read_bytes`. A link put there in between is not followed.
    """
    return _read(locate(root, path), root, most)


def _read(file: Path, below: Path | None, most: int) -> tuple[bytes, int]:
    from store import opening, places  # only where files may be a stranger's: this module is also shipped with models

    try:
        if below is not None:
            file, below = places.real_path(file), places.real_path(below)
        with opening.open_regular(file, below=below, follow=below is None) as opened:
            status = os.fstat(opened.fileno())
            if status.st_size > most:
                raise UnreadableImage(f"{status.st_size} bytes, over the limit of {most}: expected an image file")
            # no more than its stated size: a file of the system may state none, and have no end
            data = (opened.read(status.st_size + 1) or b"") if status.st_size else b""
    except FileNotFoundError:
        raise UnreadableImage(MISSING) from None
    except opening.NotRegular as error:
        is_folder = error.errno == errno.EISDIR
        what = "a folder, expected an image file" if is_folder else f"not a regular file: {error.strerror}"
        raise UnreadableImage(what) from None
    except ValueError:
        raise UnreadableImage("not a path: it holds a NUL character") from None
    except MemoryError:
        raise UnreadableImage("needs more memory to read than there is") from None
    except OSError as error:
        raise UnreadableImage(f"cannot be read: {error.strerror or error}") from error
    if not data:
        raise UnreadableImage("empty file")
    if len(data) > status.st_size:
        raise UnreadableImage("grew while it was read: expected an image file that nobody writes to")
    return data, status.st_mtime_ns


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
def _formats() -> tuple[str, ...]:
    """The available ones of :data:`FORMATS`: with a model, this file may meet an older Pillow that knows fewer."""
    Image.init()
    return tuple(one for one in FORMATS if one in Image.OPEN)


def looks_like_picture(data: bytes) -> bool:
    """Whether a file begins like a picture; nothing is decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=_formats()):
            return True
    except Exception:  # Pillow's readers raise nearly anything on damaged input
        return False


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Picture:
    """Decode a file by the rules above; a JPEG may come smaller, its shorter side not below ``at_least`` pixels.

    Raises:
        UnreadableImage: the file is not an image, is truncated or damaged, or has more than ``max_pixels`` pixels.
    """
    try:
        with _pillow_limit(max_pixels), Image.open(io.BytesIO(data), formats=_formats()) as opened:
            if opened.width * opened.height > max_pixels:
                raise UnreadableImage(f"{opened.width}x{opened.height} pixels, over the pixel limit of {max_pixels}")
            if at_least is not None:
                opened.draft(None, (at_least, at_least))
            opened.load()
            format_, mode = opened.format or "", opened.mode
            frames = int(getattr(opened, "n_frames", 1))
            opened.seek(0)  # in some formats, counting the frames moves the position
            image = to_rgb(opened)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        if data.startswith(_POSTSCRIPT):
            raise UnreadableImage("PostScript, which is a program and is not run: save it as PNG or TIFF") from None
        raise UnreadableImage("not an image, or of a format that Pillow does not know") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"over the pixel limit of {max_pixels}") from None
    except MemoryError:
        raise UnreadableImage("needs more memory to decode than there is") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged input
        raise UnreadableImage(f"cannot be decoded: {str(error) or type(error).__name__}") from error
    return Picture(image, content_id(data), len(data), format_, mode, frames)


def decode_content(
    root: Path, content: str, paths: list[str], *, max_pixels: int = MAX_PIXELS, at_least: int | None = None
) -> Picture:
    """Decode a content from the first of its equal files (``paths`` below ``root``) that still holds it.

    Raises:
        UnreadableImage: none of them does; the message is the reason of the last.
    """
    reason = "in no file of the catalogue"
    for path in paths:
        try:
            data, _ = read_inside(root, path, most=most_bytes(max_pixels))
            if content_id(data) == content:
                return decode(data, max_pixels=max_pixels, at_least=at_least)
            reason = "changed since it was ingested: run 'coldframe ingest' again"
        except UnreadableImage as error:
            reason = str(error)
    raise UnreadableImage(reason)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded image of any mode to RGB: compose it on white, convert it and turn it upright."""
    return _upright(_convert(image), image)


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
    if image.mode.startswith("I"):
        return _scale_16_bit(image).convert("RGB")
    if image.mode in ("PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return image.convert("RGB")


def _scale_16_bit(image: Image.Image) -> Image.Image:
    """Scale grey levels from 0-65535 to 0-255; Pillow would clip them."""
    levels = np.asarray(image).astype(np.float64) / 257.0
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


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


def chroma(image: Image.Image) -> int:
    """The 99th percentile over pixels of max(R, G, B) - min(R, G, B), 0 to 255: how much colour there is."""
    red, green, blue = image.split()
    highest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    lowest = ImageChops.darker(ImageChops.darker(red, green), blue)
    counts = np.cumsum(ImageChops.subtract(highest, lowest).histogram())
    return int(np.searchsorted(counts, GREY_PERCENTILE * counts[-1]))


def perceptual_hash(image: Image.Image) -> str:
    """The 64-bit perceptual hash (DCT) of a picture, in hex."""
    import imagehash  # needed only to look for copies: this file is also shipped with models

    return str(imagehash.phash(image))


def resize(image: Image.Image, height: int, width: int) -> Image.Image:
    """Bilinear, antialiased, aspect not kept: the resize for Keras backbones."""
    return image.resize((width, height), Image.Resampling.BILINEAR)
