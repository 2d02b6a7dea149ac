"""Leave out metadata before Pillow sees it: what is damaged there, or of no use here, is no reason to lose a picture."""

from __future__ import annotations

import re
import struct
import zlib

PNG_BEGINS = b"\x89PNG\r\n\x1a\n"
ANIMATION = (b"acTL", b"fcTL", b"fdAT")
USED_AS_IS = (b"eXIf", b"sBIT")
USED_TEXTS = re.compile(rb"(Raw profile type exif|XML:com\.adobe\.xmp)\0")  # they may say which side is up
TEXT_BYTES = 1 << 20  # of the longest that Pillow reads
OF_COLOURS = {0xE0: 14, 0xEE: 12}  # segments of a JPEG that say its colours, if they are as long as this


def variants(data: bytes) -> list[bytes]:
    """The bytes of a file to decode, and the same with less beside its pixels, to be tried if the first give no picture."""
    if data.startswith(PNG_BEGINS):
        return list(dict.fromkeys((pixels_of_png(data, animation=True), pixels_of_png(data, animation=False))))
    if data.startswith(b"\xff\xd8"):
        return list(dict.fromkeys((data, pixels_of_jpeg(data))))
    return [data]


def pixels_of_png(data: bytes, *, animation: bool) -> bytes:
    """A PNG without the chunks that are damaged, and those that neither change a pixel nor say which side is up.

    Text that inflates to more than :data:`TEXT_BYTES` is left out without being inflated further.
    """
    view, at, kept = memoryview(data), len(PNG_BEGINS), [memoryview(PNG_BEGINS)]
    seen: dict[bytes, int] = {}  # lengths, by kind and keyword
    has_palette = data[25:26] == b"\3"
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body, end = view[at + 8 : at + 8 + length], at + 12 + length
        if not kind[0] & 0x20 and (kind != b"PLTE" or has_palette):  # nothing is whole without it
            kept.append(view[at:end])
            seen[kind] = length
        elif end <= len(data) and zlib.crc32(body, zlib.crc32(kind)) == int.from_bytes(view[end - 4 : end]):
            name = _use(kind, body, colours=data[25], palette=seen.get(b"PLTE", 0), animation=animation)
            if name and name not in seen and (kind != b"tRNS" or b"IDAT" not in seen):
                kept.append(view[at:end])
                seen.update({} if kind in ANIMATION else {name: length})
        at = end
        if kind == b"IEND":
            break
    return b"".join(kept)


def _use(kind: bytes, body: memoryview, *, colours: int, palette: int, animation: bool) -> bytes | None:
    """What a whole chunk of a PNG is to be known by, if it is of use."""
    if kind in USED_AS_IS or (animation and kind in ANIMATION):
        return kind
    if kind == b"tRNS":  # transparency: one sample of grey, three of RGB, or at most one for each colour of the palette
        lengths = {0: (2,), 2: (6,), 3: range(1, palette // 3 + 1)}
        return kind if len(body) in lengths.get(colours, ()) else None
    if kind not in (b"tEXt", b"zTXt", b"iTXt"):
        return None
    keyword = USED_TEXTS.match(body[:32])
    return keyword[1] if keyword and _is_short(kind, body[keyword.end() :]) else None


def _is_short(kind: bytes, text: memoryview) -> bool:
    """Whether Pillow reads the text of a chunk, which follows its keyword: a few bytes may inflate to many."""
    if len(text) > TEXT_BYTES:
        return False
    if kind == b"tEXt" or (kind == b"iTXt" and bytes(text[:1]) == b"\0"):
        return True
    # after the method, 0 for zlib; in iTXt also a flag before it, and a language and a translated keyword behind it
    packed = bytes(text[1:]) if kind == b"zTXt" else bytes(text[2:]).split(b"\0", 2)[-1]
    method = bytes(text[:1] if kind == b"zTXt" else text[1:2])
    try:
        return method == b"\0" and len(zlib.decompressobj().decompress(packed, TEXT_BYTES + 1)) <= TEXT_BYTES
    except zlib.error:
        return False


def pixels_of_jpeg(data: bytes) -> bytes:
    """A JPEG without comments and the segments of applications, but for those that say its colours and which side is up."""
    at, kept = 2, [data[:2]]
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (0xD9, 0xDA):
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4])
        is_profile = data.startswith(b"ICC_PROFILE\0", at + 4) and end >= at + 18  # with its number and their count
        is_used = end - at - 4 >= OF_COLOURS.get(marker, 1 << 16) or is_profile or data.startswith(b"Exif\0", at + 4)
        if is_used or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[at:end])
        at = end
    return b"".join((*kept, data[at:]))
