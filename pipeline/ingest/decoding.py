"""The decoding rules: from the bytes of a file to the one RGB picture every step sees.

First frame; the file decoded to its last byte; EXIF orientation applied; palette and alpha composed on white; CMYK through
its ICC profile if it has one, else Pillow's conversion; 16-bit scaled to 8; then RGB.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageChops, ImageCms, UnidentifiedImageError

# Part of every feature set's digest, and of what ingest remembers of a file: raise it when a change here changes a pixel,
# the chroma or the perceptual hash.
RULES_VERSION = 1

# What Pillow warns of is either an error below or of no consequence; threads decode, so this is set once.
warnings.filterwarnings("ignore", module=r"PIL\.")

# The formats that are read: pictures of pixels, the usual ones first. Of the others that Pillow knows, EPS is a program that it
# hands to Ghostscript, IPTC opens whatever is inside it, and the rest hold no picture that Pillow could decode by itself.
FORMATS = (
    "JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA", "PSD", "ICO", "ICNS", "DIB", "DDS",
    "BLP", "CUR", "DCX", "FITS", "FLI", "FTEX", "GBR", "IM", "IMT", "MCIDAS", "MSP", "PCD", "PCX", "PIXAR", "QOI", "SGI",
    "SPIDER", "SUN", "XBM", "XPM", "XVTHUMB",
)  # fmt: skip
# The least of what a file is read by: one that grows, or whose size is not known, is read on piece by piece.
_PIECE = 1 << 20
_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6", b"%!\n", b"\x04%!PS")

# Pillow's own limit, beyond which it warns of a decompression bomb.
MAX_PIXELS = 89_478_485
# Bytes of the largest file, whatever its pixels; more pixels allow more, at 16 bytes each.
MAX_BYTES = 1 << 30

# A picture is grey when at least 99 % of its pixels have channels this close together: JPEG compression
# moves the channels of a grey picture by a few steps, the palest colour photographs measured differ by 15.
GREY_CHROMA = 8
GREY_PERCENTILE = 0.99

MISSING = "missing: no such file"

CONTENT_ID_BYTES = 16  # of a SHA-256


class UnreadableImage(Exception):
    """A file that gives no picture; the message is the reason, fit for ``failures.reason``."""


@dataclass(frozen=True)
class Picture:
    """A decoded file. ``image`` is RGB and upright; ``width`` and ``height`` are its size as it is shown."""

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
    """The file a catalogue path names, which must lie in ``root``.

    Raises:
        UnreadableImage: the path is empty, absolute, or leaves ``root``, by itself or through a link.
    """
    if not path:
        raise UnreadableImage("no path given in this row")
    if PurePosixPath(path).is_absolute() or Path(path).is_absolute():
        raise UnreadableImage("absolute path: expected one relative to the image folder")
    if "\0" in path:
        raise UnreadableImage("not a path: it holds a NUL character")
    whole = root / path
    try:
        inside = whole.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:
        raise UnreadableImage(f"not a usable path: {error}") from error
    if not inside:
        raise UnreadableImage("leaves the image folder, by its path or through a link")
    return whole


def suffixes() -> frozenset[str]:
    """The endings, in lower case, of the names of files of the formats that are read."""
    return frozenset(
        ending for ending, format_ in Image.registered_extensions().items() if format_ in (*FORMATS, "MPO")
    )


def most_bytes(max_pixels: int) -> int:
    """Bytes of the largest file to read where pictures may have so many pixels."""
    return max(MAX_BYTES, 16 * max_pixels)


def read_bytes(file: Path, *, most: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file, or of one that a link leads to.

    Raises:
        UnreadableImage: missing, empty, of more than ``most`` bytes, a folder, another special file, or not permitted.
    """
    return _read(file, None, most)[0]


def read_inside(root: Path, path: str, *, most: int = MAX_BYTES) -> tuple[bytes, int]:
    """The bytes of the file that a catalogue path names, and when they were last written, in nanoseconds since 1970.

    Raises:
        UnreadableImage: as :func:`locate` and :func:`read_bytes` say. A link that was put there in between leads nowhere.
    """
    try:
        file = locate(root, path).resolve()
    except (OSError, RuntimeError) as error:
        raise UnreadableImage(f"not a usable path: {error}") from error
    return _read(file, root.resolve(), most)


def _read(file: Path, below: Path | None, most: int) -> tuple[bytes, int]:
    from store import opening  # only where pictures lie in files of a stranger: this file goes with models

    try:
        with opening.open_regular(file, below=below, follow=below is None) as opened:
            status = os.fstat(opened.fileno())
            if status.st_size > most:
                raise UnreadableImage(f"{status.st_size} bytes, over the limit of {most}: expected an image file")
            # no more is set aside than the file says it has
            pieces, held = [opened.read(min(most, status.st_size) + 1)], 0
            while pieces[-1] and (held := held + len(pieces[-1])) <= most:
                pieces.append(opened.read(_PIECE) or b"")
            data = b"".join(pieces) if len(pieces) > 2 else pieces[0]
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
    if len(data) > most:  # it grows
        raise UnreadableImage(f"over the limit of {most} bytes: expected an image file")
    return data, status.st_mtime_ns


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of :data:`FORMATS` that there are: an older Pillow, where this file goes with a model, knows fewer."""
    Image.init()
    return tuple(one for one in FORMATS if one in Image.OPEN)


def looks_like_picture(data: bytes) -> bool:
    """Whether a file begins as a picture does, without decoding it."""
    try:
        with Image.open(io.BytesIO(data), formats=_formats()):
            return True
    except Exception:  # Pillow's readers raise nearly anything on damaged input
        return False


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a file by the rules above.

    Raises:
        UnreadableImage: not an image, truncated or damaged, or of more than ``max_pixels`` pixels.
    """
    Image.MAX_IMAGE_PIXELS = max_pixels  # Pillow guards the pictures inside pictures (icons) by it
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as opened:
            if opened.width * opened.height > max_pixels:
                raise UnreadableImage(f"{opened.width}x{opened.height} pixels, over the pixel limit of {max_pixels}")
            opened.load()
            format_, mode = opened.format or "", opened.mode
            frames = int(getattr(opened, "n_frames", 1))
            opened.seek(0)  # counting the frames of some formats moves on
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


def decode_content(root: Path, content: str, paths: list[str], *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a content by the first of its equal files, ``paths`` below ``root``, that still holds it.

    Raises:
        UnreadableImage: none does; the message is the reason of the last.
    """
    reason = "in no file of the catalogue"
    for path in paths:
        try:
            data, _ = read_inside(root, path, most=most_bytes(max_pixels))
            if content_id(data) == content:
                return decode(data, max_pixels=max_pixels)
            reason = "changed since it was ingested: run 'coldframe ingest' again"
        except UnreadableImage as error:
            reason = str(error)
    raise UnreadableImage(reason)


def to_rgb(image: Image.Image) -> Image.Image:
    """Compose, convert and turn a loaded image of any mode into an upright RGB one."""
    return _upright(_convert(image), image)


def _upright(converted: Image.Image, original: Image.Image) -> Image.Image:
    try:
        orientation = original.getexif().get(_EXIF_ORIENTATION)
        if orientation in _TRANSPOSITIONS:
            return converted.transpose(_TRANSPOSITIONS[orientation])
    except Exception:  # damaged EXIF says nothing; the pixels are fine
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
    """Grey levels 0-65535 to 0-255; Pillow would clip them."""
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
        return image.convert("RGB")  # a damaged profile, or one for another kind of ink
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
    import imagehash  # only for those who look for copies: this file goes with models

    return str(imagehash.phash(image))


def resize(image: Image.Image, height: int, width: int) -> Image.Image:
    """Bilinear, antialiased, aspect not kept: how pictures reach a Keras backbone."""
    return image.resize((width, height), Image.Resampling.BILINEAR)
