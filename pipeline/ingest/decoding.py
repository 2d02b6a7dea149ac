"""Read a file below an image folder, and decode it by the rules of :mod:`pipeline.ingest.pixels`."""

from __future__ import annotations

import errno
import inspect
import os
import re
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageChops

from pipeline.ingest import other_files, pixels, repairs, samples
from pipeline.ingest.pixels import ALIKE as ALIKE
from pipeline.ingest.pixels import CONTENT_ID_BYTES as CONTENT_ID_BYTES
from pipeline.ingest.pixels import FORMATS as FORMATS
from pipeline.ingest.pixels import MAX_PIXELS as MAX_PIXELS
from pipeline.ingest.pixels import RULES_VERSION as RULES_VERSION
from pipeline.ingest.pixels import Picture as Picture
from pipeline.ingest.pixels import UnreadableImage as UnreadableImage
from pipeline.ingest.pixels import content_id as content_id
from pipeline.ingest.pixels import decode as decode
from pipeline.ingest.pixels import looks_like_picture as looks_like_picture
from pipeline.ingest.pixels import resize as resize
from store import opening, places

# Bytes of the largest file, whatever its pixels. A higher pixel limit allows more, at 16 bytes a pixel.
MAX_BYTES = 1 << 30

# A picture is grey when the channels of at least 99 % of its pixels are this close together. JPEG compression moves
# the channels of a grey picture by a few steps; the palest colour photographs measured differ by 15.
GREY_CHROMA = 8
GREY_PERCENTILE = 0.99

HEIC_ENDINGS = frozenset({".heic", ".heif", ".hif"})
ABSOLUTE = "absolute path: expected one relative to the image folder"
LEAVES = "leaves the image folder, by its path or through a link"
CHANGED = "changed since it was ingested: run 'coldframe ingest' again"  # which then reads the file, whatever its size and time
MISSING = "missing: no such file"


class FollowedFolder(type(Path())):  # type: ignore[misc]
    """An image folder whose links are followed wherever they lead, since somebody asked for it."""


def folder(path: str | Path, *, follow_links: bool) -> Path:
    """The image folder at ``path``."""
    return FollowedFolder(path) if follow_links else Path(path)


def locate(root: Path, path: str) -> Path:
    """The file that a catalogue path names; it must lie in ``root``, links of a :class:`FollowedFolder` apart.

    Raises:
        UnreadableImage: the path is empty, absolute, or leaves ``root``, by itself or through a link.
    """
    if not path:
        raise UnreadableImage("no path given in this row")
    if PurePosixPath(path).is_absolute() or Path(path).is_absolute():
        raise UnreadableImage(ABSOLUTE)
    if "\0" in path:
        raise UnreadableImage("not a path: it holds a NUL character")
    whole = root / path
    try:
        is_inside = places.is_inside(whole, root)
    except OSError as error:
        raise UnreadableImage(f"not a usable path: {error.strerror}") from error
    if not is_inside and not (isinstance(root, FollowedFolder) and ".." not in PurePosixPath(path).parts):
        raise UnreadableImage(LEAVES)
    return whole


def suffixes() -> frozenset[str]:
    """File name suffixes of the formats that are read, in lower case; those of HEIC also where its extra is missing."""
    known = Image.registered_extensions()
    return HEIC_ENDINGS.union(ending for ending, format_ in known.items() if format_ in (*FORMATS, "MPO"))


def as_one_file() -> str:
    """The decoding rules as one program that needs Pillow and NumPy alone, for those who have a model but not coldframe."""
    texts = [inspect.getsource(module) for module in (other_files, repairs, samples, pixels)]
    imports = re.compile(r"^from (__future__|pipeline\.ingest\.\w+) import .*\n", re.MULTILINE)
    return "from __future__ import annotations\n\n" + "\n\n".join(imports.sub("", text) for text in texts)


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
    return _read(locate(root, path), None if isinstance(root, FollowedFolder) else root, most)


def _read(file: Path, below: Path | None, most: int) -> tuple[bytes, int]:
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
            reason = CHANGED
        except UnreadableImage as error:
            reason = str(error)
    raise UnreadableImage(reason)


def chroma(image: Image.Image) -> int:
    """The 99th percentile over pixels of max(R, G, B) - min(R, G, B), 0 to 255: how much colour there is."""
    red, green, blue = image.split()
    highest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    lowest = ImageChops.darker(ImageChops.darker(red, green), blue)
    counts = np.cumsum(ImageChops.subtract(highest, lowest).histogram())
    return int(np.searchsorted(counts, GREY_PERCENTILE * counts[-1]))


def perceptual_hash(image: Image.Image) -> str:
    """The 64-bit perceptual hash (DCT) of a picture, in hex."""
    import imagehash  # which takes its time

    return str(imagehash.phash(image))
