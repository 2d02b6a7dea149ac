"""Pictures of more than 8 bits a sample: scaled by what the file says, or refused with the reason; never dark without a word."""

from __future__ import annotations

import io
import runpy
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, TiffImagePlugin

from pipeline.ingest import decoding
from pipeline.ingest.decoding import UnreadableImage, decode
from tests.support.coldframe import Catalogue, Coldframe

RAMP = np.linspace(0, 1, 16 * 16).reshape(16, 16)  # from black to white
GREY = (RAMP * 255).round().astype(np.uint8)


def tiff(samples: npt.NDArray[Any], tags: dict[int, Any] | None = None) -> bytes:
    """A TIFF of one sample a pixel, with tags beside."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in (tags or {}).items():
        info[tag] = value
        info.tagtype[tag] = 2 if isinstance(value, str) else 11 if isinstance(value, float) else 3
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "TIFF", tiffinfo=info)
    return buffer.getvalue()


def raw_tiff(samples: npt.NDArray[Any], photometric: int, *, is_planar: bool = False) -> bytes:
    """A TIFF of samples of shape (height, width, bands), as they are; with ``is_planar`` each band by itself."""
    height, width, count = samples.shape
    planes = [samples[..., at] for at in range(count)] if is_planar else [samples]
    strips = [plane.astype(samples.dtype.newbyteorder("<")).tobytes() for plane in planes]
    kind = 3 if samples.dtype.kind == "f" else 1
    tags: dict[int, list[int]] = {
        256: [width],
        257: [height],
        258: [8 * samples.itemsize] * count,
        259: [1],
        262: [photometric],
    }
    tags |= {
        273: [0] * len(strips),
        277: [count],
        278: [height],
        279: [len(one) for one in strips],
        284: [1 + is_planar],
    }
    tags |= {339: [kind] * count}
    more_at = 8 + 2 + 12 * len(tags) + 4
    data_at = more_at + sum(4 * len(values) for values in tags.values())
    tags[273] = [data_at + sum(map(len, strips[:at])) for at in range(len(strips))]
    entries, more = b"", b""
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        entries += struct.pack("<HHI", tag, 4, len(values))
        entries += packed if len(values) == 1 else struct.pack("<I", more_at + len(more))
        more += packed if len(values) > 1 else b""
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0" + more
    return head.ljust(data_at, b"\0") + b"".join(strips)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_16(samples: npt.NDArray[Any], bits: int | None = None) -> bytes:
    """A PNG of 16 bits, of shape (height, width, 1 to 4), that says how many are significant."""
    height, width, bands = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    says = chunk(b"sBIT", bytes([bits] * bands)) if bits else b""
    whole = chunk(b"IHDR", header) + says + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + whole


def bands(bits: int, count: int) -> npt.NDArray[Any]:
    return np.repeat((RAMP * (2**bits - 1)).round().astype(np.uint16)[..., None], count, axis=2)


RIGHT = {
    "float of 0 to 1": tiff(RAMP.astype(np.float32)),
    "float with its ends in tags": tiff((RAMP * 90 - 40).astype(np.float32), {340: -40.0, 341: 50.0}),
    "float of ImageJ": tiff((RAMP * 4000).astype(np.float32), {270: "ImageJ=1.54f\nmin=0.0\nmax=4000.0\n"}),
    "16 bits": tiff(bands(16, 1)[..., 0]),
    "12 bits in 16, largest in a tag": tiff(bands(12, 1)[..., 0], {340: 0, 341: 4095}),
    "12 bits in 16, used ones in a tag": tiff(bands(12, 1)[..., 0], {281: 4095}),
    "12 bits in 16, of OME": tiff(bands(12, 1)[..., 0], {270: '<OME><Pixels SignificantBits="12"/></OME>'}),
    "10 bits in a PNG": png_16(bands(10, 1), 10),
    "12 bits in an RGB PNG": png_16(bands(12, 3), 12),
    "14 bits in an RGBA PNG": png_16(np.concatenate([bands(14, 3), np.full((16, 16, 1), 2**14 - 1)], axis=2), 14),
    "12 bits scaled up, as PNG has it": png_16(bands(12, 1) << 4, 12),
    "RGB of 16 bits": png_16(bands(16, 3)),
}


@pytest.mark.variants
@pytest.mark.parametrize("kind", RIGHT)
def test_samples_are_scaled_by_what_the_file_says(kind: str) -> None:
    found = np.asarray(decode(RIGHT[kind]).image).astype(int)
    assert np.abs(found - GREY[..., None]).max() <= 1, kind


UNSAID = {
    "12 bits in a TIFF": tiff(bands(12, 1)[..., 0]),
    "14 bits in a TIFF": tiff(bands(14, 1)[..., 0]),
    "12 bits in a PNG": png_16(bands(12, 1)),
    "12 bits in an RGB PNG": png_16(bands(12, 3)),
    "8 bits in an RGB PNG": png_16(bands(8, 3)),
    "12 bits in a PNG of grey with alpha": png_16(bands(12, 2)),
    "float beyond 1": tiff((RAMP * 255).astype(np.float32)),
    "float below 0": tiff((RAMP - 0.5).astype(np.float32)),
    "float with a hole": tiff(np.where(RAMP > 0.9, np.nan, RAMP).astype(np.float32)),
    "32 bits": tiff((RAMP * 4095).astype(np.int32)),
}


@pytest.mark.variants
@pytest.mark.parametrize("kind", UNSAID)
def test_where_nothing_says_what_is_white_the_reason_is_given(kind: str) -> None:
    with pytest.raises(UnreadableImage, match=r"nothing in the file says which is white|no numbers") as caught:
        decode(UNSAID[kind])
    assert "save it as 8 bits" in str(caught.value)


def test_other_layouts_are_read_or_refused_with_the_reason() -> None:
    whole = np.asarray(decode(raw_tiff(bands(16, 4), 5)).image)  # CMYK, of which the samples are ink
    assert whole[0, 0].min() > 250
    assert whole[-1, -1].max() < 5
    for data, why in (
        (raw_tiff(bands(16, 3), 2, is_planar=True), "each colour by itself, which Pillow reads wrongly"),
        (raw_tiff(bands(12, 4), 5), "nothing in the file says which is white"),
        (raw_tiff(RAMP[..., None].astype(np.float64), 1), "a TIFF of a kind that Pillow does not read"),
    ):
        with pytest.raises(UnreadableImage, match=why):
            decode(data)
    planar = raw_tiff(np.repeat(GREY[..., None], 3, axis=2), 2, is_planar=True)
    assert (np.asarray(decode(planar).image)[..., 0] == GREY).all()


def test_dark_pictures_are_not_taken_for_ones_of_fewer_bits() -> None:
    """Black is black in any number of bits, and samples made of 8 bits show it."""
    for samples in (np.zeros((4, 4, 3)), np.full((4, 4, 3), 20 * 257), np.full((4, 4, 1), 9 * 257)):
        level = round(float(samples.max()) / 257)
        assert np.asarray(decode(png_16(samples)).image).max() == level


def test_a_model_is_exported_with_the_same_rules(tmp_path: Path) -> None:
    program = tmp_path / "decoding.py"
    program.write_text(decoding.as_one_file())
    assert "pipeline" not in {
        line.split()[1].split(".")[0] for line in program.read_text().splitlines() if line.startswith("from ")
    }
    alone = runpy.run_path(str(program))["decode"]
    for data in RIGHT.values():
        assert np.array_equal(np.asarray(alone(data).image), np.asarray(decode(data).image))
    with pytest.raises(Exception, match="nothing in the file says which is white"):
        alone(UNSAID["12 bits in a TIFF"])


def test_ingest_says_which_pictures_were_not_read(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.rows.clear()
    for name, data in {"right": RIGHT["float of 0 to 1"], "unsaid": UNSAID["12 bits in a TIFF"]}.items():
        catalogue.add(name, "moth", name=f"{name}.tif").write_bytes(data)
    catalogue.write()
    cf.ingest(catalogue, code=3)
    assert cf.rows("select image_id, mode from images") == [{"image_id": "right", "mode": "F"}]
    assert "has 16-bit samples from 0 to 4095, and nothing" in cf.value("select reason from failures")
    assert cf.value("select white from facts") == 1
