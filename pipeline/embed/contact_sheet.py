"""A contact sheet of augmented pictures: each row is an image, first unaugmented, then its views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pipeline.embed import augmentation, feature_sets
from pipeline.embed.augmentation import Augmentation
from pipeline.embed.filling import picture_or_reason
from pipeline.ingest.pictures import image_root, ingested_max_pixels
from store import whole
from store.errors import ColdframeError
from store.rows import json_of
from store.schemas import DEFAULT_PLAN
from store.store import Snapshot

IMAGES, VIEWS = 6, 5  # rows, and views in each row
CELL, LINE, GAP = (
    (200, 150),
    20,
    8,
)  # pixels: largest width and height of a picture; a line of text; the gap between pictures
SUFFIXES = (".png", ".jpg", ".jpeg")
FILE = "views.png"  # unless another name is given


@dataclass(frozen=True)
class Batch:
    """Some images, each with a title, as it is and then its views; how the views were made, and the feature set with those
    settings, or None if they are the defaults."""

    rows: list[tuple[str, list[Image.Image]]]
    augmentation: Augmentation
    embedder: str | None


@dataclass(frozen=True)
class Sheet(Batch):
    """A batch as one picture (RGB)."""

    image: Image.Image


def contact_sheet(snapshot: Snapshot, embedder: str | None = None, plan: str = DEFAULT_PLAN) -> Sheet:
    """The sheet of :func:`batch`, which see."""
    made = batch(snapshot, embedder, plan)
    return Sheet(made.rows, made.augmentation, made.embedder, _laid_out(made.rows))


def batch(snapshot: Snapshot, embedder: str | None = None, plan: str = DEFAULT_PLAN) -> Batch:
    """Views of some images, drawn as ``embed`` draws them, the same each time. No network is loaded.

    The images are training rows of ``plan`` if it was replayed, from as many classes as possible. The settings are those of the
    feature set ``embedder``, or of the only one with views, or the defaults if there are no views.

    Raises:
        ColdframeError: there is no such feature set, several have views, or no image can be read.
    """
    name, how, count = _settings(snapshot, embedder)
    root, max_pixels = image_root(snapshot), ingested_max_pixels(snapshot)
    rows: list[tuple[str, list[Image.Image]]] = []
    for row in snapshot.query("steps/ingest/inspect/examples", plan=plan, seed=how.seed).to_pylist():
        picture = picture_or_reason(root, row["content_id"], [row["path"]], max_pixels=max_pixels)
        if isinstance(picture, Image.Image):
            draws = [augmentation.draw(how, row["content_id"], view) for view in range(1, count + 1)]
            made = augmentation.views(picture, [augmentation.Draw(), *draws], size=_fitting(picture), fill=how.fill)
            rows.append((f"{row['label'] or ''}  {row['path']}".strip(), made))
        if len(rows) == IMAGES:
            break
    if not rows:
        raise ColdframeError(f"no image below {root} can be read: run 'coldframe ingest' again")
    return Batch(rows, how, name)


def save(sheet: Sheet, file: Path) -> None:
    """Write the sheet, whole or not at all, in the format of the file's suffix.

    Raises:
        ColdframeError: the name does not end in .png, .jpg or .jpeg.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise ColdframeError(f"{file}: expected a name ending in {', '.join(SUFFIXES)}")
    kind = "PNG" if file.suffix.lower() == ".png" else "JPEG"
    whole.replace(file, lambda opened: sheet.image.save(opened, kind, quality=92))


def describe(sheet: Batch) -> str:
    """Whose settings the views have, and which settings are on."""
    how = sheet.augmentation
    on = [f"{name} {value:g}" for name in augmentation.LARGEST if (value := getattr(how, name))]
    whose = f"as the views of {sheet.embedder}" if sheet.embedder else "by the default settings"
    return f"{whose}: {', '.join(on) or 'nothing is changed'}; fill {how.fill}, seed {how.seed}"


def _settings(snapshot: Snapshot, asked: str | None) -> tuple[str | None, Augmentation, int]:
    """The feature set whose settings to use, if any; the settings; and how many views to show."""
    if asked is not None:
        feature_sets.choose(snapshot, asked)
    made = {
        row["embedder"]: json_of(row["settings"], f"the settings of the feature set {row['embedder']!r}")
        for row in snapshot.select("feature_sets", "embedder", "settings").sort_by("embedder").to_pylist()
    }
    found = {
        name: (how, settings["views"])
        for name, settings in made.items()
        if asked in (None, name) and (how := feature_sets.augmentation(settings)) is not None
    }
    if len(found) > 1:
        raise ColdframeError(f"several feature sets have views ({', '.join(found)}): name one with --embedder")
    for name, (how, views) in found.items():
        return name, how, min(views, VIEWS)
    return None, Augmentation(), VIEWS


def _fitting(picture: Image.Image) -> tuple[int, int]:
    """Height and width of a picture that fits into a cell with its aspect kept."""
    scale = min(CELL[0] / picture.width, CELL[1] / picture.height)
    return max(round(scale * picture.height), 1), max(round(scale * picture.width), 1)


def _laid_out(rows: Sequence[tuple[str, list[Image.Image]]]) -> Image.Image:
    columns = max(len(made) for _, made in rows)
    heights = [max(view.height for view in made) for _, made in rows]
    width, height = columns * (CELL[0] + GAP) + GAP, LINE + GAP + sum(heights) + len(rows) * (LINE + GAP)
    sheet = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    lefts = [GAP + column * (CELL[0] + GAP) for column in range(columns)]
    for column, left in enumerate(lefts):
        pen.text((left + 2, GAP // 2), f"view {column}" if column else "as it is", fill=(110, 110, 110), font=font)
    top = LINE + GAP
    for (title, made), tallest in zip(rows, heights, strict=True):
        for left, view in zip(lefts, made, strict=False):
            sheet.paste(view, (left + (CELL[0] - view.width) // 2, top))
        pen.text((GAP + 2, top + tallest + 2), title, fill=(40, 40, 40), font=font)
        top += tallest + LINE + GAP
    return sheet
