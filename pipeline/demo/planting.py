"""A catalogue to draw: which creature, or which fault, each row shows.

Rows are those of the Rare Species catalogue: an invented sample of it, or the rows of a real one. Faults are planted in them
by a seed; ``truth.csv`` records what each row really is.
"""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pyarrow as pa

from pipeline.demo.families import PLANS, invented_names, rng_of
from pipeline.demo.faults import NOT_ANIMALS, SKETCH
from pipeline.ingest import tables
from store.errors import ColdframeError

NEEDED = ("rare_species_id", "phylum", "family", "file_path")
TRUTH_COLUMNS = ("rare_species_id", "file_path", "kind", "note")
ROWS_PER_FAMILY = 42
MOST_PATH = 4096  # characters: more than any system opens

# Kinds in truth.csv besides those of faults.NOT_ANIMALS.
PHOTO, CMYK_GOOD, MISLABELLED, EXACT_COPY, NEAR_COPY, TRUNCATED = (
    "photo", "cmyk_good", "mislabelled", "exact_copy", "near_copy", "truncated",
)  # fmt: skip
GOOD = (PHOTO, CMYK_GOOD)

# Faults per thousand rows of the sample.
SAMPLE_SHARES = {
    SKETCH: 16,
    "xray": 14,
    **{kind: 13 for kind in NOT_ANIMALS if kind != "xray"},
    CMYK_GOOD: 2,
    MISLABELLED: 16,
    EXACT_COPY: 12,
    NEAR_COPY: 12,
    TRUNCATED: 2,
}
# The report's counts for the Rare Species catalogue.
REPORT_GREYSCALE, REPORT_CMYK, REPORT_CMYK_GOOD, REPORT_BAD = 183, 178, 2, 640


@dataclass(frozen=True)
class Row:
    """A row of the catalogue and the file to draw for it.

    ``cells`` are its columns as given. ``kind`` is its name in truth.csv. ``shown`` is the (family, phylum) in its picture, which
    differs from its own if it is mislabelled. A copy has its original's path in ``copy_of`` and its original's id in ``note``; a
    mislabelled row has its true family in ``note``. ``cmyk``: the file is stored in CMYK.
    """

    image_id: str
    path: str
    family: str
    phylum: str
    cells: Mapping[str, str]
    kind: str = PHOTO
    shown: tuple[str, str] = ("", "")
    note: str = ""
    copy_of: str = ""
    cmyk: bool = False


def sample(rows: int, seed: int) -> list[Row]:
    """An invented catalogue with the columns of Rare Species: one family for about every 42 rows, of unequal sizes."""
    rng = rng_of("sample", seed)
    families = max(rows // ROWS_PER_FAMILY, 5)
    phyla = ("chordata", "arthropoda", "chordata", "cnidaria", "mollusca", "chordata", "arthropoda", "echinodermata")
    names = invented_names(families, rng)
    weights = rng.uniform(0.5, 1.6, families)
    sizes = np.maximum(np.floor(weights / weights.sum() * rows).astype(int), 1)
    sizes[: rows - sizes.sum()] += 1
    made = []
    for position, (name, size) in enumerate(zip(names, sizes, strict=True)):
        phylum = phyla[position % len(phyla)] if position >= len(PLANS) else list(PLANS)[position]
        for _ in range(size):
            content, page = int(rng.integers(10**7, 10**8)), 10**5 + position
            cells = {
                "rare_species_id": str(uuid.UUID(bytes=rng.bytes(16), version=4)),
                "eol_content_id": str(content),
                "eol_page_id": str(page),
                "kingdom": "animalia",
                "phylum": phylum,
                "family": name,
                "file_path": f"{phylum}_{name}/{content}_{page}_eol-full-size-copy.jpg",
            }
            made.append(_row(cells))
    return [made[at] for at in rng.permutation(len(made))]


def of_catalogue(metadata: Path) -> list[Row]:
    """The rows of a real catalogue with the columns of Rare Species.

    Raises:
        ColdframeError: it cannot be read, lacks a required column or cell, names an id or a file twice, or names a file
            outside the image folder.
    """
    if metadata.is_dir():
        raise ColdframeError(f"{metadata}: a folder; expected a CSV, TSV or Parquet file with {', '.join(NEEDED)}")
    listed = tables.read_table(metadata)
    table = listed.table
    for name in NEEDED:
        if name not in table.column_names:
            raise ColdframeError(f"{metadata}: no column {name!r}; expected at least the columns {', '.join(NEEDED)}")
    if not table.num_rows:
        raise ColdframeError(f"{metadata}: no rows below its header; expected one for each picture to draw")
    ids, paths, made = dict[str, int | str](), dict[str, int | str](), []
    if len(set(table.column_names)) < table.num_columns:
        raise ColdframeError(f"{metadata}: two columns have the same name; expected each once")
    try:
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ColdframeError(f"{metadata}: not UTF-8 text ({error})") from error
    for number, given in zip(listed.numbers, table.to_pylist(), strict=True):
        cells = {name: "" if cell is None else str(cell) for name, cell in given.items()}
        for name in NEEDED:
            if not cells[name]:
                raise ColdframeError(f"{metadata}: row {number} has no {name}: it is needed to draw its picture")
        if len(cells["file_path"]) > MOST_PATH:
            raise ColdframeError(f"{metadata}: row {number}: a path of more than {MOST_PATH} characters")
        path = PurePosixPath(cells["file_path"])
        if not path.name or "\0" in cells["file_path"]:
            raise ColdframeError(f"{metadata}: row {number}: {cells['file_path']!r} names no file")
        if path.is_absolute() or ".." in path.parts:
            raise ColdframeError(
                f"{metadata}: row {number}: {cells['file_path']!r} leaves the image folder; expected a path below it"
            )
        for seen, value, what in ((ids, cells["rare_species_id"], "id"), (paths, str(path), "file")):
            if value in seen:
                raise ColdframeError(
                    f"{metadata}: rows {seen[value]} and {number} name the same {what} {value!r}; expected one each"
                )
            seen[value] = number
        made.append(_row(cells))
    for path_text, number in paths.items():
        folder = next((str(one) for one in PurePosixPath(path_text).parents if str(one) in paths), None)
        if folder:
            raise ColdframeError(
                f"{metadata}: row {number}: {path_text!r} lies in {folder!r}, which is a file of another row"
            )
    return made


def _row(cells: Mapping[str, str]) -> Row:
    family, phylum = cells["family"], cells["phylum"]
    return Row(cells["rare_species_id"], cells["file_path"], family, phylum, cells, shown=(family, phylum))


def plant_sample(rows: Sequence[Row], seed: int) -> list[Row]:
    """The sample's faults: about a fifth of the rows, at least two of each kind.

    Raises:
        ColdframeError: there are too few rows, or all rows are of one family.
    """
    counts = {kind: max(round(share * len(rows) / 1000), 2) for kind, share in SAMPLE_SHARES.items()}
    _need(rows, sum(counts.values()), f"{sum(counts.values())} faults")
    if len({row.shown for row in rows}) < 2:
        raise ColdframeError("mislabelled rows need a catalogue of at least two families, not one")
    return _plant(rows, counts, seed, cmyk=("xray",))


def plant_report(rows: Sequence[Row], seed: int) -> list[Row]:
    """The report's counts: 183 greyscale, 178 CMYK (two of them good), 640 bad pictures; no row is in two of these.

    Raises:
        ColdframeError: there are too few rows.
    """
    _need(rows, REPORT_GREYSCALE + REPORT_CMYK + REPORT_BAD, "the report's faults")
    shares = np.full(len(NOT_ANIMALS), REPORT_BAD // len(NOT_ANIMALS))
    shares[: REPORT_BAD - shares.sum()] += 1
    counts = {SKETCH: REPORT_GREYSCALE, CMYK_GOOD: REPORT_CMYK_GOOD}
    counts |= {kind: int(share) for kind, share in zip(NOT_ANIMALS, shares, strict=True)}
    planted = _plant(rows, counts, seed, cmyk=())
    spare = [at for at, row in enumerate(planted) if row.kind == PHOTO]
    for at in rng_of("cmyk", seed).choice(spare, REPORT_CMYK - REPORT_CMYK_GOOD, replace=False):
        planted[at] = replace(planted[at], kind="xray", cmyk=True)
    return planted


def _need(rows: Sequence[Row], faults: int, what: str) -> None:
    if len(rows) < 2 * faults:
        raise ColdframeError(f"{what} need a catalogue of at least {2 * faults} rows, not {len(rows)}")


def _plant(rows: Sequence[Row], counts: Mapping[str, int], seed: int, *, cmyk: tuple[str, ...]) -> list[Row]:
    rng = rng_of("plant", seed)
    planted = list(rows)
    free = [int(at) for at in rng.permutation(len(rows))]
    families = sorted({row.shown for row in rows})
    for kind, count in counts.items():
        for _ in range(count):
            if kind in (EXACT_COPY, NEAR_COPY):
                first, at = _two_of_a_family(planted, free)
                original = planted[first]
                planted[at] = replace(planted[at], kind=kind, note=original.image_id, copy_of=original.path)
                continue
            at = free.pop()
            if kind == MISLABELLED:
                own = families.index(planted[at].shown)
                shown = families[(own + int(rng.integers(1, len(families)))) % len(families)]
                planted[at] = replace(planted[at], kind=kind, shown=shown, note=shown[0])
            else:
                planted[at] = replace(planted[at], kind=kind, cmyk=kind in cmyk or kind == CMYK_GOOD)
    return planted


def _two_of_a_family(rows: Sequence[Row], free: list[int]) -> tuple[int, int]:
    """Two rows of one family, taken out of ``free``: an original and its copy, which comes after it by id.

    This order makes it the copy in the view ``copies``.

    Raises:
        ColdframeError: no family has two rows left.
    """
    for place in range(len(free) - 1, 0, -1):
        for other in range(place - 1, -1, -1):
            if rows[free[place]].shown == rows[free[other]].shown:
                pair = (free.pop(place), free.pop(other))
                first, second = sorted(pair, key=lambda at: rows[at].image_id)
                return first, second
    raise ColdframeError("too few families with two rows or more for the copies to plant")


def metadata_csv(rows: Sequence[Row]) -> str:
    """The catalogue as a file's text, in its own columns."""
    return _csv(list(rows[0].cells), (row.cells for row in rows))


def truth_csv(rows: Sequence[Row]) -> str:
    """What each row really is; ``note`` is the true family of a mislabelled row, or the original's id of a copy."""
    truth = (dict(zip(TRUTH_COLUMNS, (row.image_id, row.path, row.kind, row.note), strict=True)) for row in rows)
    return _csv(TRUTH_COLUMNS, truth)


def _csv(columns: Sequence[str], rows: Iterator[Mapping[str, str]]) -> str:
    text = io.StringIO()
    # quote everything if a cell needs it: Python leaves a carriage return unquoted
    whole = list(rows)
    quoting: Literal[0, 1] = (
        csv.QUOTE_ALL if any("\r" in cell for row in whole for cell in row.values()) else csv.QUOTE_MINIMAL
    )
    writer = csv.DictWriter(text, columns, lineterminator="\n", quoting=quoting)
    writer.writeheader()
    writer.writerows(whole)
    return text.getvalue()
