"""Finetune: train the last layers of a backbone together with its head, briefly, end to end.

*cut*: the layers below the first trained one do not change. Their output is computed once for each picture and kept
(:mod:`pipeline.finetune.activations`), and only the part above is trained. *whole*: every picture goes through the whole
network in every epoch, augmented if asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.embed.augmentation import Augmentation
from pipeline.finetune import cut, loop
from pipeline.finetune.inputs import CutInputs, Inputs, WholeInputs
from pipeline.finetune.loop import Examples, Figures, Fit, Network, Schedule
from pipeline.finetune.settings import STEP, Settings, begins_with, inputs_read
from pipeline.runs import judgement, keeping, neighbours, runs
from pipeline.runs.neighbours import Neighbours
from pipeline.runs.rows import Rows, load_rows
from pipeline.runs.runs import FINETUNED, Run, is_id, name_in
from pipeline.runtime.progress import Progress
from pipeline.steps import hints
from pipeline.steps.again import operand
from pipeline.steps.config import Config, parse_bytes
from pipeline.steps.records import NEVER, Record
from pipeline.steps.settings import (
    as_json,
    check,
    from_json,
    incidental,
    options,
)
from pipeline.train import classifier, fitting
from pipeline.train.classifier import Parts
from pipeline.train.heads import Head
from pipeline.train.loop import PLATEAU
from store.errors import ColdframeError
from store.schemas import TRAIN, VALIDATION
from store.store import Snapshot, Store


@dataclass(frozen=True)
class Outcome:
    """A fine-tuned run.

    Attributes:
        of: the run it began with.
        trained: the backbone's layers whose weights were trained.
        before, after: the figures of the rows that chose the epoch: validation rows, or training rows if there are none.
        helped: whether ``after`` is better; None if there are no validation rows.
    """

    run_id: str
    of: str
    train_rows: int
    val_rows: int
    epochs: int
    trained: tuple[str, ...]
    before: Figures
    after: Figures
    helped: bool | None
    seconds: float
    notes: tuple[str, ...]


def finetune(
    store: Store, name: str, settings: Settings, *, tell: Callable[[str], None] = lambda said: None, quiet: bool = False
) -> Outcome:
    """Fine-tune a run and save the result as a run called ``name``.

    ``tell`` is called before anything long begins, with the way taken and the reason.

    Raises:
        ColdframeError: there is no such run, it has no layers on one Keras Applications backbone, settings are out of range, or
            there are no rows.
        Locked: another process is computing the same activations.
    """
    started = time.monotonic()
    runs.check_name(name)
    _check(settings)
    snapshot = store.snapshot()
    run = begins_with(snapshot, settings)
    parts = classifier.parts(snapshot, run)
    trained = cut.unfreeze(parts.backbone, settings.layers)
    inputs = _inputs(store, snapshot, parts, trained, settings, quiet=quiet)
    tell(inputs.how)
    read = inputs_read(snapshot, run)
    notes: list[str] = []
    rows, val_rows = _load(snapshot, run, inputs, notes)
    network = Network(inputs.body, parts.head, seed=settings.seed)
    fitted = _fit(network, inputs, run, rows, val_rows, settings, quiet=quiet)
    arrays = {
        **network.head_arrays(parts.head),
        **classifier.tuned_arrays(parts.backbone, trained),
        **_neighbours(network, inputs, rows, settings).to_arrays(),
    }
    head = Head(parts.head.name, parts.head.scaling, arrays)
    helped = _is_better(fitted.after, fitted.before) if len(val_rows) else None
    seconds = time.monotonic() - started
    settled = {**asdict(settings), "mode": inputs.mode, "run": run.run_id}
    facts = {**_facts(run, parts, rows, val_rows, helped), "seed": settings.seed, **_figures(fitted, val_rows)}
    seen = [rows, *([val_rows] if len(val_rows) else [])]
    run_id, created_at = runs.new_id(name, settled)
    made = keeping.Made(run_id, created_at, facts, head.to_bytes(), ".npz", settled, fitted.history, seen, seconds)
    keeping.keep(store, STEP, made, asked=asdict(settings), inputs=read)
    return Outcome(
        run_id,
        run.run_id,
        len(rows),
        len(val_rows),
        len(fitted.history["loss"]),
        tuple(trained),
        fitted.before,
        fitted.after,
        helped,
        seconds,
        tuple(notes),
    )


def _check(settings: Settings) -> None:
    check("finetune", settings)
    parse_bytes("max_disk", settings.max_disk)
    if settings.augment and settings.mode == CutInputs.mode:
        raise ColdframeError(
            "finetune: --augment needs --mode whole: activations at a cut are of the pictures as they are"
        )


def _inputs(
    store: Store, snapshot: Snapshot, parts: Parts, trained: list[str], settings: Settings, *, quiet: bool
) -> Inputs:
    """What to train on, by the mode asked for, or else by the one that suits best."""
    if settings.mode == WholeInputs.mode:
        why = "as asked"
    elif settings.augment:
        why = "since --augment shows other pictures in every epoch"
    elif (at := cut.cut(parts.backbone, trained)) is not None:
        return CutInputs(
            store,
            snapshot,
            parts,
            at,
            trained[0],
            cache_as=settings.cache_as,
            max_disk=parse_bytes("max_disk", settings.max_disk),
            quiet=quiet,
        )
    else:
        why = f"since no single tensor lies between the pictures and {trained[0]}"
    if settings.mode == CutInputs.mode:
        raise ColdframeError(f"finetune: --mode cut is not possible, {why}: leave it out, or ask for fewer layers")
    return WholeInputs(
        snapshot,
        parts,
        why,
        augment=Augmentation(seed=settings.seed) if settings.augment else None,
        memory_share=settings.memory_share,
        quiet=quiet,
    )


def _load(snapshot: Snapshot, run: Run, inputs: Inputs, notes: list[str]) -> tuple[Rows, Rows]:
    """Training and validation rows with readable pictures, of classes that the run knows.

    Raises:
        ColdframeError: there is no such training row.
    """
    rows, val_rows = (_rows(snapshot, run, split, notes) for split in (TRAIN, VALIDATION))
    failed = inputs.prepare([*rows.content_ids.tolist(), *val_rows.content_ids.tolist()])
    rows, val_rows = (_readable(one, failed, notes) for one in (rows, val_rows))
    if not len(rows):
        raise ColdframeError(f"plan {run.plan!r} has no training row whose picture can be read: see 'coldframe status'")
    if not len(val_rows):
        notes.append(
            f"no validation row says whether fine-tuning helps: {hints.split(run.plan, VALIDATION, '0.10')} makes some"
        )
    return rows, val_rows


def _rows(snapshot: Snapshot, run: Run, split: str, notes: list[str]) -> Rows:
    """The rows of a split of the run's plan, of classes that the run knows."""
    rows = load_rows(snapshot, run.plan, [], split)
    known = np.isin(rows.labels, run.classes)
    if not known.all():
        told = judgement.unseen(rows.labels[~known], run.class_names)
        notes.append(f"{(~known).sum()} {split} rows are of classes that {run.run_id} does not know, left out: {told}")
    return rows.where(known)


def _readable(rows: Rows, failed: Mapping[str, str], notes: list[str]) -> Rows:
    unreadable = np.isin(rows.content_ids, list(failed))
    if unreadable.any():
        content = str(rows.content_ids[unreadable][0])
        notes.append(
            f"{int(unreadable.sum())} {rows.splits[0]} rows have a picture that cannot be read and are left out, such as content "
            f"{content}: {failed[content]}"
        )
    return rows.where(~unreadable)


def _fit(
    network: Network,
    inputs: Inputs,
    run: Run,
    rows: Rows,
    val_rows: Rows,
    settings: Settings,
    *,
    quiet: bool,
) -> Fit:
    """Train with the class weights and the label smoothing of the run's head."""
    classes, of_head = run.class_names, fitting.settings_of(run)
    training = _examples(inputs, rows, classes)
    if of_head.class_weights:
        weights = fitting.balanced(training.targets, len(classes))
        training = Examples(training.take, training.targets, weights[training.targets].astype(np.float32))
    schedule = Schedule(
        settings.optimizer,
        settings.learning_rate,
        settings.batch,
        settings.epochs,
        settings.early_stopping,
        of_head.label_smoothing,
        settings.seed,
    )
    validation = _examples(inputs, val_rows, classes) if len(val_rows) else None
    with Progress(settings.epochs * len(rows), "finetune", quiet=quiet) as progress:
        return loop.fit(network, training, validation, len(classes), schedule, progress.advance)


def _examples(inputs: Inputs, rows: Rows, classes: Any) -> Examples:
    return Examples(
        lambda places, epoch: inputs.take(rows.content_ids[places], epoch),
        judgement.targets(rows.labels, classes),
        np.ones(len(rows), np.float32),
    )


def _neighbours(network: Network, inputs: Inputs, rows: Rows, settings: Settings) -> Neighbours:
    """Unaugmented training images, with the vectors that the backbone gives them now."""
    some = neighbours.sample(len(rows), settings.seed)
    contents = rows.content_ids[some]
    starts = range(0, len(contents), settings.batch)
    pieces = [network.vectors(inputs.take(contents[at : at + settings.batch], 0)) for at in starts]
    return Neighbours(rows.image_ids[some], rows.labels[some], np.concatenate(pieces))


def _is_better(after: Figures, before: Figures) -> bool:
    """Whether more rows are right, or as many at a clearly lower loss."""
    return (after.accuracy, before.loss - after.loss) > (before.accuracy, PLATEAU)


def _facts(run: Run, parts: Parts, rows: Rows, val_rows: Rows, helped: bool | None) -> dict[str, Any]:
    """What ``runs`` records of a fine-tuned run, besides what every run has."""
    return {
        "head": run.head,
        "embedder": run.embedder,
        "embedders": list(run.embedders),
        "plan": run.plan,
        "classes": list(run.classes),
        "settings_chosen_on": run.settings_chosen_on,
        "kind": FINETUNED,
        "features_digest": rows.digest()[:16] + val_rows.digest()[:16],
        "parameters": int(parts.backbone.count_params()) + parts.head.parameters,
        "views": 0,
        "finetuned_from": run.run_id,
        "helped": helped,
    }


def _figures(fitted: Fit, val_rows: Rows) -> dict[str, float]:
    """The figures of the validation rows before and after; empty if there are none."""
    if not len(val_rows):
        return {}
    return {
        "val_loss_before": fitted.before.loss,
        "val_loss_after": fitted.after.loss,
        "val_accuracy_before": fitted.before.accuracy,
        "val_accuracy_after": fitted.after.accuracy,
    }


def out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why a run has to be fine-tuned again; None if it need not be."""
    settings = config.settings(Settings, STEP, name, flags={})
    record = Record.of(moment, STEP, name)
    if record is None or moment is None:
        return NEVER
    return record.difference(as_json(settings), inputs_read(moment, begins_with(moment, settings)), Settings)


def again(moment: Snapshot, config: Config, name: str, made: Mapping[str, Any]) -> list[str]:
    """The command that repeats a fine-tuning with these settings, under the same name."""
    settings: Settings = from_json(Settings, made)
    asked = options(Settings, settings, config.defaults(Settings, STEP, name), leave_out=tuple(incidental(Settings)))
    return [
        STEP,
        *([operand(_still_there(moment, settings.run))] if settings.run else []),
        "--as",
        operand(name),
        *asked,
    ]


def _still_there(moment: Snapshot, run: str) -> str:
    """What names the run to begin with: its id, or its name if it is lost too and will get another id."""
    is_there = Run.of_id(moment, run) is not None or Run.newest(moment, name=run) is not None
    return name_in(run) if not is_there and is_id(run) else run
