"""Pictures whose pixels are whole and whose metadata is not: read, as by other decoders."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from pipeline.ingest.decoding import UnreadableImage, decode
from pipeline.runtime import quiet
from tests.support.coldframe import Catalogue, Coldframe, picture

BEGINS = b"\x89PNG\r\n\x1a\n"
Chunk = tuple[bytes, bytes, bool]  # kind, body, whether its checksum is right


def drawn(mode: str = "RGB") -> Image.Image:
    return picture("moth", 3, (24, 18)).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes, is_right: bool = True) -> bytes:
    checksum = zlib.crc32(kind + body) ^ (0 if is_right else 0x5A5A)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    at, found = 8, []
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def with_chunks(data: bytes, more: list[Chunk], before: bytes = b"IDAT") -> bytes:
    """A PNG with chunks put before the first of a kind."""
    whole, put = BEGINS, False
    for kind, body in chunks_of(data):
        if kind == before and not put:
            whole, put = whole + b"".join(chunk(*one) for one in more), True
        whole += chunk(kind, body)
    return whole


BOMB = zlib.compress(b"\0" * (4 << 20))
DAMAGED: dict[str, list[Chunk]] = {
    "a wrong checksum in iCCP": [(b"iCCP", b"name\0\0" + zlib.compress(b"x" * 200), False)],
    "a wrong checksum in tEXt": [(b"tEXt", b"Author\0me", False)],
    "a wrong checksum in pHYs": [(b"pHYs", struct.pack(">IIB", 2835, 2835, 1), False)],
    "a short pHYs": [(b"pHYs", b"\0", True)],
    "a short gAMA and cHRM": [(b"gAMA", b"", True), (b"cHRM", b"\0\1", True)],
    "a profile of another compression": [(b"iCCP", b"name\0\7" + zlib.compress(b"x"), True)],
    "a profile that is none": [(b"iCCP", b"name\0\0" + zlib.compress(b"not a profile"), True)],
    "a profile that cannot be inflated": [(b"iCCP", b"name\0\0????", True)],
    "a text of another compression": [(b"zTXt", b"Comment\0\7" + zlib.compress(b"x"), True)],
    "a text that inflates beyond the limit": [(b"zTXt", b"Comment\0\0" + BOMB, True)],
    "such a text that may hold EXIF": [(b"zTXt", b"Raw profile type exif\0\0" + BOMB, True)],
    "such a text that may hold XMP": [(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB, True)],
    "a profile that inflates beyond the limit": [(b"iCCP", b"name\0\0" + BOMB, True)],
    "too much text": [(b"tEXt", b"Comment\0" + b"x" * (1 << 20), True)] * 70,
    "an animation of no frames": [(b"acTL", bytes(8), True)],
    "an animation with a frame elsewhere": [(b"acTL", struct.pack(">II", 2, 0), True), (b"fcTL", b"\xff" * 26, True)],
    "transparency of another kind": [(b"tRNS", b"\0", True)],
    "a palette beside true colours": [(b"PLTE", b"\0\0", False)],
    "EXIF that is none": [(b"eXIf", b"nothing of the kind", True)],
}  # fmt: skip


@pytest.mark.variants
@pytest.mark.parametrize("kind", DAMAGED)
def test_a_png_with_whole_pixels_is_read(kind: str) -> None:
    data = encoded(drawn())
    for before in (b"IDAT", b"IEND"):
        found = decode(with_chunks(data, DAMAGED[kind], before))
        assert np.array_equal(np.asarray(found.image), np.asarray(drawn())), kind


def test_ingest_reads_them_and_not_those_with_damaged_pixels(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.rows.clear()
    data = encoded(drawn())
    right = with_chunks(data, [one for chunks in DAMAGED.values() for one in chunks if len(one[1]) < 9999])
    damaged = bytearray(data)
    damaged[data.find(b"IDAT") + 40] ^= 0xFF
    files = {"right": right, "cut": data[:-60], "damaged": bytes(damaged), "named": encoded(drawn(), "JPEG")}
    for name, content in files.items():
        catalogue.add(name, "moth", name=f"{name}.png").write_bytes(content)
    catalogue.write()
    cf.ingest(catalogue, code=3)
    assert [row["image_id"] for row in cf.rows("select image_id from images order by 1")] == ["named", "right"]


def test_what_says_which_side_is_up_is_kept() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = np.asarray(drawn().transpose(Image.Transpose.ROTATE_270))
    said = encoded(drawn(), exif=exif)
    assert np.array_equal(np.asarray(decode(with_chunks(said, DAMAGED["a wrong checksum in iCCP"])).image), turned)
    text = PngImagePlugin.PngInfo()
    xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    text.add_itxt("XML:com.adobe.xmp", xmp, zip=True)
    assert np.array_equal(np.asarray(decode(encoded(drawn(), pnginfo=text)).image), turned)


@pytest.mark.parametrize("marker", [0xE0, 0xEE])
def test_a_jpeg_with_a_segment_that_is_too_short_is_read(marker: int) -> None:
    """What says the colours of a JPEG says nothing if it is cut off: other decoders pass over it."""
    data = encoded(drawn(), "JPEG", quality=95)
    begin = 2 + 2 + int.from_bytes(data[4:6])  # behind the segment of Pillow's own
    name = b"JFIF\0" if marker == 0xE0 else b"Adobe"
    short = bytes([0xFF, marker]) + (2 + len(name)).to_bytes(2) + name
    assert (np.asarray(decode(data[:2] + short + data[begin:]).image) == np.asarray(decode(data).image)).all()


@pytest.mark.parametrize("marker", [0xE1, 0xE2, 0xED, 0xFE])
def test_a_jpeg_with_damaged_segments_is_read(marker: int) -> None:
    data = encoded(drawn(), "JPEG", quality=95)
    right = np.asarray(decode(data).image)
    for body in (
        b"MPF\0MM\0*\0\0\0\x08\0\x03",
        b"Photoshop 3.0\0008BIM\4\4",
        b"ICC_PROFILE\0",
        b"Exif\0\0II*\0\xff\xff",
        b"",
    ):
        segment = bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
        assert np.array_equal(np.asarray(decode(data[:2] + segment + data[2:]).image), right), body


KINDS = [b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"tIME", b"bKGD", b"hIST", b"eXIf", b"tRNS",
         b"acTL", b"fcTL", b"sBIT", b"sPLT", b"prVt"]  # fmt: skip
BODIES = st.binary(max_size=40) | st.binary(max_size=40).map(lambda body: b"a\0\0" + zlib.compress(body))
CHUNKS = st.lists(st.tuples(st.sampled_from(KINDS), BODIES, st.booleans()), max_size=4)
MODES = st.sampled_from(["1", "L", "P", "LA", "RGB", "RGBA"])


def others_size(data: bytes) -> tuple[int, int] | None:
    """The width and height that OpenCV reads, or None."""
    cv2 = quiet.load("cv2")
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return None if found is None else (found.shape[1], found.shape[0])


def result(data: bytes) -> tuple[int, int] | str:
    """The width and height of what is read, or the reason why nothing is."""
    try:
        return decode(data).image.size
    except UnreadableImage as error:
        return str(error)


def agrees(data: bytes) -> None:
    """What OpenCV reads whole is read, or the reason says why not."""
    theirs, ours = others_size(data), result(data)
    reasons = ("truncated", "broken", "damaged", "Truncated", "not an image", "which is white")
    if theirs is not None and isinstance(ours, str):
        assert any(why in ours for why in reasons)
    elif theirs is not None:
        assert theirs in (ours, ours[::-1])


@settings(max_examples=60)
@given(MODES, CHUNKS, st.sampled_from([b"IDAT", b"IEND"]))
def test_any_png_that_opencv_reads_is_read(mode: str, more: list[Chunk], before: bytes) -> None:
    data = with_chunks(encoded(drawn(mode)), more, before)
    theirs, ours = others_size(data), decode(data).image.size  # its pixels are whole: it is read whatever OpenCV does
    assert ours in ((24, 18), (18, 24))
    assert theirs is None or theirs in (ours, ours[::-1])


@pytest.mark.exhaustive
@settings(max_examples=1500)
@given(MODES, CHUNKS, st.integers(0, 10_000), st.binary(max_size=8), st.sampled_from(["PNG", "JPEG"]))
def test_any_damaged_file_that_opencv_reads_is_read_or_refused_with_the_reason(
    mode: str, more: list[Chunk], at: int, noise: bytes, kind: str
) -> None:
    if kind == "PNG":
        data = with_chunks(encoded(drawn(mode)), more)
    else:
        data = encoded(drawn("RGB" if mode in ("P", "LA", "RGBA") else mode), "JPEG")
    at %= len(data)
    agrees(data[:at] + noise + data[at + len(noise) :])
