"""Remaking: the commands that make again what a store has lost, with the settings it recorded."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipeline.curate import scorers
from pipeline.embed import embed
from pipeline.finetune import finetune
from pipeline.ingest import ingest
from pipeline.runs import runs
from pipeline.runs.evaluations import Evaluation, record_name
from pipeline.train import fitting, heads
from store.errors import ColdframeError
from store.store import Snapshot

INGEST_OPTIONS = ("id", "path", "label", "max_pixels")
EMBED_OPTIONS = ("weights", "size", "seed", "store_as", "max_pixels")
VIEW_OPTIONS = (
    *("views", "view_rows", "plan", "flip", "rotation", "zoom", "brightness", "contrast", "channel_shift"),
    *("fill", "view_seed"),
)


def record_of(moment: Snapshot, step: str, name: str) -> dict[str, Any] | None:
    """The settings a step was last run with, if that is recorded."""
    rows = moment.rows("steps/status/step", step=step, name=name)
    return json.loads(rows[0]["settings"]) if rows else None


def ingest_command(moment: Snapshot) -> str:
    """The last ingest again; rows it finds are looked at only where their file is not known."""
    settings = record_of(moment, "ingest", "")
    if settings is None:
        return "coldframe ingest METADATA --images DIR"
    words = ["ingest", settings["metadata"], "--images", settings["images"]]
    return _command(words, settings, asdict(ingest.Settings()), INGEST_OPTIONS)


def embed_command(moment: Snapshot, name: str, row: Mapping[str, Any] | None) -> str:
    """The embed that fills a feature set; ``row`` is the set's own, if the store still has it.

    It leaves views to :func:`views_command`: their rows are those of a plan, which may have to be replayed before.
    """
    words, settings, made = _embed(moment, name, row)
    words += ["--views", "0"] if made.get("views") else []  # a coldframe.toml may ask for them
    return _command(words, settings, asdict(embed.Settings()), EMBED_OPTIONS)


def views_command(moment: Snapshot, name: str, row: Mapping[str, Any] | None) -> str | None:
    """The embed that makes the augmented views of a feature set, if it has any."""
    words, settings, made = _embed(moment, name, row)
    if not made.get("views"):
        return None
    augmentation = {**made["augmentation"], "view_seed": made["augmentation"]["seed"]}
    del augmentation["seed"]
    rows = record_of(moment, embed.VIEWS_STEP, name) or {}
    settings |= {**rows, **augmentation, "views": made["views"]}
    return _command(words, settings, asdict(embed.Settings()), (*EMBED_OPTIONS, *VIEW_OPTIONS))


def _embed(
    moment: Snapshot, name: str, row: Mapping[str, Any] | None
) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """The first words of an embed of a set, the settings to load its network by, and what the set was made with."""
    settings = record_of(moment, "embed", name) or {}
    network, max_pixels = settings.get("embedder") or name, settings.get("max_pixels")
    made: dict[str, Any] = {}
    if row is not None:
        source = json.loads(row["source"])
        network, size = row["network"], source.get("size")
        settings = {**source, "size": size and f"{size[0]}x{size[1]}", "max_pixels": max_pixels}
        made = json.loads(row["settings"])
        settings["store_as"] = made.get("store_as")
    return ["embed", network] + (["--as", name] if network != name else []), settings, made


def score_command(moment: Snapshot, name: str) -> str:
    """The score again."""
    try:
        defaults = asdict(scorers.module(name).Settings())
    except ColdframeError:  # a scorer of the user's own that has gone
        defaults = {}
    defaults = json.loads(json.dumps(defaults))
    settings = record_of(moment, "score", name) or {}
    return _command(["score", name], settings, defaults, tuple(defaults))


def train_command(moment: Snapshot, run_id: str) -> str:
    """A run like one that is lost, under the same name."""
    name = runs.name_in(run_id)
    rows = moment.rows("steps/repair/run", run_id=run_id)
    record = record_of(moment, "train", name) or record_of(moment, "finetune", name)
    settings = json.loads(rows[0]["settings"]) if rows else record or {}
    if "layers" in settings:
        options = tuple(one for one in settings if one != "run")
        words = ["finetune", *([_still_there(moment, settings["run"])] if settings["run"] else []), "--as", name]
        return _command(words, settings, asdict(finetune.Settings()), options)
    head = settings.get("head") or name
    if head not in heads.names():
        return _command(["train", "--as", name], settings, {}, ("head", "embedder", "plan"))
    defaults = json.loads(json.dumps(asdict(heads.resolve(head, fitting.Settings(head=name)))))
    options = ("head", "embedder", "plan", *heads.heeded(head), "views", "folds")
    return _command(["train", "--as", name], settings, defaults, options)


def _still_there(moment: Snapshot, run: str) -> str:
    """A run's id, or its name where the run is lost as well and will have another id."""
    is_id_of_lost = not moment.rows("steps/repair/run", run_id=run) and run.count("-") > 1
    return runs.name_in(run) if is_id_of_lost else run


def evaluate_command(moment: Snapshot, run: str, name: str, split: str, evaluations: list[str]) -> str:
    """Evaluations of a run on a split of one plan again; ``name`` is the run's. They are named as ``predictions`` names them."""
    parsed = [Evaluation.parse(one) for one in evaluations]
    folds = [one.folds for one in parsed if one.folds]
    if folds:  # they come with the training
        return _command(["train", "--from", run], {"folds": folds[0]}, {}, ("folds",))
    exported = [one.exported_as for one in parsed if one.exported_as]
    if exported:  # they are of an artefact, which gives them when it is made
        return _command(
            ["export", run, "--force"], {"format": exported[0], "split": split}, {"split": "test"}, ("format", "split")
        )
    plan = parsed[0].plan
    record = record_of(moment, "evaluate", record_name(name, split, plan)) or {}
    settings = {
        "split": split,
        "mask_by": sorted({one.masked_by for one in parsed if one.masked_by}),
        "group_by": record.get("group_by"),
        "tta": any(one.tta for one in parsed) or None,
        "plan": plan,
    }
    return _command(["evaluate", run], settings, {"split": "test"}, tuple(settings))


def _command(
    words: list[str], settings: Mapping[str, Any], defaults: Mapping[str, Any], options: tuple[str, ...]
) -> str:
    """A command line with each option whose value is not the default; a list repeats its option."""
    for name in options:
        value, flag = settings.get(name), f"--{name.replace('_', '-')}"
        if value is None or value == defaults.get(name):
            continue
        if isinstance(value, bool):
            words = [*words, flag if value else f"--no-{flag[2:]}"]
            continue
        for one in value if isinstance(value, list) else [value]:
            words = [*words, flag, str(one)]
    return shlex.join(["coldframe", *words])
