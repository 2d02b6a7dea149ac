"""A contact sheet of a drawn world: one picture of each family, one of each kind of fault, with their names."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from pipeline.demo.planting import PHOTO, TRUNCATED, Row
from pipeline.ingest import decoding

COLUMNS, CELL, LINE, GAP = 6, (220, 165), 22, 8
MOST_FAMILIES = 18


def contact_sheet(rows: Sequence[Row], images: Path) -> Image.Image:
    """The sheet, RGB: up to 18 families, then one row of each kind of fault."""
    families = {row.family: row for row in reversed(rows) if row.kind == PHOTO}
    faults = {row.kind: row for row in reversed(rows) if row.kind not in (PHOTO, TRUNCATED)}
    chosen = [(f"{row.family} ({row.phylum})", row) for _, row in sorted(families.items())[:MOST_FAMILIES]]
    chosen += [(kind.replace("_", " "), row) for kind, row in sorted(faults.items())]
    lines = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (CELL[0] + GAP) + GAP, lines * (CELL[1] + LINE + GAP) + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (name, row) in enumerate(chosen):
        left = GAP + number % COLUMNS * (CELL[0] + GAP)
        top = GAP + number // COLUMNS * (CELL[1] + LINE + GAP)
        with contextlib.suppress(decoding.UnreadableImage):  # if damaged since, the cell stays empty
            picture = decoding.decode(decoding.read_bytes(images / row.path)).image
            sheet.paste(ImageOps.fit(picture, CELL), (left, top))
        draw.text((left + 2, top + CELL[1] + 2), name, fill=(40, 40, 40), font=font)
    return sheet
