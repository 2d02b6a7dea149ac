"""Export: a run as one artefact, checked in a fresh process before it gets its name."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.curate import units
from pipeline.deploy import artefact, drafts, formats, fresh_process, model_card
from pipeline.embed import feature_sets
from pipeline.evaluate import leakage
from pipeline.ingest import decoding
from pipeline.ingest.pictures import ingested_max_pixels, stream_pictures
from pipeline.runs import neighbours, taxonomy
from pipeline.runs.evaluations import Evaluation
from pipeline.runs.judgement import Judgement, judge, keep_judgement, values_by_id
from pipeline.runs.neighbours import Neighbours
from pipeline.runs.rows import Rows, load_rows
from pipeline.runs.runs import FINETUNED, Run
from pipeline.steps.settings import options, setting
from pipeline.train import classifier
from pipeline.train.classifier import Parts
from store import files
from store.errors import ColdframeError
from store.rows import not_ours
from store.schemas import FILE_FACTS, TRAIN
from store.store import Snapshot, Store

COMPARED = 64  # images that the written model has to agree on with the run
LARGEST_DIFFERENCE = 1e-3  # in probability


@dataclass(frozen=True)
class Settings:
    """What ``export`` can be told."""

    format: str = setting("keras", "How the model is written.", choices=formats.names)
    output: str | None = setting(None, "Folder to make.", metavar="DIR", default_text="named by run and format, here")
    split: str = setting("test", "Whose rows the written model is evaluated on.")
    neighbours: bool = setting(True, "Take vectors of the training images along.")
    force: bool = setting(False, "Replace an artefact that is there.")
    column: tuple[str, ...] = setting(
        (),
        "Also carry this column of the catalogue, for predict --where; repeatable. Ranks, and columns that the run was "
        "evaluated masked by, are carried anyway.",
        metavar="COL",
    )


@dataclass(frozen=True)
class Outcome:
    """An artefact: where, the largest difference to the run in probability on ``compared`` images, and its own judgement on
    the split, None where that has no row."""

    folder: Path
    run_id: str
    compared: int
    difference: float
    judgement: Judgement | None
    seconds: float
    notes: tuple[str, ...]


def export(store: Store, run_id: str | None, settings: Settings, *, quiet: bool = False) -> Outcome:
    """Write a run as an artefact, load it in a fresh process, compare it with the run and evaluate it there.

    Raises:
        ColdframeError: no such run, one without layers on one backbone of Keras Applications, no such format, split or column,
            something at that place already, no picture to compare on, or a model that gives other probabilities once written.
    """
    started = time.monotonic()
    snapshot = store.snapshot()
    run = Run.find(snapshot, run_id)
    splits = [row["split"] for row in snapshot.rows("steps/train/split_sizes", plan=run.plan)]
    if settings.split not in (*splits, Settings.split):
        raise ColdframeError(f"export: no split {settings.split!r} in plan {run.plan!r}; splits: {', '.join(splits)}")
    columns = _columns(snapshot, run, settings)
    final = Path(settings.output or f"{run.run_id}-{settings.format}").absolute()
    _check_place(final, force=settings.force)
    formats.prepare(settings.format)
    parts = classifier.parts(snapshot, run)
    notes: list[str] = []
    if run.helped is False:
        notes.append(f"fine-tuning did not help this run: {run.finetuned_from} is the model to use")
    rows = load_rows(snapshot, run.plan, run.reads_vectors, settings.split)
    for name, count in rows.without_vector.items():
        notes.append(f"{count} {settings.split} rows have no vector in {name} and are not evaluated")
    if not len(rows):
        notes.append(f"no row in split {settings.split!r}: the artefact is compared with the run, but not evaluated")
    model = classifier.assemble(parts)
    contents, expected = _to_compare(snapshot, parts, model, rows)
    with drafts.beside(final, notes) as draft:
        formats.write(settings.format, model, draft)
        shutil.copyfile(inspect.getfile(decoding), draft / artefact.DECODING)
        held = _neighbours(snapshot, run, parts) if settings.neighbours else None
        if held is not None:
            arrays = held.to_arrays()
            files.write(draft / artefact.NEIGHBOURS, lambda file: np.savez(file, allow_pickle=False, **arrays))
        card = _card(snapshot, run, parts, settings, columns)
        card["carries"] = {
            "columns": list(card["taxonomy"]),
            "training_images": 0 if held is None else len(held.matrix),
        }
        artefact.draft(draft, card)
        answers = fresh_process.rehearse(
            draft, store.root.absolute(), [*contents, *rows.content_ids.tolist()], quiet=quiet
        )
        if not answers.readable[: len(contents)].all():
            raise ColdframeError(
                "export: pictures of the catalogue changed while the written model was checked: try again"
            )
        difference = _compare(settings.format, answers.probabilities[: len(contents)], expected)
        readable = answers.readable[len(contents) :]
        if not readable.all():
            notes.append(
                f"{int((~readable).sum())} {settings.split} rows have a picture that cannot be read and are left out"
            )
        rows = rows.where(readable)
        judgement = _judge(snapshot, run, settings, rows, answers.probabilities[len(contents) :]) if len(rows) else None
        card |= {
            "compared_images": len(contents),
            "largest_difference": difference,
            "artefact": None if judgement is None else {"split": settings.split, **asdict(judgement.measures)},
        }
        whole = artefact.draft(draft, card)
        (draft / artefact.READABLE_CARD).write_text(model_card.text(whole), encoding="utf-8")
        artefact.draft(draft, card)  # which says what that file is, too
        _check_place(final, force=settings.force)  # minutes have gone by
        drafts.publish(draft, final, notes)
    if judgement is not None:
        with store.commit("export") as commit:
            keep_judgement(commit, judgement)
    return Outcome(final, run.run_id, len(contents), difference, judgement, time.monotonic() - started, tuple(notes))


def _check_place(final: Path, *, force: bool) -> None:
    """Raises:
    ColdframeError: something is there that may not be replaced, or there is no folder to put it into.
    """
    if not final.parent.is_dir():
        raise ColdframeError(f"{final.parent}: no such folder to put {final.name} into")
    if not os.path.lexists(final):
        return
    if final.is_symlink():
        raise ColdframeError(
            f"{final}: a link, which is neither followed nor replaced: name another place with --output"
        )
    if not final.is_dir() or not any(final.iterdir()):
        raise ColdframeError(f"{final}: there already, and no artefact: name another place with --output")
    foreign = artefact.foreign(final)
    if foreign is not None:
        raise ColdframeError(
            f"{final}: there already, and no artefact or not that alone ({foreign}): move it away, or name another place with "
            "--output"
        )
    if not force:
        raise ColdframeError(f"{final}: there already: name another place with --output, or replace it with --force")


def _to_compare(snapshot: Snapshot, parts: Parts, model: Any, rows: Rows) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Some contents, those of the split first, and the probabilities that the run gives them."""
    others = snapshot.query("steps/images/some_contents", count=10 * COMPARED)["content_id"].to_pylist()
    wanted = [
        *dict.fromkeys(
            [*rows.content_ids[np.linspace(0, len(rows) - 1, min(COMPARED, len(rows))).astype(int)].tolist(), *others]
        )
    ]
    contents: list[str] = []
    pictures: list[npt.NDArray[np.uint8]] = []
    reason = "the catalogue is empty"
    for content, picture in stream_pictures(snapshot, wanted, parts.size):
        if isinstance(picture, str):
            reason = picture
            continue
        contents.append(content)
        pictures.append(picture)
        if len(contents) == COMPARED:
            break
    if not contents:
        raise ColdframeError(
            f"export: no picture of the catalogue can be read to check the written model on ({reason})"
        )
    expected = [
        np.asarray(model.predict_on_batch(np.stack(pictures[at : at + fresh_process.BATCH]))[0], np.float32)
        for at in range(0, len(pictures), fresh_process.BATCH)
    ]
    return contents, np.concatenate(expected)


def _compare(name: str, given: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """The largest difference.

    Raises:
        ColdframeError: it is too large, or no number.
    """
    difference = float(np.abs(given - expected).max()) if given.shape == expected.shape else np.nan
    if not difference <= LARGEST_DIFFERENCE:
        raise ColdframeError(
            f"the model written as {name} does not give what the run gives: probabilities differ by {difference:.3g} on "
            f"{len(expected)} images, allowed is {LARGEST_DIFFERENCE}. It was not kept: choose another --format, and tell "
            "coldframe's makers"
        )
    return difference


def _neighbours(snapshot: Snapshot, run: Run, parts: Parts) -> Neighbours | None:
    """Training images with the vectors that the run's backbone gives."""
    if run.kind == FINETUNED:
        return Neighbours.from_arrays(parts.head.arrays)
    return neighbours.of_run(snapshot, run)


def _judge(
    snapshot: Snapshot,
    run: Run,
    settings: Settings,
    rows: Rows,
    probabilities: npt.NDArray[np.float32],
) -> Judgement:
    return judge(
        run.run_id,
        str(Evaluation(exported_as=settings.format)),
        rows,
        units.of_rows(snapshot, run.plan, rows.image_ids),
        run.class_names,
        probabilities.astype(np.float64),
        **leakage.rows_seen(snapshot, run, rows),
    )


def _card(
    snapshot: Snapshot, run: Run, parts: Parts, settings: Settings, columns: Mapping[str, bool]
) -> dict[str, Any]:
    """All that the card says before the artefact was asked."""
    row = feature_sets.row_of(snapshot, run.embedders[0])
    weights = json.loads(row["source"]).get("weights") or "imagenet"
    if not isinstance(weights, str):
        raise not_ours(f"the source of the feature set {row['embedder']!r}", "its weights have no name")
    return {
        "coldframe": importlib.metadata.version("coldframe"),
        "format": settings.format,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "run_id": run.run_id,
        "kind": run.kind,
        "head": run.head,
        "network": parts.network,
        "weights": Path(weights).name,
        "finetuned": _finetuned(snapshot, run),
        "size": list(parts.size),
        "max_pixels": min(ingested_max_pixels(snapshot), artefact.MOST_PIXELS),
        "classes": list(run.classes),
        "taxonomy": _taxonomy(snapshot, run, columns),
        "training_images": snapshot.query("steps/train/run_labels", run_id=run.run_id, split=TRAIN).num_rows,
        "evaluations": _evaluations(snapshot, run),
        "image_licences": _licences(snapshot, run),
        "versions": {name: importlib.metadata.version(name) for name in ("keras", "numpy", "pillow")},
    }


def _columns(snapshot: Snapshot, run: Run, settings: Settings) -> dict[str, bool]:
    """The columns of the catalogue that an artefact of a run may carry: True for those asked for and those that the run was
    evaluated masked by, False for those of a rank. A catalogue may have columns about people: no other leaves it.

    Raises:
        ColdframeError: a column asked for is not there.
    """
    ours = {"image_id", "path", "label", *(name for name, _ in FILE_FACTS)}
    there = [one for one in snapshot.columns("images") if one not in ours]
    for one in settings.column:
        if one not in there:
            raise ColdframeError(f"--column {one}: no such column; columns: {', '.join(there) or 'none'}")
    masked = {Evaluation.parse(row["evaluation"]).masked_by for row in _evaluations(snapshot, run)}
    return {
        one: one in settings.column or one in masked
        for one in there
        if one in settings.column or one in masked or taxonomy.is_rank(one)
    }


def _taxonomy(snapshot: Snapshot, run: Run, columns: Mapping[str, bool]) -> dict[str, taxonomy.ByValue]:
    """For each of some columns the classes that occur with each value. One that was not asked for has to be a group of rows."""
    types = snapshot.select("images").schema
    rows = snapshot.query("steps/train/run_labels", run_id=run.run_id, split=TRAIN).num_rows
    found = {}
    for column, is_asked in columns.items():
        kind = types.field(column).type
        if not is_asked and not (pa.types.is_string(kind) or pa.types.is_boolean(kind)):
            continue
        by_value = taxonomy.of_column(snapshot, run, column)
        is_label = all(labels == [value] for value, labels in by_value.items())
        # with more values it is a name rather than a group
        if by_value and (is_asked or (2 * len(by_value) <= rows and not is_label)):
            found[column] = by_value
    return found


def _finetuned(snapshot: Snapshot, run: Run) -> dict[str, Any] | None:
    """What fine-tuning did to the figures on validation rows; None for a run that is not fine-tuned."""
    if run.kind != FINETUNED:
        return None
    return snapshot.rows("steps/train/finetuned", run_id=run.run_id)[0]


def _evaluations(snapshot: Snapshot, run: Run) -> list[dict[str, Any]]:
    """The figures of the run itself that the store holds.

    Raises:
        StoreDamaged: no evaluation has written one of their rows.
    """
    rows = snapshot.rows("steps/train/all_evaluations_of", run_id=run.run_id)
    for row in rows:  # whose columns are of the types that they should have
        if row["evaluation"] is None or row["split"] is None or row["rows"] is None or row["rows"] < 0:
            raise not_ours(f"the evaluations of the run {run.run_id}", "one is of no split, or of no rows")
    return [row for row in rows if Evaluation.parse(row["evaluation"]).exported_as is None]


def _licences(snapshot: Snapshot, run: Run) -> dict[str, int]:
    """How many training images have which licence, where the catalogue has a column of that name."""
    column = next((one for one in snapshot.columns("images") if one.casefold() in ("license", "licence")), None)
    if column is None:
        return {}
    value_of = values_by_id(snapshot, column)
    trained = snapshot.query("steps/train/run_labels", run_id=run.run_id, split=TRAIN)["image_id"].to_pylist()
    return dict(sorted(Counter(value_of.get(one) or "not stated" for one in trained).items()))


def again(run: str, split: str, format: str) -> list[str]:
    """The artefact of a run again, whose evaluation comes with it."""
    return ["export", run, "--force", *options(Settings, Settings(format=format, split=split))]
