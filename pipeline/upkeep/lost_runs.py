"""Lost runs: the commands that train and evaluate again what a store has lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pipeline.curate import score
from pipeline.deploy import export
from pipeline.evaluate import evaluate
from pipeline.finetune import finetune
from pipeline.finetune.settings import STEP as FINETUNE
from pipeline.runs.evaluations import Evaluation, record_name
from pipeline.runs.runs import FINETUNED, NETWORK, Run, is_id, name_in
from pipeline.steps.again import operand
from pipeline.steps.config import Config
from pipeline.steps.records import Record
from pipeline.train import from_pixels, train, tune
from pipeline.upkeep.commands import Commands
from pipeline.upkeep.mending import Mending
from store.errors import StoreDamaged
from store.store import Snapshot


class LostRuns:
    """The commands for runs and evaluations that a mending cannot put back."""

    def __init__(self, mending: Mending, config: Config, commands: Commands) -> None:
        self._mending, self._rest, self._config, self._commands = mending, mending.rest, config, commands

    def tell(self) -> None:
        """Add all of the commands.

        A run without its model, or without the rows it saw, cannot be evaluated. Predictions belong to a run.
        """
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
            self._commands.say(partial(run_again, self._rest, self._config, run_id), f"the run {run_id}")
            if is_id(run_id) and run_id == self._newest_like(run_id):
                for step in (train.STEP, tune.STEP, FINETUNE):  # the step that made it has a record
                    mending.mark(step, name_in(run_id))
        self._evaluations(to_evaluate, unusable)
        self._records()

    def _newest_like(self, run_id: str) -> str:
        """The newest run of the same name: ids begin with the time."""
        runs = [part.key for part in self._mending.found.live.parts("runs") if part.rows and is_id(part.key)]
        return max((one for one in runs if name_in(one) == name_in(run_id)), default=run_id)

    def _evaluations(self, keys: list[str], unusable: list[str]) -> None:
        lost: dict[tuple[str, str, str | None], list[Evaluation]] = {}
        for key in keys:
            if key.count("/") < 2 or not is_id(_run_of(key)):  # not one of our keys, so it cannot be made again
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
                self._commands.say(words, f"the evaluations of {run_id}")
            self._mending.mark(evaluate.STEP, record_name(name, split, plan))

    def _evaluated_again(
        self, run: str, name: str, split: str, evaluations: list[Evaluation]
    ) -> list[Callable[[], list[str]]]:
        """Training makes out-of-fold predictions, an export those of an artefact, and ``evaluate`` all others."""
        commands: list[Callable[[], list[str]]] = []
        for folds in sorted({one.folds for one in evaluations if one.folds}):
            commands.append(lambda folds=folds: [train.STEP, "--from", operand(run), "--folds", str(folds)])  # type: ignore[misc]
        for format in sorted({one.exported_as for one in evaluations if one.exported_as}):
            commands.append(lambda format=format: export.again(run, split, format))  # type: ignore[misc]
        others = [one for one in evaluations if not one.folds and not one.exported_as]
        if others:
            commands.append(lambda: evaluate.again(self._rest, self._config, run, name, split, others))
        return commands

    def _records(self) -> None:
        for key in self._mending.lost_keys("steps"):
            steps = (score.STEP, train.STEP, tune.STEP, FINETUNE, evaluate.STEP)
            if key.startswith(tuple(f"{step}/" for step in steps)):
                self._mending.outcome.lost.append(
                    f"the record of {key} is all that is lost of it: only 'coldframe run' would do it again"
                )


def run_again(moment: Snapshot, config: Config, run_id: str) -> list[str]:
    """The command that trains a run like a lost one, under the same name.

    Raises:
        LookupError: both the run's row and the record of its making are gone.
    """
    run = Run.of_id(moment, run_id)
    if run is not None:
        return _like(moment, config, run)
    if not is_id(run_id):
        raise ValueError(run_id)
    name = name_in(run_id)
    records = {step: Record.of(moment, step, name) for step in (train.STEP, tune.STEP, FINETUNE)}
    made = {step: record.settings for step, record in records.items() if record is not None}
    if FINETUNE in made:
        return finetune.again(moment, config, name, made[FINETUNE])
    if tune.STEP in made:
        return tune.again(config, name, made[tune.STEP])
    if train.STEP in made:
        again = from_pixels.again if "from_scratch" in made[train.STEP] else train.again
        return again(config, name, made[train.STEP])
    for step in (train.STEP, tune.STEP, FINETUNE):
        if name in config.section(step):
            return [step, "--as", operand(name)]
    raise LookupError("how it was made cannot be recovered: train it anew")


def _like(moment: Snapshot, config: Config, run: Run) -> list[str]:
    if run.kind == FINETUNED:
        return finetune.again(moment, config, run.name, run.settings)
    if run.kind == NETWORK:
        return from_pixels.again(config, run.name, run.settings)
    if run.settings_chosen_on is not None:  # the new run has to record this too
        return [train.STEP, "--from", operand(run.run_id)]
    return train.again(config, run.name, run.settings)


def _run_of(key: str) -> str:
    return key.split("/", 1)[0]
