"""Train: a head on cached features, saved with everything that made it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from pipeline.curate import units
from pipeline.runs import judgement, keeping, runs
from pipeline.runs.evaluations import Evaluation
from pipeline.runs.judgement import Judgement
from pipeline.runs.keeping import Outcome
from pipeline.steps.again import operand
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from pipeline.steps.settings import as_json, from_json, incidental, options
from pipeline.train import fitting, heads
from pipeline.train.fitting import Data, Settings
from store.errors import ColdframeError
from store.matrices import FloatMatrix
from store.store import Snapshot, Store

STEP = "train"


def train(store: Store, name: str, settings: Settings) -> Outcome:
    """Train a head on the plan's training rows and save it as a run called ``name``.

    The validation split, if the plan has one, stops training early; the weights of the best epoch are kept.

    Raises:
        ColdframeError: there is no plan, no features, vectors that are not finite, fewer than two classes, an unknown head or
            optimiser, or settings are out of range.
    """
    started = time.monotonic()
    runs.check_name(name)
    snapshot = store.snapshot()
    resolved = fitting.resolve(snapshot, name, settings)
    inputs = fitting.inputs_read(snapshot, resolved)
    data = fitting.load(snapshot, resolved)
    texts = fitting.texts(snapshot, resolved)
    run_id, created_at = runs.new_id(name, [asdict(resolved), data.digest])
    folds, fold_notes = _out_of_fold(snapshot, run_id, data, resolved, texts) if resolved.folds else (None, [])
    head, fitted = fitting.fit(data.training, data.validation, data.classes, resolved, texts)
    seen = data.seen(resolved)
    seconds = time.monotonic() - started
    made = keeping.Made(
        run_id,
        created_at,
        fitting.facts(data, resolved, head),
        head.to_bytes(),
        ".npz",
        asdict(resolved),
        fitted.history,
        seen,
        seconds,
        [folds] if folds else [],
    )
    keeping.keep(store, STEP, made, asked=asdict(resolved), inputs=inputs)
    return Outcome.of(made, (*data.notes, *fold_notes, *fitted.notes), by_epoch=bool(resolved.early_stopping))


def _out_of_fold(
    snapshot: Snapshot,
    run_id: str,
    data: Data,
    settings: Settings,
    embed_texts: Callable[[Sequence[str]], FloatMatrix] | None,
) -> tuple[Judgement, list[str]]:
    """Predict every training row by a head that has seen no row of its unit; folds are stratified by class.

    Raises:
        ColdframeError: there are fewer units than folds, or a fold leaves fewer than two classes to learn.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    rows, classes = data.training, data.classes
    groups = units.of_rows(snapshot, settings.plan, rows.image_ids)
    if len(np.unique(groups)) < settings.folds:
        raise ColdframeError(
            f"train: folds = {settings.folds}, and the training rows are {len(np.unique(groups))} units that stay together: "
            "ask for fewer"
        )
    most = int(np.unique(rows.labels, return_counts=True)[1].max())
    if most < settings.folds:
        raise ColdframeError(f"train: folds = {settings.folds}, and no class has more than {most} rows: ask for fewer")
    probabilities = np.zeros((len(rows), len(classes)))
    unknown: set[str] = set()
    splitter = StratifiedGroupKFold(settings.folds, shuffle=True, random_state=settings.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on classes with fewer rows than folds: reported below
        folds = list(splitter.split(np.zeros(len(rows)), rows.labels, groups))
    for learned, predicted in folds:
        mask = np.zeros(len(rows), bool)
        mask[learned] = True
        training, held_out = rows.where(mask), rows.where(~mask)
        known = np.unique(training.labels)
        if len(known) < 2:
            raise ColdframeError(
                f"train: folds = {settings.folds} leave a fold with one class to learn: ask for more folds"
            )
        unknown |= set(held_out.labels) - set(known)
        validation = data.validation
        if validation is not None:
            validation = validation.where(np.isin(validation.labels, known))
            validation = validation.copy() if len(validation) else None  # each fold scales it differently
        head, _ = fitting.fit(training, validation, known, settings, embed_texts)
        probabilities[np.ix_(predicted, np.searchsorted(classes, known))] = head.predict(held_out.matrix)
    notes = []
    if unknown:
        notes.append(
            f"{len(unknown)} classes have all their rows in one fold, so out of fold none of those can be right: "
            f"{fitting.named(np.array(sorted(unknown)))}"
        )
    return judgement.judge(run_id, str(Evaluation(folds=settings.folds)), rows, groups, classes, probabilities), notes


def out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why a head has to be trained again; None if it need not be."""
    settings = config.settings(Settings, STEP, name, flags={})
    record = Record.of(moment, STEP, name)
    if record is None or moment is None:
        return NEVER
    wanted = fitting.resolve(moment, name, settings)
    return record.difference(as_json(wanted), fitting.inputs_read(moment, wanted), Settings)


def again(config: Config, name: str, made: Mapping[str, Any]) -> list[str]:
    """The command that trains a head with these settings again, under the same name."""
    settings: Settings = from_json(Settings, made)
    head = settings.head or name
    defaults = _resolved(head, config.defaults(Settings, STEP, name, head=head))
    unheeded = [one for one in heads.ALL_SETTINGS if one not in heads.heeded(head)]
    named = ["--head", head] if head != (config.section(STEP, name).get("head") or name) else []
    asked = options(Settings, _resolved(head, settings), defaults, leave_out=("head", *unheeded, *incidental(Settings)))
    return [STEP, "--as", operand(name), *named, *asked]


def _resolved(head: str, settings: Settings) -> Settings:
    resolved = heads.resolve(head, settings)
    embedder = resolved.embedder
    return replace(resolved, embedder=(embedder,) if isinstance(embedder, str) else embedder)
