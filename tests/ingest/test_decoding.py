"""The decoding rules, on files made here in every mode."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from pipeline.ingest import decoding, pixels
from pipeline.ingest.decoding import UnreadableImage, decode
from tests.support.coldframe import Catalogue, Coldframe, picture


def encoded(image: Image.Image, fmt: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def test_content_id_is_the_first_128_bits_of_the_sha256() -> None:
    assert decoding.content_id(b"") == "e3b0c44298fc1c149afbf4c8996fb924"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = picture("moth", 1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that a camera would have undone
    if orientation in undo:
        stored = upright.transpose(Image.Transpose(undo[orientation]))
    decoded = decode(encoded(stored, exif=exif))
    assert np.array_equal(np.asarray(decoded.image), np.asarray(upright))
    assert (decoded.width, decoded.height) == upright.size


def test_damaged_exif_says_nothing() -> None:
    data = encoded(picture("moth", 1), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff garbage")
    assert decode(data).image.size == (40, 30)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_is_composed_on_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0)).convert(mode) if mode != "PA" else None
    if image is None:
        image = Image.new("P", (4, 4), 0)
        image.putpalette([0, 0, 0])
        data = encoded(image, transparency=0)
    else:
        data = encoded(image)
    assert np.asarray(decode(data).image).min() == 255


def test_16_bit_is_scaled_to_8() -> None:
    levels = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert np.asarray(decode(encoded(Image.fromarray(levels))).image)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_cmyk_goes_through_its_profile_or_else_pillows_conversion() -> None:
    image = picture("finch", 1).convert("CMYK")
    plain = decode(encoded(image, "JPEG", quality=95))
    assert plain.mode == "CMYK"
    assert np.abs(np.asarray(plain.image).astype(int) - np.asarray(picture("finch", 1))).mean() < 25
    wrong = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode(encoded(image, "JPEG", icc_profile=wrong)).image.mode == "RGB"


def test_first_frame_of_many() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    decoded = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert decoded.frames == 3
    assert decoded.image.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_jpeg_does_not_pass(keep: float) -> None:
    data = encoded(picture("heron", 3, (200, 150)), "JPEG")
    with pytest.raises(UnreadableImage, match=r"truncated|cannot be decoded|not an image"):
        decode(data[: int(len(data) * keep)])


def test_over_the_pixel_limit() -> None:
    with pytest.raises(UnreadableImage, match="40x30 pixels, over the pixel limit of 1000"):
        decode(encoded(picture("moth", 1)), max_pixels=1000)
    with pytest.raises(UnreadableImage, match="over the pixel limit"):
        decode(_bomb(40_000, 40_000))


def test_the_callers_own_limit_of_pillow_stays() -> None:
    """Pillow has one limit for a whole process: pictures that others open later are not measured by ours."""
    before, data = Image.MAX_IMAGE_PIXELS, encoded(picture("moth", 1))
    with ThreadPoolExecutor(8) as pool:
        for limit in [1, 1000, 10**6] * 30:
            pool.submit(lambda most: decode(data, max_pixels=most), limit)
    assert before == Image.MAX_IMAGE_PIXELS


def _bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


def test_not_an_image() -> None:
    with pytest.raises(UnreadableImage, match="not an image"):
        decode(b"<html>404</html>")


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_damage_never_crashes(noise: bytes, at: int) -> None:
    data = encoded(picture("moth", 5), "JPEG")
    damaged = data[: at % len(data)] + noise + data[at % len(data) + len(noise) :]
    with contextlib.suppress(UnreadableImage):
        assert decode(damaged).image.mode == "RGB"


@given(st.integers(0, 2**32 - 1), st.sampled_from([50, 75, 95]))
def test_grey_is_told_from_the_pixels_after_jpeg(seed: int, quality: int) -> None:
    colour = picture("finch", seed, (64, 48))
    grey_as_rgb = colour.convert("L").convert("RGB")
    assert decoding.chroma(decode(encoded(grey_as_rgb, "JPEG", quality=quality)).image) <= decoding.GREY_CHROMA
    assert decoding.chroma(decode(encoded(colour, "JPEG", quality=quality)).image) > decoding.GREY_CHROMA


def test_paths_that_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(encoded(picture("moth", 1)))
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "inside.png").write_bytes(b"x")
    (root / "alias.png").symlink_to(root / "inside.png")
    for path, reason in (
        ("", "no path"),
        ("/etc/hostname", "absolute"),
        ("../secret.png", "leaves the image folder"),
        ("link.png", "leaves the image folder"),
        ("a\0b", "NUL"),
    ):
        with pytest.raises(UnreadableImage, match=reason):
            decoding.locate(root, path)
    assert decoding.locate(root, "alias.png").name == "alias.png"


def heic(image: Image.Image, exif: Image.Exif | None = None) -> bytes:
    """A HEIC of a picture, as a telephone writes one."""
    library = pytest.importorskip("pillow_heif", reason="the extra 'heic' is not installed")
    buffer = io.BytesIO()
    library.from_pillow(image).save(buffer, exif=exif.tobytes() if exif else None)
    return buffer.getvalue()


def test_heic_is_read_whatever_its_name(cf: Coldframe, catalogue: Catalogue) -> None:
    upright = picture("moth", 1, (64, 48))
    exif = Image.Exif()
    exif[0x0110] = "Telephone"
    catalogue.rows.clear()
    for name in ("a.heic", "b.jpg", "c.HEIF"):
        catalogue.add(name, "moth", name=f"moth/{name}").write_bytes(heic(upright, exif))
    catalogue.write()
    cf.ingest(catalogue)
    (row,) = cf.rows("select distinct format, width, height, camera from images join facts using (content_id)")
    assert list(row.values()) == ["HEIF", 64, 48, "Telephone"]
    assert np.abs(np.asarray(decode(heic(upright)).image).astype(int) - np.asarray(upright)).mean() < 40
    with pytest.raises(UnreadableImage, match="over the pixel limit"):
        decode(heic(upright), max_pixels=1000)
    with pytest.raises(UnreadableImage):
        decode(heic(upright)[:-200])


def test_without_its_library_heic_fails_with_the_way_out(
    cf: Coldframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(100)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    pixels._formats.cache_clear()
    with pytest.raises(UnreadableImage, match=r"HEIC, which needs a library: pip install 'coldframe\[heic\]'"):
        decode(data)
    folder = tmp_path / "images" / "moth"
    folder.mkdir(parents=True)
    picture("moth", 1).save(folder / "a.png")
    (folder / "b.heic").write_bytes(data)
    cf("ingest", folder.parent, code=3)
    assert cf.value("select path from failures") == "moth/b.heic"  # it is not left out without a word
    pixels._formats.cache_clear()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty.png").touch()
    for name, reason in (("gone", "missing"), ("", "a folder"), ("pipe", "not a regular"), ("empty.png", "empty")):
        with pytest.raises(UnreadableImage, match=reason):
            decoding.read_bytes(tmp_path / name)


@pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="no such system")
@pytest.mark.parametrize("path", ["pagemap", "./pagemap", "task/../pagemap", "status"])
def test_a_file_of_the_system_that_states_no_size_is_not_read(path: str) -> None:
    started = time.process_time()
    for read in (
        lambda: decoding.read_inside(Path("/proc/self"), path, most=1 << 40),
        lambda: decoding.read_bytes(Path("/proc/self") / path, most=1 << 40),
        lambda: decoding.decode_content(Path("/proc/self"), "0" * 32, [path] * 20),
    ):
        with pytest.raises(UnreadableImage, match="empty file"):
            read()
    assert time.process_time() - started < 2


def test_a_file_that_grows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "growing.png"
    file.write_bytes(b"x" * 100)
    real = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        with file.open("ab") as opened:
            opened.write(b"x" * 5_000_000)
        return status

    monkeypatch.setattr("pipeline.ingest.decoding.os.fstat", fstat)
    with pytest.raises(UnreadableImage, match="grew while it was read"):
        decoding.read_bytes(file)
