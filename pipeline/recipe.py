"""The steps that a ``coldframe.toml`` asks for, in order, and why each is out of date.

When a step finishes, it records its settings and a digest of each input. It is up to date if both are what they would be now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from pipeline.curate import copies, replay, score, scorers
from pipeline.embed import embed
from pipeline.embed.settings import Settings
from pipeline.evaluate import evaluate
from pipeline.finetune import finetune
from pipeline.ingest import ingest
from pipeline.steps import names
from pipeline.steps.config import Config
from pipeline.steps.records import Record
from pipeline.train import from_pixels, train, tune
from store.errors import ColdframeError
from store.store import Snapshot

REFERENCE = """\
# The reference recipe. Settings that are not shown have their defaults; see 'coldframe STEP --help'.
# Run it with 'coldframe run'; what is up to date is skipped.

store = "coldframe-store"

[ingest]
metadata = "metadata.csv"        # or TSV, JSON, Parquet, an archive, a folder
images = "images"                # the folder its paths count from
id = "rare_species_id"
path = "file_path"
label = "family"

[embed.clip]
weights = "openai/clip-vit-base-patch32"

[embed.efficientnet-b4]
size = "380x380"
weights = "imagenet"

[score.clip-quality]
embedder = "clip"
aggregate = "best"               # or "mean"
good = [
{good}
]
bad = [
{bad}
]

[copies]                         # near copies, which splits keep together

[plans.default]
seed = 0
stages = [
    {{ rule = "greyscale" }},
    {{ rule = "cmyk" }},
    {{ rule = "clip-quality", threshold = 0.0 }},
    {{ split = "test", share = 0.15 }},
    # apply_to = "all" removes test rows as well, as the report did, which makes the score too optimistic
    {{ rule = "centroid", percentile = [95, 97.5], apply_to = "train" }},
    {{ split = "val", share = 0.10 }},
]

[train.mlp]
embedder = "efficientnet-b4"
units = 600
dropout = 0.4
optimizer = "adagrad"
learning_rate = 0.01
batch = 32
epochs = 20
early_stopping = 3
reduce_lr_factor = 0.1
reduce_lr_patience = 2

[train.linear]
embedder = "efficientnet-b4"

[evaluate]
split = "test"
mask_by = ["phylum"]
"""


@dataclass(frozen=True)
class Step:
    """One step of a recipe: the command that runs it, and a function that tells why it is out of date (None: it is not)."""

    command: str
    arguments: tuple[str, ...]
    out_of_date: Callable[[Snapshot | None], str | None]

    def __str__(self) -> str:
        return " ".join((self.command, *self.arguments))


def reference_recipe() -> str:
    """The text of a ``coldframe.toml`` with the reference recipe."""
    from pipeline.curate.scorers.clip_quality import BAD, GOOD

    lines = {name: "\n".join(f'    "{one}",' for one in prompts) for name, prompts in (("good", GOOD), ("bad", BAD))}
    return REFERENCE.format(**lines)


def steps(config: Config) -> Iterator[Step]:
    """The steps that the sections of a ``coldframe.toml`` ask for; each can tell its state at a moment of the store."""
    if config.section("ingest"):
        yield Step("ingest", (), partial(ingest.out_of_date, config=config))
    with_views = {name: views for name in _names(config, "embed") if (views := _views(config, name))}
    for name in _names(config, "embed"):
        arguments = (name, "--views", "0") if name in with_views else (name,)  # views wait for the training rows
        yield Step("embed", arguments, partial(embed.out_of_date, config=config, name=name))
    for name in _names(config, "score"):
        yield _score_step(config, name)
    if copies.STEP in config.tables:  # its section may be empty
        yield _copies_step(config)
    for name in _names(config, "plans"):
        yield _curate_step(config, name)
    for name, views in with_views.items():
        yield Step("embed", (name, "--views", str(views)), partial(embed.views_out_of_date, config=config, name=name))
    for section, step in (("train", None), ("tune", tune), ("finetune", finetune)):
        for name in _names(config, section):
            made_by = step or (from_pixels if "from_scratch" in config.section(section, name) else train)
            yield Step(section, ("--as", name), partial(made_by.out_of_date, config=config, name=name))
            yield Step("evaluate", (name,), partial(evaluate.out_of_date, config=config, name=name))


def _names(config: Config, section: str) -> Iterator[str]:
    """The names of the tables in a section.

    Raises:
        ColdframeError: a name is none that a command would take; it could be taken for an option.
    """
    for name in config.section(section):
        names.check(f"{config.path}: [{section}]: something", name)
        yield name


def _views(config: Config, name: str) -> int:
    """How many augmented views of a feature set are asked for. Errors in its section are left to its step."""
    try:
        return config.settings(Settings, "embed", name, flags={}).views
    except ColdframeError:
        return 0


def stale(snapshot: Snapshot, config: Config) -> list[tuple[str, str]]:
    """``(step, reason)`` of each step that would run now: the file's, and scores, copies and plans that only the store has."""
    asked = list(steps(config))
    known = {str(step) for step in asked}
    scored = [row["scorer"] for row in snapshot.rows("steps/curate/scored") if row["scorer"] in scorers.names()]
    kept = [_score_step(config, name) for name in scored]
    kept += [_copies_step(config)] if Record.of(snapshot, copies.STEP, "") is not None else []
    kept += [_curate_step(config, str(row["plan"])) for row in snapshot.rows("steps/curate/plans")]
    asked += [step for step in kept if str(step) not in known]
    found = []
    for step in asked:
        try:
            reason = step.out_of_date(snapshot)
        except ColdframeError as error:
            reason = str(error)
        except OSError as error:  # of a file that the recipe names: the other steps are looked at all the same
            reason = f"{error.filename or 'a file'}: {error.strerror or error}"
        if reason:
            found.append((str(step), reason))
    return found


def _score_step(config: Config, name: str) -> Step:
    return Step("score", (name,), partial(score.out_of_date, config=config, name=name))


def _copies_step(config: Config) -> Step:
    return Step(copies.STEP, (), partial(copies.out_of_date, config=config))


def _curate_step(config: Config, name: str) -> Step:
    return Step("curate", ("--plan", name), partial(replay.out_of_date, config=config, name=name))
