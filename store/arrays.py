"""Arrays out of an ``.npz`` file, and archives of any kind, that may come from a stranger.

The directory of the archive and the header of each array are checked before anything is made of them: what is read takes no
more memory than the file has bytes, whatever the file claims. Nothing in it is run or unpickled.
"""

from __future__ import annotations

import math
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from store import opening
from store.errors import ColdframeError
from store.memory import memory_bytes

Array = npt.NDArray[Any]

KINDS = "biufU"  # truth values, numbers and text
MOST_DIMENSIONS = 8
MOST_DIRECTORY = 4 << 20  # bytes of an archive's directory: tens of thousands of arrays
MEMORY_SHARE = 0.5  # of the memory, that all arrays of a file may take
CODES_AT_ONCE = 1 << 20
END = ".npy"
# The record at the end of an archive, what leads to the one for large archives, and that one; of each the size of the list of
# members and its place, or the place of the next.
_LAST, _LOCATOR, _LAST_64 = struct.Struct("<12x2L2x"), struct.Struct("<8xQ4x"), struct.Struct("<40x2Q")
OTHER_NAME = 0x7075  # the extra field with another name for a member, which some readers heed and some do not


class Malformed(ColdframeError):
    """A file that does not hold what it should; the message is the reason, without the file's name."""


def read(path: Path) -> dict[str, Array]:
    """The arrays of an ``.npz`` file as :func:`numpy.savez` writes it, by name.

    Raises:
        Malformed: it is no regular file, no such archive, or holds something else than plain arrays.
    """
    try:
        with opening.open_regular(path) as file:
            return parse(file)
    except OSError as error:
        raise Malformed(error.strerror or "cannot be read") from error


def parse(file: BinaryIO) -> dict[str, Array]:
    """The arrays in an ``.npz`` file that is open, or in memory.

    Raises:
        Malformed: as :func:`read`.
    """
    try:
        return _read(file)
    except Malformed:
        raise
    except OSError as error:
        raise Malformed(error.strerror or "cannot be read") from error
    except MemoryError:
        raise Malformed("it needs more memory than there is") from None
    except Exception as error:  # parsers of archives and of headers raise kinds of their own
        raise Malformed(f"not an .npz file, or a damaged one: {' '.join(str(error).split())[:200]}") from error


def is_text(array: Array, *, dimensions: int = 1) -> bool:
    """Whether an array holds text in so many dimensions."""
    return array.dtype.kind == "U" and array.ndim == dimensions


def is_float(array: Array, *, dimensions: int) -> bool:
    """Whether an array holds finite floating-point numbers in so many dimensions."""
    return array.dtype.kind == "f" and array.ndim == dimensions and bool(np.isfinite(array).all())


def is_count(array: Array, *, most: int) -> bool:
    """Whether an array is one whole number from 1 to ``most``."""
    return array.dtype.kind in "iu" and array.ndim == 0 and 1 <= int(array) <= most


def largest(*, copies: int = 1) -> int:
    """Bytes of the largest file that is read, where so many times its bytes are in memory at once."""
    return int(MEMORY_SHARE * memory_bytes()) // copies


def archive(file: BinaryIO) -> zipfile.ZipFile:
    """An archive that unpacks to no more than it has: each member stands in it as it is, once, and beside the others. The file is
    nothing else than that.

    Raises:
        Malformed: it is no such archive.
    """
    size = file.seek(0, 2)
    _check_ends(file, size)
    opened = zipfile.ZipFile(cast(BinaryIO, _Sparing(file)))
    members = opened.infolist()
    # some readers look for a name without regard to case, so two that differ in nothing else are one
    if len({one.filename.casefold() for one in members}) < len(members):
        raise Malformed("two things of one name in it")
    for one in members:
        if one.filename != one.orig_filename or one.flag_bits & 1:
            raise Malformed(f"{one.filename[:100]!r} in it is encrypted, or its name is no text")
        if OTHER_NAME in extra_fields(one):
            raise Malformed(f"{one.filename[:100]!r} in it has a second name")
        if one.compress_type != zipfile.ZIP_STORED or one.compress_size != one.file_size:
            raise Malformed(f"{one.filename[:100]!r} in it is compressed, which nothing here writes")
    # members may not lie over each other either: that would be another way to unpack to more than the file has
    if sum(one.file_size for one in members) > size:
        raise Malformed("it claims more bytes than it has")
    return opened


def _check_ends(file: BinaryIO, size: int) -> None:
    """Check that a file begins as an archive and has one list of its members, right before its end. Else it could be another kind
    of file as well, or one whose list is another for other readers.

    Raises:
        Malformed: it is not so.
    """
    tail = min(size, _LAST.size + _LOCATOR.size + _LAST_64.size)
    file.seek(size - tail)
    last = file.read(tail)
    file.seek(0)
    begins = file.read(4) == b"PK\3\4" or size == _LAST.size  # one without members is its list alone
    end = size - _LAST.size
    if begins and tail >= _LAST.size and last[-_LAST.size :].startswith(b"PK\5\6"):
        length, begin = _LAST.unpack(last[-_LAST.size :])
        if last[: -_LAST.size][-_LOCATOR.size :].startswith(b"PK\6\7") and tail > _LAST.size + _LOCATOR.size:
            end -= _LOCATOR.size + _LAST_64.size
            (at,) = _LOCATOR.unpack(last[: -_LAST.size][-_LOCATOR.size :])
            length, begin = _LAST_64.unpack(last[: _LAST_64.size])
            # without its signature it counts for nobody, and Python then looks elsewhere than others
            begin = begin if at == end and last.startswith(b"PK\6\6") else -1
        if begin + length == end and begin >= 0:
            return
    raise Malformed("it is no archive, or has something before, behind or between its members and their list")


def extra_fields(member: zipfile.ZipInfo) -> list[int]:
    """The kinds of the extra fields that an archive's directory has for a member; the last is -1 if they end in the middle."""
    kinds, rest = list[int](), member.extra
    while rest:
        length = 4 + int.from_bytes(rest[2:4], "little")
        kinds.append(int.from_bytes(rest[:2], "little") if 4 <= length <= len(rest) else -1)
        rest = rest[length:]
    return kinds


def _read(file: BinaryIO) -> dict[str, Array]:
    size = file.seek(0, 2)
    if size > largest():
        raise Malformed(f"its {size} bytes are more than this machine can hold in memory")
    with archive(file) as opened:
        members = opened.infolist()
        for one in members:
            if not one.filename.endswith(END):
                raise Malformed(f"{one.filename[:100]!r} in it is no array")
        return {one.filename.removesuffix(END): _array(opened, one) for one in members}


class _Sparing:
    """A file that is never read in larger pieces than an archive's directory may have."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(MOST_DIRECTORY + 1 if count < 0 else min(count, MOST_DIRECTORY + 1))
        if len(data) > MOST_DIRECTORY:
            raise Malformed("its directory or a header is too large")
        return data


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """One array, once its header says what fits the bytes that are there."""
    name = member.filename[:100]
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in headers:
            raise Malformed(f"{name!r} is of a version that holds no plain array")
        shape, _, dtype = headers[version](file)
        if dtype.kind not in KINDS or dtype.hasobject or dtype.subdtype or not dtype.itemsize:
            raise Malformed(f"{name!r} holds neither numbers nor text")
        if len(shape) > MOST_DIMENSIONS or any(side < 0 for side in shape):
            raise Malformed(f"{name!r} has a shape that no array has")
        if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise Malformed(f"{name!r} claims {' x '.join(map(str, shape))[:100]} values, which are not there")
    with archive.open(member) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    if dtype.kind == "U":
        codes = array.ravel(order="K").view(np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        for start in range(0, len(codes), CODES_AT_ONCE):
            some = codes[start : start + CODES_AT_ONCE]
            if ((some > 0x10FFFF) | ((some >= 0xD800) & (some <= 0xDFFF))).any():
                raise Malformed(f"{name!r} holds what is no text")
    return array.astype(dtype.newbyteorder("="), copy=False)
