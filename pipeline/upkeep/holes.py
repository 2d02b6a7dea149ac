"""Holes: the commands that make again what a store has lost. Each step says how it is done again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.curate import replay, score
from pipeline.deploy import export
from pipeline.embed.again import again as embed_again
from pipeline.embed.again import views_again
from pipeline.embed.settings import STEP as EMBED
from pipeline.embed.settings import VIEWS_STEP
from pipeline.evaluate import evaluate
from pipeline.finetune import finetune
from pipeline.ingest import ingest
from pipeline.runs.evaluations import Evaluation, record_name
from pipeline.runs.runs import FINETUNED, NETWORK, Run, is_id, name_in
from pipeline.steps.config import Config
from pipeline.steps.records import Record
from pipeline.train import from_pixels, train, tune
from pipeline.upkeep.mending import Mending
from store.errors import ColdframeError, StoreDamaged
from store.store import Snapshot


class Holes:
    """The commands for what a mending cannot put back, in the order in which they have to be run.

    Args:
        sets: the rows of feature sets that were put back, None for those that were not.
        plans: those that have to be replayed anyway.
        flags: options common to all commands, which each command gets.
    """

    def __init__(
        self,
        mending: Mending,
        config: Config,
        sets: Mapping[str, dict[str, Any] | None],
        plans: set[str],
        flags: Sequence[str],
    ) -> None:
        self._mending, self._rest, self._config = mending, mending.rest, config
        self._sets, self._plans, self._flags = sets, plans, flags

    def tell(self) -> None:
        """Say all of them."""
        self._verdicts()
        self._catalogue()
        self._vectors()
        self._scores()
        self._curations()
        self._views()
        self._runs()
        self._records()

    def _say(self, make: Callable[[], list[str] | None], what: str) -> None:
        """Say a command, made of what is recorded; the records of a stranger's store may say nothing."""
        outcome = self._mending.outcome
        try:
            words = make()
            command = shlex.join(["coldframe", *self._flags, *words]) if words else ""
        except LookupError as error:
            outcome.lost.append(f"the command for {what}: {error.args[0] if error.args else error}")
            return
        except (ValueError, TypeError, AttributeError, RecursionError, ColdframeError):
            outcome.lost.append(f"the command for {what}: coldframe did not write its record")
            return
        if command and command not in outcome.commands:
            outcome.commands.append(command)

    def _verdicts(self) -> None:
        if self._mending.lost_keys("verdicts"):
            self._mending.outcome.lost.append(
                "verdicts cannot be made again: give them anew with keep and drop, before a plan is replayed; images they "
                "dropped still stand in: coldframe sql \"select image_id from exclusions where rule = 'verdict'\""
            )

    def _catalogue(self) -> None:
        mending = self._mending
        is_lost = mending.lost_keys("files", "images") or mending.lost_records(ingest.STEP)
        if is_lost or ("failures", ingest.STEP) in mending.lost:
            if self._rest.rows("steps/status/step", step=ingest.STEP, name=""):
                self._say(lambda: ingest.again(self._rest, self._config), "the catalogue")
            else:
                mending.outcome.commands.append(
                    shlex.join(["coldframe", *self._flags, ingest.STEP]) + " METADATA --images DIR"
                )
            mending.mark(ingest.STEP, "")
        if mending.lost_keys("images"):
            mending.outcome.lost.append(
                "images that were kept though the catalogue no longer has them cannot be made again"
            )

    def _vectors(self) -> None:
        failed = [
            one.removeprefix(f"{EMBED}/") for one in self._mending.lost_keys("failures") if one.startswith(f"{EMBED}/")
        ]
        lost = self._mending.lost_keys("embeddings", "feature_sets")
        for name in sorted({*lost, *failed, *self._mending.lost_records(EMBED)}):
            row = self._row_of_set(name)
            self._say(lambda: embed_again(self._rest, self._config, name, row), f"the feature set {name}")  # noqa: B023

    def _views(self) -> None:
        """After the plans, whose training rows have the views."""
        lost = self._mending.lost_keys("embeddings", "feature_sets")
        for name in sorted({*lost, *self._mending.lost_records(VIEWS_STEP)}):
            row = self._row_of_set(name)
            self._say(lambda: views_again(self._rest, self._config, name, row), f"the views of {name}")  # noqa: B023

    def _row_of_set(self, name: str) -> dict[str, Any] | None:
        rows = self._rest.rows("steps/embed/feature_set", embedder=name)
        return rows[0] if rows else self._sets.get(name)

    def _scores(self) -> None:
        for name in self._mending.lost_keys("scores"):
            self._say(lambda: score.again(self._rest, self._config, name), f"the scores of {name}")  # noqa: B023
            self._mending.mark(score.STEP, name)

    def _curations(self) -> None:
        mending = self._mending
        for plan in mending.lost_keys("stages"):
            mending.outcome.lost.append(
                f"the stages of plan {plan} cannot be recovered: add them anew, unless coldframe.toml has them"
            )
        for plan in mending.lost_keys("assignments"):
            mending.outcome.lost.append(
                f"plan {plan} draws its splits anew: images may change sides, so train again as well"
            )
        lost = mending.lost_keys("curation", "stages", "assignments")
        for plan in sorted({*self._plans, *lost, *mending.lost_records(replay.STEP)}):
            self._say(lambda: replay.again(plan), f"plan {plan}")  # noqa: B023
            mending.mark(replay.STEP, plan)

    def _runs(self) -> None:
        """A run without its model or without the rows it saw cannot be evaluated, and predictions belong to a run."""
        mending = self._mending
        gone = mending.lost_keys("runs")
        to_evaluate = mending.lost_keys("predictions", "evaluations", "group_evaluations")
        for run_id in gone:
            for dataset in ("models", "run_rows", "predictions", "evaluations", "group_evaluations"):
                live = self._rest.manifest.parts(dataset)
                for key in sorted({part.key for part in live if _run_of(part.key) == run_id}):
                    mending.take_out(dataset, key, "its run is lost")
                    to_evaluate += [key] if dataset == "evaluations" else []
        for run_id in mending.lost_keys("run_rows"):
            if run_id not in gone:
                mending.take_out("models", run_id, "the rows it saw are lost, and it cannot be evaluated honestly")
        for key in mending.lost_keys("predictions"):
            if _run_of(key) not in gone:
                mending.take_out("evaluations", key, "its predictions are lost")
        unusable = mending.lost_keys("runs", "models", "run_rows")
        for run_id in unusable:
            self._say(lambda: run_again(self._rest, self._config, run_id), f"the run {run_id}")  # noqa: B023
            if is_id(run_id) and run_id == self._newest_like(run_id):
                for step in (train.STEP, tune.STEP, finetune.STEP):  # the one that made it has a record
                    mending.mark(step, name_in(run_id))
        self._evaluations(to_evaluate, unusable)

    def _newest_like(self, run_id: str) -> str:
        """The newest run of the same name: an id begins with its time."""
        runs = [part.key for part in self._mending.found.live.parts("runs") if part.rows and is_id(part.key)]
        return max((one for one in runs if name_in(one) == name_in(run_id)), default=run_id)

    def _evaluations(self, keys: list[str], unusable: list[str]) -> None:
        lost: dict[tuple[str, str, str | None], list[Evaluation]] = {}
        for key in keys:
            if key.count("/") < 2 or not is_id(_run_of(key)):  # no key of ours, so nobody could make it again
                continue
            text, split = key.split("/", 1)[1].rsplit("/", 1)
            try:
                one = Evaluation.parse(text)
            except StoreDamaged:
                continue
            lost.setdefault((_run_of(key), split, one.plan), []).append(one)
        for (run_id, split, plan), evaluations in lost.items():
            name = name_in(run_id)
            run = name if run_id in unusable else run_id
            for words in self._evaluated_again(run, name, split, evaluations):
                self._say(lambda: words(), f"the evaluations of {run_id}")  # noqa: B023
            self._mending.mark(evaluate.STEP, record_name(name, split, plan))

    def _evaluated_again(
        self, run: str, name: str, split: str, evaluations: list[Evaluation]
    ) -> list[Callable[[], list[str]]]:
        """Out-of-fold predictions come with training, and those of an artefact when it is made; the others by ``evaluate``."""
        commands: list[Callable[[], list[str]]] = []
        for folds in sorted({one.folds for one in evaluations if one.folds}):
            commands.append(lambda folds=folds: [train.STEP, "--from", run, "--folds", str(folds)])  # type: ignore[misc]
        for format in sorted({one.exported_as for one in evaluations if one.exported_as}):
            commands.append(lambda format=format: export.again(run, split, format))  # type: ignore[misc]
        others = [one for one in evaluations if not one.folds and not one.exported_as]
        if others:
            commands.append(lambda: evaluate.again(self._rest, self._config, run, name, split, others))
        return commands

    def _records(self) -> None:
        for key in self._mending.lost_keys("steps"):
            steps = (score.STEP, train.STEP, tune.STEP, finetune.STEP, evaluate.STEP)
            if key.startswith(tuple(f"{step}/" for step in steps)):
                self._mending.outcome.lost.append(
                    f"the record of {key} is all that is lost of it: only 'coldframe run' would do it again"
                )


def run_again(moment: Snapshot, config: Config, run_id: str) -> list[str]:
    """The command that makes a run like one that is lost, under the same name.

    Raises:
        LookupError: neither the run's row nor the record of its making is there any more.
    """
    run = Run.of_id(moment, run_id)
    if run is not None:
        return _like(moment, config, run)
    if not is_id(run_id):
        raise ValueError(run_id)
    name = name_in(run_id)
    records = {step: Record.of(moment, step, name) for step in (train.STEP, tune.STEP, finetune.STEP)}
    made = {step: record.settings for step, record in records.items() if record is not None}
    if finetune.STEP in made:
        return finetune.again(moment, config, name, made[finetune.STEP])
    if tune.STEP in made:
        return tune.again(config, name, made[tune.STEP])
    if train.STEP in made:
        again = from_pixels.again if "from_scratch" in made[train.STEP] else train.again
        return again(config, name, made[train.STEP])
    for step in (train.STEP, tune.STEP, finetune.STEP):
        if name in config.section(step):
            return [step, "--as", name]
    raise LookupError("how it was made cannot be recovered: train it anew")


def _like(moment: Snapshot, config: Config, run: Run) -> list[str]:
    if run.kind == FINETUNED:
        return finetune.again(moment, config, run.name, run.settings)
    if run.kind == NETWORK:
        return from_pixels.again(config, run.name, run.settings)
    if run.settings_chosen_on is not None:  # and the new run is to say so too
        return [train.STEP, "--from", run.run_id]
    return train.again(config, run.name, run.settings)


def _run_of(key: str) -> str:
    return key.split("/", 1)[0]
