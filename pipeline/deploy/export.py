"""Export: write a run as one artefact, and check it in a fresh process before it gets its name."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.curate import units
from pipeline.deploy import agreement, card_facts, cards, drafts, formats, fresh_process, model_card, ownership
from pipeline.deploy.agreement import Agreement
from pipeline.evaluate import leakage
from pipeline.ingest import decoding
from pipeline.ingest.pictures import stream_pictures
from pipeline.runs import neighbours
from pipeline.runs.evaluations import Evaluation
from pipeline.runs.judgement import Judgement, judge, keep_judgement
from pipeline.runs.neighbours import Neighbours
from pipeline.runs.rows import Rows, load_rows
from pipeline.runs.runs import FINETUNED, Run
from pipeline.steps import names
from pipeline.steps.again import operand
from pipeline.steps.settings import options, setting
from pipeline.train import classifier
from pipeline.train.classifier import Parts
from store import files
from store.errors import ColdframeError
from store.store import Snapshot, Store

COMPARED = 64  # images on which the written model has to agree with the run
LARGEST_DIFFERENCE = 1e-3  # in probability


@dataclass(frozen=True)
class Settings:
    """The settings of ``export``."""

    format: str = setting("keras", "Format of the model.", choices=formats.names)
    output: str | None = setting(None, "Folder to create.", metavar="DIR", default_text="named by run and format, here")
    split: str = setting("test", "Split to evaluate the exported model on.")
    neighbours: bool = setting(True, "Include the vectors of the training images.")
    force: bool = setting(False, "Replace an existing artefact.")
    column: tuple[str, ...] = setting(
        (),
        "Also include this column of the catalogue, for predict --where; repeatable. Ranks, and columns that the run was "
        "evaluated masked by, are always included.",
        metavar="COL",
    )


@dataclass(frozen=True)
class Outcome:
    """An artefact: where it is, the largest difference in probability from the run's network in float32 on ``compared`` images,
    how it agrees with the run's own answers, None if none of these are there, and its own judgement on the split, None if the
    split has no rows."""

    folder: Path
    run_id: str
    compared: int
    difference: float
    agreement: Agreement | None
    judgement: Judgement | None
    seconds: float
    notes: tuple[str, ...]


def export(store: Store, run_id: str | None, settings: Settings, *, quiet: bool = False) -> Outcome:
    """Write a run as an artefact, load it in a fresh process, compare it with the run and evaluate it there.

    Raises:
        ColdframeError: there is no such run, format, split or column; the run has no layers on one Keras Applications backbone;
            something is at that place already; there is no picture to compare on; or the written model gives other probabilities.
    """
    started = time.monotonic()
    snapshot = store.snapshot()
    run = Run.find(snapshot, run_id)
    _check_split(snapshot, run, settings.split)
    columns = card_facts.columns_of(snapshot, run, settings.column)
    final = _place(settings, run)
    formats.prepare(settings.format)
    parts = classifier.parts(snapshot, run)
    notes: list[str] = []
    if run.helped is False:
        notes.append(f"fine-tuning did not help this run: {run.finetuned_from} is the model to use")
    rows = _rows(snapshot, run, settings, notes)
    model = classifier.assemble(parts)
    contents, expected = _to_compare(snapshot, parts, model, rows)
    own = agreement.own_answers(snapshot, run, contents, expected, rows.content_ids.tolist())
    with drafts.beside(final, notes) as made:
        draft = made.place
        formats.write(settings.format, model, draft)
        (draft / cards.DECODING).write_text(decoding.as_one_file(), encoding="utf-8")
        card = card_facts.facts(snapshot, run, parts, settings.format, columns)
        images = _put_neighbours(snapshot, run, parts, draft) if settings.neighbours else 0
        card["carries"] = {"columns": list(card["taxonomy"]), "training_images": images}
        cards.write(draft, card)
        asked = np.array([*contents, *rows.content_ids.tolist()])
        answers = fresh_process.rehearse(draft, store.root.absolute(), asked.tolist(), quiet=quiet)
        if not answers.readable[: len(contents)].all():
            raise ColdframeError(
                "export: pictures of the catalogue changed while the written model was checked: try again"
            )
        difference = _compare(settings.format, answers.probabilities[: len(contents)], expected)
        readable = answers.readable[len(contents) :]
        if not readable.all():
            notes.append(
                f"{(~readable).sum()} {settings.split} rows have a picture that cannot be read and are left out"
            )
        given = dict(zip(asked[answers.readable].tolist(), answers.probabilities, strict=True))
        rows = rows.where(readable)
        agrees = agreement.compare(snapshot, run, own, given, rows)
        judgement = _judge(snapshot, run, settings, rows, answers.probabilities[len(contents) :]) if len(rows) else None
        card |= {"compared_images": len(contents), "largest_difference": difference}
        card["agreement"] = None if agrees is None else asdict(agrees)
        card["artefact"] = None if judgement is None else {"split": settings.split, **asdict(judgement.measures)}
        whole = cards.write(draft, card)
        (draft / cards.READABLE_CARD).write_text(model_card.text(whole), encoding="utf-8")
        cards.write(draft, card)  # the card covers that file, too
        _check_place(final, force=settings.force)  # again: minutes have passed
        drafts.publish(made, final, notes)
    if judgement is not None:
        with store.commit("export") as commit:
            keep_judgement(commit, judgement)
    return Outcome(
        final, run.run_id, len(contents), difference, agrees, judgement, time.monotonic() - started, tuple(notes)
    )


def _check_split(snapshot: Snapshot, run: Run, split: str) -> None:
    """Raises:
    ColdframeError: the plan of the run has no such split. The default split need not exist.
    """
    splits = [row["split"] for row in snapshot.rows("steps/evaluate/split_sizes", plan=run.plan)]
    if split not in (*splits, Settings.split):
        raise ColdframeError(f"export: no split {split!r} in plan {run.plan!r}; splits: {', '.join(splits)}")


def _rows(snapshot: Snapshot, run: Run, settings: Settings, notes: list[str]) -> Rows:
    """The rows of the split on which to evaluate the artefact."""
    rows = load_rows(snapshot, run.plan, run.reads_vectors, settings.split)
    for name, count in rows.without_vector.items():
        notes.append(f"{count} {settings.split} rows have no vector in {name} and are not evaluated")
    if not len(rows):
        notes.append(f"no row in split {settings.split!r}: the artefact is compared with the run, but not evaluated")
    return rows


def _place(settings: Settings, run: Run) -> Path:
    """Where to put the artefact.

    Raises:
        ColdframeError: it has no name that it may have, something is there already, or the parent folder does not exist.
    """
    if settings.output is not None:
        names.check("an artefact", Path(settings.output).name)
    final = Path(settings.output or f"{run.run_id}-{settings.format}").absolute()
    _check_place(final, force=settings.force)
    return final


def _check_place(final: Path, *, force: bool) -> None:
    """Raises:
    ColdframeError: something there may not be replaced, or the parent folder does not exist.
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
    foreign = ownership.foreign(final)
    if foreign is not None:
        raise ColdframeError(
            f"{final}: there already, and no artefact or not that alone ({foreign}): move it away, or name another place with "
            "--output"
        )
    if not force:
        raise ColdframeError(f"{final}: there already: name another place with --output, or replace it with --force")


def _to_compare(snapshot: Snapshot, parts: Parts, model: Any, rows: Rows) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Some contents, the split's first, and the run's probabilities for them."""
    others = snapshot.query("steps/deploy/some_contents", count=10 * COMPARED)["content_id"].to_pylist()
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
    """The largest difference in probability.

    Raises:
        ColdframeError: the difference is too large, or is not a number.
    """
    difference = float(np.abs(given - expected).max()) if given.shape == expected.shape else np.nan
    if not difference <= LARGEST_DIFFERENCE:
        raise ColdframeError(
            f"the model written as {name} does not give what the run gives in float32: probabilities differ by {difference:.3g} "
            f"on {len(expected)} images, allowed is {LARGEST_DIFFERENCE}. It was not kept: choose another --format, and "
            "report this as a bug of coldframe"
        )
    return difference


def _put_neighbours(snapshot: Snapshot, run: Run, parts: Parts, draft: Path) -> int:
    """Put training images into a draft, with their vectors from the run's backbone; return how many there are."""
    tuned = run.kind == FINETUNED
    held = Neighbours.from_arrays(parts.head.arrays) if tuned else neighbours.of_run(snapshot, run)
    if held is None:
        return 0
    arrays = held.to_arrays()
    files.write(draft / cards.NEIGHBOURS, lambda file: np.savez(file, allow_pickle=False, **arrays))
    return len(held.matrix)


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


def again(run: str, split: str, format: str) -> list[str]:
    """The command that exports a run again; the artefact's evaluation comes with it."""
    return ["export", operand(run), "--force", *options(Settings, Settings(format=format, split=split))]
