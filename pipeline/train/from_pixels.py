"""Train a network from scratch, on pixels: the baseline that shows what a frozen backbone gains."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.ingest.pictures import MEMORY_SHARE, Pixels, load_pictures
from pipeline.runs import judgement, keeping, runs
from pipeline.runs.keeping import Outcome
from pipeline.runs.rows import Rows, load_rows
from pipeline.runs.runs import NETWORK, Run
from pipeline.steps.again import operand
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from pipeline.steps.settings import as_json, from_json, incidental, options, setting
from pipeline.train import fitting, networks
from store.errors import ColdframeError
from store.schemas import DEFAULT_PLAN, TRAIN, VALIDATION
from store.store import Snapshot, Store

STEP = "train"
EMBEDDER = "pixels"  # shown in place of a feature set


@dataclass(frozen=True)
class Settings(networks.Settings):
    """The network, and the rows whose pictures it learns from."""

    from_scratch: str = setting("cnn", "No head: a network on pixels.", choices=networks.names)
    plan: str = setting(DEFAULT_PLAN)
    memory_share: float = setting(MEMORY_SHARE, least=0, most=1, incidental=True)


def settings_of(run: Run) -> Settings:
    """The settings that a run was made with."""
    made: Settings = from_json(Settings, run.settings)
    return made


def train(store: Store, name: str, settings: Settings, *, quiet: bool = False) -> Outcome:
    """Train a network on the pictures of the plan's training rows and save it as a run called ``name``.

    Raises:
        ColdframeError: there is no plan, no such network, fewer than two classes, or settings are out of range.
    """
    started = time.monotonic()
    runs.check_name(name)
    snapshot = store.snapshot()
    inputs = inputs_read(snapshot, settings)
    fitting.require_plan(snapshot, settings.plan)
    notes: list[str] = []
    training, pictures = _load(snapshot, settings, TRAIN, notes, quiet=quiet)
    validation, val_pictures = _load(snapshot, settings, VALIDATION, notes, quiet=quiet)
    classes = np.unique(training.labels)
    known = np.isin(validation.labels, classes)
    if not known.all():
        notes.append(fitting.unknown_classes(validation.labels[~known], classes))
        validation, val_pictures = validation.where(known), val_pictures[known]
    notes += (
        fitting.unvalidated(classes, validation.labels) if len(validation) else [fitting.no_validation(settings.plan)]
    )
    held_out = (val_pictures, judgement.targets(validation.labels, classes)) if len(validation) else None
    targets = judgement.targets(training.labels, classes)
    fitted = networks.fit(settings.from_scratch, pictures, targets, held_out, len(classes), settings, quiet)
    digest = training.digest()[:16] + validation.digest()[:16]
    run_id, created_at = runs.new_id(name, [asdict(settings), digest])
    seconds = time.monotonic() - started
    seen = [training, *([validation] if len(validation) else [])]
    facts = {
        "kind": NETWORK,
        "head": settings.from_scratch,
        "embedder": EMBEDDER,
        "embedders": [],
        "plan": settings.plan,
        "features_digest": digest,
        "classes": classes.tolist(),
        "parameters": fitted.parameters,
        "seed": settings.seed,
        "views": 0,
        "settings_chosen_on": None,
    }
    made = keeping.Made(
        run_id, created_at, facts, fitted.file, ".keras", asdict(settings), fitted.history, seen, seconds
    )
    keeping.keep(store, STEP, made, asked=asdict(settings), inputs=inputs)
    return Outcome.of(made, notes, by_epoch=bool(settings.early_stopping))


def inputs_read(snapshot: Snapshot, settings: Settings) -> dict[str, str]:
    """A digest of each column of the training and validation rows; pictures are identified by content."""
    return fitting.rows_read(snapshot, settings.plan)


def _load(snapshot: Snapshot, settings: Settings, split: str, notes: list[str], *, quiet: bool) -> tuple[Rows, Pixels]:
    rows = load_rows(snapshot, settings.plan, [], split)
    found = load_pictures(snapshot, rows.content_ids, settings.size, memory_share=settings.memory_share, quiet=quiet)
    if found.failed:
        content, reason = next(iter(found.failed.items()))
        notes.append(
            f"{int((~found.readable).sum())} {split} rows have a picture that cannot be read and are left out, such as content "
            f"{content}: {reason}"
        )
    if split == TRAIN and not found.readable.any():
        raise ColdframeError(
            f"plan {settings.plan!r} has no training row whose picture can be read: see 'coldframe status'"
        )
    return rows.where(found.readable), found.array


def out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why a network has to be trained again; None if it need not be."""
    settings = config.settings(Settings, STEP, name, flags={})
    record = Record.of(moment, STEP, name)
    if record is None or moment is None:
        return NEVER
    return record.difference(as_json(settings), inputs_read(moment, settings), Settings)


def again(config: Config, name: str, made: Mapping[str, Any]) -> list[str]:
    """The command that trains a network with these settings again, under the same name."""
    settings: Settings = from_json(Settings, made)
    defaults = config.defaults(Settings, STEP, name, from_scratch=settings.from_scratch)
    asked = options(Settings, settings, defaults, leave_out=("from_scratch", *incidental(Settings)))
    return [STEP, "--from-scratch", operand(settings.from_scratch), "--as", operand(name), *asked]
