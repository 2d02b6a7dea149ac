"""The files of a catalogue: each row's picture is drawn and saved, in as many processes as there are cores.

A file depends only on the seed and its row, and is written whole or not at all, so a stopped drawing can be continued.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from PIL import Image, ImageEnhance

from pipeline.demo.families import family, rng_of
from pipeline.demo.faults import SKETCH
from pipeline.demo.files import is_there, make_folder, put
from pipeline.demo.pictures import picture
from pipeline.demo.planting import EXACT_COPY, NEAR_COPY, TRUNCATED, Row
from pipeline.runtime.processes import cores, in_workers
from pipeline.runtime.progress import Progress
from store.errors import ColdframeError

# Part of a drawn folder's identity: raise it with every change to what is drawn.
VERSION = 2


def draw(rows: Sequence[Row], folder: Path, seed: int, *, top: Path, quiet: bool = False) -> int:
    """Draw the missing files of ``folder``, which is below ``top``; return how many there were.

    Raises:
        ColdframeError: a link is in the place of a file or on the path to it, or a process ended.
    """
    todo = [row for row in rows if not is_there(folder / row.path)]
    if not todo:
        return 0
    for parent in {(folder / row.path).parent for row in todo}:
        make_folder(parent, top)
    workers = min(cores(), len(todo))
    drawing = in_workers(partial(_draw, folder=folder, seed=seed, top=top), todo, workers)
    with Progress(len(todo), "draw", quiet=quiet) as progress, closing(drawing):
        for row, ended in drawing:
            if ended is not None:
                raise ColdframeError(f"{folder / row.path}: the process that drew it ended: run the command again")
            progress.advance(1)
    return len(todo)


def _draw(row: Row, folder: Path, seed: int, top: Path) -> None:
    put(folder / row.path, encoded(row, seed), top)


def encoded(row: Row, seed: int) -> bytes:
    """The bytes of a row's file: always a JPEG, whatever its suffix."""
    if row.kind == EXACT_COPY:
        return _jpeg(_picture(row, seed, of=row.copy_of), row)
    if row.kind == NEAR_COPY:
        return _jpeg(_reworked(_picture(row, seed, of=row.copy_of), row, seed), row, quality=72)
    data = _jpeg(_picture(row, seed, of=row.path), row)
    return data[: len(data) * 3 // 5] if row.kind == TRUNCATED else data


def _picture(row: Row, seed: int, *, of: str) -> Image.Image:
    """What a row shows; ``of`` is the path of the row for which it was first drawn."""
    return picture(row.kind, family(*row.shown, seed), rng_of("picture", seed, of))


def _reworked(original: Image.Image, row: Row, seed: int) -> Image.Image:
    """A typical reworked copy: smaller, slightly cropped, brighter or darker."""
    rng = rng_of("reworked", seed, row.path)
    width, height = original.size
    left, top = (int(side * rng.uniform(0.0, 0.015)) for side in original.size)
    cropped = original.crop((left, top, width - left, height - top))
    share = rng.uniform(0.6, 0.9)
    small = cropped.resize((round(width * share), round(height * share)), Image.Resampling.BICUBIC)
    return ImageEnhance.Brightness(small).enhance(rng.uniform(0.93, 1.07))


def _jpeg(drawn: Image.Image, row: Row, quality: int = 88) -> bytes:
    if row.cmyk:
        drawn = drawn.convert("CMYK")
    elif row.kind == SKETCH and rng_of("mode", row.path).random() < 0.6:
        drawn = drawn.convert("L")
    buffer = io.BytesIO()
    drawn.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
