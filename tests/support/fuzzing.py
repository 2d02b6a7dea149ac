"""Broken pictures: small ones of every format, then bytes flipped, cut, doubled, spliced. All from a seed."""

from __future__ import annotations

import io
import random

from tests.support.coldframe import COLOURS, picture

FORMATS = ("jpeg", "png", "gif", "webp", "tiff", "bmp")
MODES = {"jpeg": ("RGB", "L", "CMYK"), "png": ("RGB", "L", "P", "RGBA", "I;16"), "tiff": ("RGB", "L", "CMYK", "I;16")}


def broken(seed: int) -> tuple[str, bytes]:
    """A file's name and its bytes; one in ten is whole."""
    chance = random.Random(f"broken/{seed}")
    kind = chance.choice(FORMATS)
    content = _drawn(kind, chance)
    if chance.random() < 0.9:
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            content = chance.choice((_flip, _flip, _stamp, _cut, _double, _drop, _splice))(content, chance)
    return f"{seed:05d}.{kind}", content


def _drawn(kind: str, chance: random.Random) -> bytes:
    mode = chance.choice(MODES.get(kind, ("RGB", "L")))
    size = (chance.randint(1, 48), chance.randint(1, 48))
    image = picture(chance.choice(list(COLOURS)), chance.randrange(1000), size)
    image = image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)
    options: dict[str, object] = {}
    if kind in ("gif", "webp", "tiff", "png") and mode in ("RGB", "L") and chance.random() < 0.3:
        frames = [picture("moth", number, size).convert(mode) for number in range(2)]
        options = {"save_all": True, "append_images": frames}
    if kind == "jpeg" and chance.random() < 0.3:
        options = {"progressive": True}
    if kind == "tiff" and chance.random() < 0.5 and mode != "I;16":
        options |= {"compression": chance.choice(("tiff_lzw", "tiff_adobe_deflate", "packbits"))}
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _place(content: bytes, chance: random.Random) -> int:
    """Anywhere; half of the time near the start, where the headers are."""
    end = min(len(content), 64) if chance.random() < 0.5 else len(content)
    return chance.randrange(end) if end else 0


def _flip(content: bytes, chance: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 3, 16))):
        if found:
            found[_place(content, chance)] ^= 1 << chance.randrange(8)
    return bytes(found)


def _stamp(content: bytes, chance: random.Random) -> bytes:
    """Numbers that decoders count with, made extreme."""
    at, length = _place(content, chance), chance.choice((1, 2, 4))
    return content[:at] + chance.choice((b"\0", b"\xff", b"\x7f")) * length + content[at + length :]


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: _place(content, chance)]


def _double(content: bytes, chance: random.Random) -> bytes:
    start = _place(content, chance)
    end = start + chance.randrange(1, 64)
    return content[:end] + content[start:end] + content[end:]


def _drop(content: bytes, chance: random.Random) -> bytes:
    start = _place(content, chance)
    return content[:start] + content[start + chance.randrange(1, 64) :]


def _splice(content: bytes, chance: random.Random) -> bytes:
    """The head of this file on the tail of another."""
    other = _drawn(chance.choice(FORMATS), chance)
    return content[: _place(content, chance)] + other[_place(other, chance) :]
