"""The demo's folder: pictures, catalogue, truth, models and a recipe. Afterwards every command works in it."""

from __future__ import annotations

import functools
import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.demo import MODELS, drawing, planting
from pipeline.demo.files import is_there, is_unfinished, make_folder, put
from pipeline.demo.planting import Row
from pipeline.demo.prompts import BAD_PROMPTS, threshold
from pipeline.demo.sheet import contact_sheet
from pipeline.steps.settings import LARGEST_COUNT, setting
from store import digests, opening
from store.errors import ColdframeError
from store.schemas import DEFAULT_PLAN
from store.store import Store

FOLDER = "coldframe-demo"
PLANT_SAMPLE, PLANT_REPORT, PLANT_NONE = PLANTS = ("sample", "report", "none")
LEAST_ROWS = 120  # enough for some of each kind of fault
REPORT_PLAN = "report"
DOUBT_PLAN = "label-doubt"
SHEET = "pictures.jpg"
MOST_MARK = 1 << 16  # bytes

RECIPE = """\
# The reference recipe, on drawn pictures with two small models of the demo's own.
# Change something and say 'coldframe run': it does what is out of date.

store = "coldframe-store"

[ingest]
metadata = "metadata.csv"
images = "images"
id = "rare_species_id"
path = "file_path"
label = "family"

[embed.clip]
weights = "models/clip"
backend = "reference"            # converting so small a network would take longer than embedding with it

[embed.efficientnet]
embedder = "efficientnet-b0"     # how its pictures are prepared; the network itself is the file's
weights = "models/efficientnet/model.keras"
size = "80x80"
backend = "reference"

[score.clip-quality]
embedder = "clip"
bad = [                          # without "a map", which its model was never told of, and with two more
{bad}
]
{doubt}{plans}
[evaluate]
split = "test"
mask_by = ["phylum"]
"""

PLAN = """
[plans.{plan}]
seed = {seed}
stages = [
    {{ rule = "greyscale" }},
    {{ rule = "cmyk" }},
{copies}    {{ rule = "clip-quality", threshold = {threshold} }},
    {{ split = "test", share = 0.15 }},
    {{ {labels} }},
    {{ split = "val", share = 0.10 }},
]

[train.mlp{suffix}]
head = "mlp"
embedder = "efficientnet"
plan = "{plan}"
"""
LINEAR = """
[train.linear]
embedder = "efficientnet"
"""
TUNED = """
[tune.tuned]
embedder = "efficientnet"
max_epochs = 6                   # 20 is the default: this is a demonstration
"""
DOUBT = """
[score.label-doubt]              # ranks the view suspects
embedder = "efficientnet"

[copies]
embedder = "efficientnet"
correlation = 0.97               # 0.9 is the default: two drawings of one creature are more alike than two photographs
"""
CENTROID_RULE = 'rule = "centroid", embedder = "efficientnet", percentile = [95, 97.5], apply_to = "{apply_to}"'
DOUBT_RULE = 'rule = "label-doubt", embedder = "efficientnet"'
COPIES = '    { rule = "copies" },\n'


@dataclass(frozen=True)
class World:
    """A drawn folder. ``drawn`` files were drawn in ``seconds``; the others existed already."""

    folder: Path
    rows: tuple[Row, ...]
    plant: str
    drawn: int
    seconds: float

    @property
    def config(self) -> Path:
        """The recipe."""
        return self.folder / "coldframe.toml"

    @property
    def store(self) -> Path:
        """The store that the recipe names."""
        return self.folder / "coldframe-store"

    def commands(self) -> Iterator[list[str]]:
        """The ``coldframe`` commands that make the demo; run each before asking for the next."""
        yield ["ingest"]
        # only once, like a person: what the user decides later stands
        judged = {row["image_id"] for row in Store.open(self.store).snapshot().rows("steps/demo/judged")}
        good = [row.image_id for row in self.rows if row.kind == planting.CMYK_GOOD and row.image_id not in judged]
        if good:
            yield ["keep", "--why", "a good photograph, only stored in CMYK", "--", *good]
        yield ["run"]


@dataclass(frozen=True)
class Settings:
    """What to draw: ``rows`` of an invented catalogue or all of ``catalogue``, with the faults that ``plant`` names."""

    rows: int = setting(1000, "Pictures to draw.", least=LEAST_ROWS, most=LARGEST_COUNT)
    seed: int = setting(0, "Seed: another one draws other creatures.", least=0, most=2**63 - 1)
    catalogue: str | None = setting(None, "Draw a picture for each row of this file.", metavar="METADATA")
    plant: str = setting(
        PLANT_SAMPLE,
        "Faults to plant: a fifth of the rows, the report's own counts, or none.",
        choices=PLANTS,
        default_text=f"{PLANT_SAMPLE}; {PLANT_NONE} with --catalogue",
    )


def prepare(folder: Path, settings: Settings, *, quiet: bool = False) -> World:
    """Draw a world into ``folder``, or what is missing of it; existing files are left unchanged.

    Raises:
        ColdframeError: the folder holds other things or another world, or the catalogue cannot be drawn.
    """
    rows = _rows(settings)
    _claim(folder, settings, rows)
    store = folder / "coldframe-store"
    if os.path.lexists(store) and not opening.is_plain_folder(store):
        raise ColdframeError(f"{store}: a link or no folder, which no demo makes: name another DIR")
    started = time.monotonic()
    drawn = drawing.draw(rows, folder / "images", settings.seed, top=folder, quiet=quiet)
    seconds = time.monotonic() - started
    if not is_there(folder / SHEET):
        sheet = io.BytesIO()
        contact_sheet(rows, folder / "images").save(sheet, "JPEG", quality=85)
        put(folder / SHEET, sheet.getvalue(), folder)
    world = World(folder, tuple(rows), settings.plant, drawn, seconds)
    if not is_there(world.config):
        put(world.config, recipe(settings).encode(), folder)
    return world


def _rows(settings: Settings) -> list[Row]:
    if settings.catalogue is None:
        rows = planting.sample(settings.rows, settings.seed)
    else:
        rows = planting.of_catalogue(Path(settings.catalogue))
    if settings.plant == PLANT_REPORT:
        return planting.plant_report(rows, settings.seed)
    return planting.plant_sample(rows, settings.seed) if settings.plant == PLANT_SAMPLE else rows


def _claim(folder: Path, settings: Settings, rows: list[Row]) -> None:
    """Claim the folder for this world, or check that it belongs to it."""
    mark = folder / "demo.json"
    metadata, truth = planting.metadata_csv(rows), planting.truth_csv(rows)
    described: dict[str, Any] = {"rows": len(rows), "seed": settings.seed, "plant": settings.plant}
    described["drawing"] = digests.of_json([drawing.VERSION, metadata, truth])
    if os.path.lexists(folder) and not opening.is_plain_folder(folder):
        what = "a link" if folder.is_symlink() else "a file"
        raise ColdframeError(f"{folder}: {what}, expected a folder for the demo: name another DIR")
    if os.path.lexists(mark):
        try:
            there = dict(json.loads(opening.read_regular(mark, most=MOST_MARK)))
        except (OSError, ValueError, TypeError) as error:
            raise ColdframeError(f"{mark}: not a demo's ({error}): name another DIR") from error
        if there != described:
            was = ", ".join(f"{name} {there.get(name)}" for name in ("rows", "seed", "plant"))
            raise ColdframeError(
                f"{folder}: holds another demo ({was}, or of another catalogue or version): name another DIR, or remove this one"
            )
    elif folder.is_dir() and not all(map(is_unfinished, folder.iterdir())):
        raise ColdframeError(f"{folder}: not empty, and not a demo's folder: name another DIR")
    folder.mkdir(parents=True, exist_ok=True)
    # written first: it identifies a demo that was stopped
    put(mark, (json.dumps(described, indent=1) + "\n").encode(), folder)
    for name, text in (("metadata.csv", metadata), ("truth.csv", truth)):
        if not is_there(folder / name):
            put(folder / name, text.encode(), folder)
    for file in (path for path in MODELS.rglob("*") if path.is_file()):
        target = folder / "models" / file.relative_to(MODELS)
        if not is_there(target):
            make_folder(target.parent, folder)
            put(target, file.read_bytes(), folder)


def recipe(settings: Settings) -> str:
    """The text of the world's ``coldframe.toml``.

    It has one plan, and a second one to compare: with ``label-doubt`` for a sample's faults, as the report applied ``centroid``
    for its counts.
    """
    is_sample = settings.plant == PLANT_SAMPLE
    copies = COPIES if is_sample else ""
    plan = functools.partial(PLAN.format, seed=settings.seed, threshold=threshold(), copies=copies)
    plans = [plan(plan=DEFAULT_PLAN, suffix="", labels=CENTROID_RULE.format(apply_to="train"))]
    if is_sample:
        plans.append(plan(plan=DOUBT_PLAN, suffix=f"-{DOUBT_PLAN}", labels=DOUBT_RULE))
    if settings.plant == PLANT_REPORT:
        plans.append(plan(plan=REPORT_PLAN, suffix=f"-{REPORT_PLAN}", labels=CENTROID_RULE.format(apply_to="all")))
    plans += [LINEAR, TUNED]
    bad = "\n".join(f'    "{prompt}",' for prompt in BAD_PROMPTS)
    return RECIPE.format(plans="".join(plans), bad=bad, doubt=DOUBT if is_sample else "")
