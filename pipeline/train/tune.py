"""Tune: Keras Tuner's Hyperband over the shape and the optimiser of the mlp head, on cached features.

Each trial is a head trained from the start with the search's seed, so that its score depends only on its settings. Scores are
kept in a folder named by the digest of all that a search depends on. A search that was killed and started again asks for the
same trials in the same order, and so continues after the last score.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pipeline.runs import keeping, metrics, runs
from pipeline.runtime import quiet
from pipeline.runtime.frameworks import load_keras
from pipeline.runtime.progress import Progress
from pipeline.steps import hints
from pipeline.steps.again import operand
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from pipeline.steps.settings import LARGEST_COUNT, as_json, check, from_json, incidental, options, setting
from pipeline.train import fitting, heads
from pipeline.train.fitting import Data
from pipeline.train.heads import Head
from pipeline.train.loop import Diverged, Fit
from store import digests, garbage, opening, whole
from store.errors import ColdframeError
from store.schemas import VALIDATION
from store.store import Snapshot, Store

STEP = "tune"
MOST_BYTES = 1 << 20  # of a file that holds a score
HEAD = "mlp"
OBJECTIVES = ("val_accuracy", "val_f1_macro")
UNITS_STEP, DROPOUT_STEP = 100, 0.1
SEARCHED = ("units", "dropout", "optimizer", "learning_rate")
# Settings that a search ignores, or decides itself.
NOT_ASKED = ("head", "epochs", "folds", "strength", "k", "template", *SEARCHED)


@dataclass(frozen=True)
class Settings(fitting.Settings):
    """What to search, besides the settings that stay as they are. Learning rates are drawn on a logarithmic scale.

    ``max_epochs`` and ``factor`` are Hyperband's: trials start with few epochs, and one in ``factor`` continues with ``factor``
    times as many.
    """

    objective: str = setting("val_accuracy", "Figure to maximise.", choices=OBJECTIVES)
    max_epochs: int = setting(20, "Epochs of the longest trials.", least=2, most=LARGEST_COUNT)
    factor: int = setting(
        3, "Hyperband's factor: one trial in N goes on, with N times the epochs.", least=2, most=LARGEST_COUNT
    )
    layers: tuple[int, ...] = setting((1, 3), "The least and the most dense layers.", least=1, most=10, is_range=True)
    width: tuple[int, ...] = setting(
        (400, 1000), "The least and the most units of a layer.", least=1, most=2**20, is_range=True
    )
    dropouts: tuple[float, ...] = setting(
        (0.0, 0.5), "The least and the most dropout.", least=0, most=0.95, is_range=True
    )
    adam: tuple[float, ...] = setting(
        (1e-4, 1e-2), "The least and the most learning rate of Adam.", least=1e-9, most=100, is_range=True
    )
    adagrad: tuple[float, ...] = setting(
        (1e-3, 1e-1), "The least and the most learning rate of Adagrad.", least=1e-9, most=100, is_range=True
    )


@dataclass(frozen=True)
class Outcome:
    """A finished search: the run made of its best settings, the best score, and how many trials there were and were known."""

    run_id: str
    best: dict[str, Any]
    score: float
    trials: int
    known: int
    folder: Path
    seconds: float
    notes: tuple[str, ...]


def resolve(snapshot: Snapshot, name: str, settings: Settings) -> Settings:
    """The settings with every default filled in.

    Raises:
        ColdframeError: a value is out of range, or there is no such feature set.
    """
    if settings.head not in (None, HEAD):
        raise ColdframeError(f"tune: searches the head {HEAD}, not {settings.head}")
    own = [one.name for one in fields(Settings) if one.name not in heads.ALL_SETTINGS]
    check("tune", Settings(**{one: getattr(settings, one) for one in own}))
    asked = replace(settings, head=HEAD, epochs=settings.max_epochs)
    return fitting.resolve(snapshot, name, asked)


def tune(store: Store, name: str, settings: Settings, *, quiet: bool = False) -> Outcome:
    """Search, then train the best settings as a run called ``name``.

    Raises:
        ColdframeError: there are no validation rows to judge by, or training raises one.
        Locked: the same search is running already.
    """
    started = time.monotonic()
    runs.check_name(name)
    snapshot = store.snapshot()
    resolved = resolve(snapshot, name, settings)
    inputs = fitting.inputs_read(snapshot, resolved)
    data = fitting.load(snapshot, resolved)
    if data.validation is None:
        way_out = hints.split(settings.plan, VALIDATION, "0.10")
        raise ColdframeError(f"tune: settings are chosen on validation rows: {way_out} makes some")
    asked = {key: value for key, value in asdict(resolved).items() if key not in ("memory_share", "folds")}
    digest = digests.of_json([data.digest, asked])
    folder = opening.make_own_folder(store.root, garbage.TUNING, digest)
    os.utime(folder, follow_symlinks=False)  # mark it as in use
    with store.lock(f"tune-{digest}"):
        trials = _Trials(folder, data, resolved)
        with Progress(expected_trials(resolved), f"tune {name}", quiet=quiet) as progress:
            best = _search(resolved, trials, progress)
    chosen = fitting.as_run(replace(_of_trial(best, resolved), chosen_on=VALIDATION))
    head, fitted = trials.fit(chosen)
    run_id, created_at = runs.new_id(name, [asdict(chosen), data.digest])
    seconds = time.monotonic() - started
    facts, seen = fitting.facts(data, chosen, head), data.seen(chosen)
    made = keeping.Made(
        run_id, created_at, facts, head.to_bytes(), ".npz", asdict(chosen), fitted.history, seen, seconds
    )
    keeping.keep(store, STEP, made, asked=asdict(resolved), inputs=inputs)
    best_score = max(trials.scores.values())
    return Outcome(
        run_id,
        {one: getattr(chosen, one) for one in SEARCHED},
        best_score,
        len(trials.asked),
        trials.known,
        folder,
        seconds,
        data.notes,
    )


def expected_trials(settings: Settings) -> int:
    """How many trials a search runs, as counted by Keras Tuner's oracle."""
    oracle = _oracle(_keras_tuner(), settings)
    brackets = oracle._get_num_brackets()
    return sum(
        oracle._get_size(bracket, rung)
        for bracket in range(brackets)
        for rung in range(oracle._get_num_rounds(bracket))
    )


class _Trials:
    """The trials of a search. Each is scored once, and its score is kept in a separate file."""

    def __init__(self, folder: Path, data: Data, settings: Settings) -> None:
        assert data.validation is not None
        self._folder, self._settings, self._classes = folder, settings, data.classes
        self._task, self._scaling = fitting.make_task(data.training, data.validation, data.classes, settings)
        self._labels = data.validation.labels
        self.scores: dict[str, float] = {}
        self.asked: set[str] = set()
        self.known = 0
        self.values: dict[str, dict[str, Any]] = {}

    def score(self, values: dict[str, Any], epochs: int) -> float:
        """The objective of a head with these values after ``epochs`` epochs; 0 if its training diverged."""
        settings = replace(_of_trial(values, self._settings), epochs=epochs)
        key = digests.of_json([{one: getattr(settings, one) for one in SEARCHED}, epochs])
        file = self._folder / f"{key}.json"
        self.asked.add(key)
        self.values[key] = values
        if os.path.lexists(file):
            with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
                known = float(json.loads(opening.read_regular(file, most=MOST_BYTES))["score"])
                if math.isfinite(known):
                    self.scores[key] = known
                    self.known += 1
                    return known
        self.scores[key] = self._measure(settings)
        kept = {"score": self.scores[key], "epochs": epochs, **{one: getattr(settings, one) for one in SEARCHED}}
        whole.replace(file, lambda out: out.write(json.dumps(kept).encode()))
        return self.scores[key]

    def fit(self, settings: fitting.Settings) -> tuple[Head, Fit]:
        """A head with these settings, and how its training went."""
        fitted = heads.fit(HEAD, self._task, settings)
        return Head(HEAD, self._scaling, fitted.arrays), fitted

    def _measure(self, settings: Settings) -> float:
        try:
            fitted = heads.fit(HEAD, self._task, settings)
        except Diverged:  # the worst possible score
            return 0.0
        assert self._task.validation is not None
        probabilities = heads.module(HEAD).predict(fitted.arrays, self._task.validation.matrix)
        predicted = self._classes[probabilities.argmax(axis=1)]
        of_label = metrics.probability_of(probabilities, self._task.validation.targets)
        found = metrics.measure(self._labels, predicted, of_label)
        return found.accuracy if self._settings.objective == "val_accuracy" else found.f1_macro


def _search(settings: Settings, trials: _Trials, progress: Progress) -> dict[str, Any]:
    """The values of the best trial of a whole Hyperband search."""
    keras_tuner = _keras_tuner()

    class Search(keras_tuner.Tuner):  # type: ignore[misc, name-defined]
        def run_trial(self, trial: Any, **_: Any) -> float:
            values = dict(trial.hyperparameters.values)
            try:
                score = trials.score(values, int(values.get("tuner/epochs", settings.max_epochs)))
            except Exception as error:  # otherwise the tuner would count it as a failed trial and go on
                raise keras_tuner.errors.FatalError from error
            progress.advance(1)
            return -score  # a bare number is minimised

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        search = Search(oracle=_oracle(keras_tuner, settings), directory=folder, project_name="search", overwrite=True)
        try:
            search.search(verbose=0)
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ or error from None
        return dict(search.oracle.get_best_trials(1)[0].hyperparameters.values)


def _keras_tuner() -> Any:
    load_keras("torch")  # the loop uses it: one framework per process
    return quiet.load("keras_tuner")


def _oracle(keras_tuner: Any, settings: Settings) -> Any:
    space = keras_tuner.HyperParameters()
    fewest, most = settings.layers
    space.Int("layers", fewest, most)
    for layer in range(most):
        with space.conditional_scope("layers", list(range(max(layer + 1, fewest), most + 1))):
            space.Int(f"units_{layer}", *settings.width, step=UNITS_STEP)
    space.Float("dropout", *settings.dropouts, step=DROPOUT_STEP)
    space.Choice("optimizer", ["adam", "adagrad"])
    for optimizer in ("adam", "adagrad"):
        with space.conditional_scope("optimizer", [optimizer]):
            space.Float(f"{optimizer}_rate", *getattr(settings, optimizer), sampling="log")
    return keras_tuner.oracles.HyperbandOracle(
        objective=None,
        max_epochs=settings.max_epochs,
        factor=settings.factor,
        seed=settings.seed + 1,  # 0 would mean another seed each time
        hyperparameters=space,
        tune_new_entries=False,
        allow_new_entries=True,  # the tuner's own: epochs and brackets
    )


def _of_trial(values: dict[str, Any], settings: Settings) -> Settings:
    """The settings of a search with a trial's values filled in."""
    optimizer = values["optimizer"]
    rate = values[f"{optimizer}_rate"]
    return replace(
        settings,
        units=tuple(values[f"units_{layer}"] for layer in range(values["layers"])),
        dropout=round(values["dropout"], 10),
        optimizer=optimizer,
        learning_rate=float(f"{rate:.3g}") if math.isfinite(rate) else rate,
    )


def out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why a search has to be done again; None if it need not be."""
    settings = config.settings(Settings, STEP, name, flags={})
    record = Record.of(moment, STEP, name)
    if record is None or moment is None:
        return NEVER
    wanted = resolve(moment, name, settings)
    return record.difference(as_json(wanted), fitting.inputs_read(moment, wanted), Settings)


def again(config: Config, name: str, made: Mapping[str, Any]) -> list[str]:
    """The command that repeats a search with these settings, under the same name."""
    settings: Settings = from_json(Settings, made)
    defaults = heads.resolve(HEAD, config.defaults(Settings, STEP, name, head=HEAD))
    asked = options(Settings, heads.resolve(HEAD, settings), defaults, leave_out=(*NOT_ASKED, *incidental(Settings)))
    return [STEP, "--as", operand(name), *asked]
