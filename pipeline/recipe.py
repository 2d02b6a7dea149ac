"""The steps a ``coldframe.toml`` asks for, in order, and why each is out of date.

Every step recorded its settings and a digest of each thing it read when it finished; a step is up to date when both
are what they would be now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.curate import plans, replay, scorers
from pipeline.embed import embed, feature_sets
from pipeline.evaluate import evaluate
from pipeline.finetune import finetune
from pipeline.ingest import ingest
from pipeline.runs.evaluations import record_name
from pipeline.runs.runs import Run
from pipeline.steps.config import Config
from pipeline.train import fitting, from_pixels, tune
from store.errors import ColdframeError
from store.rows import json_of
from store.store import Snapshot

# Settings, by step, that change how it runs and not what it makes.
INCIDENTAL = {
    "ingest": {"commit_seconds", "max_seconds", "rehash", "workers"},
    "embed": {"backend", "batch", "commit_seconds", "device", "limit", "max_failure_rate", "retry"},
    "train": {"memory_share"},
    "finetune": {"memory_share", "max_disk"},
    "tune": {"memory_share"},
    "evaluate": {"memory_share"},
}

REFERENCE = """\
# The reference recipe. Settings that are not shown have their defaults; see 'coldframe STEP --help'.
# Run it with 'coldframe run'; what is up to date is skipped.

store = "coldframe-store"

[ingest]
metadata = "metadata.csv"        # CSV, TSV or Parquet, or a folder of class folders
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

[plans.default]
seed = 0
stages = [
    {{ rule = "greyscale" }},
    {{ rule = "cmyk" }},
    {{ rule = "clip-quality", threshold = 0.0 }},
    {{ split = "test", share = 0.15 }},
    # apply_to = "all" removes test rows as well, as the report did, which flatters the score
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
    """One step of a recipe: the command that does it, and how to tell whether it is out of date (None: it is not)."""

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
    """The steps that the sections of a ``coldframe.toml`` ask for, each with its state against a moment of the store."""
    if config.section("ingest"):
        yield Step("ingest", (), lambda moment: _ingest_reason(config, moment))
    with_views = {name: views for name in config.section("embed") if (views := _views(config, name))}
    for name in config.section("embed"):
        arguments = (name, "--views", "0") if name in with_views else (name,)  # views wait for the training rows
        yield Step("embed", arguments, lambda moment, name=name: _embed_reason(config, name, moment))  # type: ignore[misc]
    for name in config.section("score"):
        yield Step("score", (name,), lambda moment, name=name: _score_reason(config, name, moment))  # type: ignore[misc]
    for name in config.section("plans"):
        yield _curate_step(config, name)
    for name, views in with_views.items():
        arguments = (name, "--views", str(views))
        yield Step("embed", arguments, lambda moment, name=name: _views_reason(config, name, moment))  # type: ignore[misc]
    for name in config.section("train"):
        yield Step("train", ("--as", name), lambda moment, name=name: _train_reason(config, name, moment))  # type: ignore[misc]
        yield Step("evaluate", (name,), lambda moment, name=name: _evaluate_reason(config, name, moment))  # type: ignore[misc]
    for name in config.section("tune"):
        yield Step("tune", ("--as", name), lambda moment, name=name: _tune_reason(config, name, moment))  # type: ignore[misc]
        yield Step("evaluate", (name,), lambda moment, name=name: _evaluate_reason(config, name, moment))  # type: ignore[misc]
    for name in config.section("finetune"):
        yield Step("finetune", ("--as", name), lambda moment, name=name: _finetune_reason(config, name, moment))  # type: ignore[misc]
        yield Step("evaluate", (name,), lambda moment, name=name: _evaluate_reason(config, name, moment))  # type: ignore[misc]


def _ingest_reason(config: Config, moment: Snapshot | None) -> str | None:
    settings = ingest_settings(config, {})
    record = _record(moment, "ingest", "")
    if record is None or moment is None:
        return "never run"
    source = Path(settings.metadata)
    wanted = asdict(ingest.resolved(settings))
    return _difference(record, wanted, ingest.inputs_read(source)) or ingest.changed_on_disk(
        moment, Path(wanted["images"]), settings.max_pixels
    )


def ingest_settings(config: Config, flags: Mapping[str, Any]) -> ingest.Settings:
    """Settings of ``ingest``.

    Raises:
        ColdframeError: neither a flag nor the file names the catalogue.
    """
    settings = config.settings(ingest.Settings, "ingest", flags=flags)
    if not settings.metadata:
        raise ColdframeError("which catalogue? Give METADATA, or 'metadata' under [ingest] in coldframe.toml")
    return settings


def _embed_reason(config: Config, name: str, moment: Snapshot | None) -> str | None:
    settings = config.settings(embed.Settings, "embed", name, flags={})
    record = _record(moment, "embed", name)
    if record is None or moment is None:
        return "never run"
    changed = _difference(record, embed.resolved(settings).of_pictures(), {})
    missing = _untried(moment, name, replace(settings, views=0))
    return changed or (f"{missing} contents have no vector" if missing else None)


def _views(config: Config, name: str) -> int:
    """How many augmented views of a feature set are asked for; what is wrong with its section, its step will say."""
    try:
        return config.settings(embed.Settings, "embed", name, flags={}).views
    except ColdframeError:
        return 0


def _views_reason(config: Config, name: str, moment: Snapshot | None) -> str | None:
    settings = config.settings(embed.Settings, "embed", name, flags={})
    record = _record(moment, embed.VIEWS_STEP, name)
    if record is None or moment is None:
        return "never run"
    missing = _untried(moment, name, settings)
    return _difference(record, settings.of_views(), {}) or (f"{missing} contents lack views" if missing else None)


def _untried(moment: Snapshot, name: str, settings: embed.Settings) -> int:
    """Contents that lack a view and have not failed before."""
    rows = embed.missing_by_prefix(moment, name, settings)
    return sum(row["contents"] for row in rows if not row["failed_before"])


def _score_reason(config: Config, name: str, moment: Snapshot | None) -> str | None:
    settings = config.settings(scorers.module(name).Settings, "score", name, flags={})
    record = _record(moment, "score", name)
    if record is None or moment is None:
        return "never run"
    embedder = feature_sets.choose(moment, settings.embedder)
    inputs = {f"embeddings of {embedder}": feature_sets.digest(moment, embedder)}
    return _difference(record, {**asdict(settings), "embedder": embedder}, inputs)


def _curate_reason(config: Config, name: str, moment: Snapshot | None) -> str | None:
    record = _record(moment, "curate", name)
    if record is None or moment is None:
        return "never run"
    plan = plans.current(config, moment, name)
    if plan is None:
        return None
    return _difference(record, replay.plan_settings(plan), replay.inputs_read(moment, plan))


def _train_reason(config: Config, name: str, moment: Snapshot | None) -> str | None:
    record = _record(moment, "train", name)
    if "from_scratch" in config.section("train", name):
        network = config.settings(from_pixels.Settings, "train", name, flags={})
        if record is None or moment is None:
            return "never run"
        return _difference(record, asdict(network), from_pixels.inputs_read(moment, network))
    settings = config.settings(fitting.Settings, "train", name, flags={})
    if record is None or moment is None:
        return "never run"
    wanted = fitting.resolve(moment, name, settings)
    return _difference(record, asdict(wanted), fitting.inputs_read(moment, wanted))


def _tune_reason(config: Config, name: str, moment: Snapshot | None) -> str | None:
    settings = config.settings(tune.Settings, "tune", name, flags={})
    record = _record(moment, "tune", name)
    if record is None or moment is None:
        return "never run"
    wanted = tune.resolve(moment, name, settings)
    return _difference(record, asdict(wanted), fitting.inputs_read(moment, wanted))


def _finetune_reason(config: Config, name: str, moment: Snapshot | None) -> str | None:
    settings = config.settings(finetune.Settings, "finetune", name, flags={})
    record = _record(moment, "finetune", name)
    if record is None or moment is None:
        return "never run"
    run = finetune.begins_with(moment, settings)
    return _difference(record, asdict(settings), finetune.inputs_read(moment, run))


def _evaluate_reason(config: Config, name: str, moment: Snapshot | None) -> str | None:
    settings = config.settings(evaluate.Settings, "evaluate", flags={})
    run = Run.newest(moment, name=name) if moment else None
    if moment is None or run is None:
        return "never run"
    record = _record(moment, "evaluate", record_name(name, settings.split, evaluate.other_plan(settings, run)))
    if record is None:
        return "never run"
    wanted = {**asdict(settings), "plan": settings.plan or run.plan}
    return _difference(record, wanted, evaluate.inputs_read(moment, run, settings))


def stale(snapshot: Snapshot, config: Config) -> list[tuple[str, str]]:
    """``(step, reason)`` of each step that would run now: those of the file, and plans that only the store knows."""
    asked = list(steps(config))
    known = {str(step) for step in asked}
    for row in snapshot.rows("steps/curate/plans"):
        step = _curate_step(config, str(row["plan"]))
        if str(step) not in known:
            asked.append(step)
    found = []
    for step in asked:
        try:
            reason = step.out_of_date(snapshot)
        except ColdframeError as error:
            reason = str(error)
        if reason:
            found.append((str(step), reason))
    return found


def _curate_step(config: Config, name: str) -> Step:
    return Step("curate", ("--plan", name), lambda moment: _curate_reason(config, name, moment))


def _record(moment: Snapshot | None, step: str, name: str) -> dict[str, Any] | None:
    rows = moment.rows("steps/status/step", step=step, name=name) if moment else []
    return rows[0] if rows else None


def _difference(record: Mapping[str, Any], settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str | None:
    """What differs from a recorded step, settings first; None where nothing does."""
    where = f"step {' '.join(filter(None, (record['step'], record['name'])))}"
    before, incidental = json_of(record["settings"], f"the settings of {where}"), INCIDENTAL.get(record["step"], set())
    now = json.loads(json.dumps(settings))
    changed = sorted(key for key in before | now if key not in incidental and before.get(key) != now.get(key))
    if changed:
        return f"settings changed: {', '.join(changed)}"
    read = json_of(record["inputs"], f"the inputs of {where}")
    moved = sorted(key for key in read | dict(inputs) if inputs and read.get(key) != inputs.get(key))
    return f"changed since: {', '.join(moved)}" if moved else None
