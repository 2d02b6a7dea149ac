"""Train: a head on cached features, saved with everything that made it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import feature_sets, features, heads, judging, scaling, units
from pipeline.features import Rows
from pipeline.heads import Head
from pipeline.judging import Judgement
from pipeline.plans import DEFAULT_PLAN, TRAIN, VALIDATION
from pipeline.prediction import find_run
from pipeline.training import Labelled, Schedule, Task
from store import digests
from store.errors import ColdframeError
from store.matrices import FloatMatrix
from store.schemas import SCHEMAS
from store.store import Snapshot, Store

LIBRARIES = ("coldframe", "keras", "tensorflow", "torch", "numpy", "scikit-learn", "duckdb", "pyarrow", "pillow")
FOLDS = "folds:{}"  # the name of the evaluation that out-of-fold predictions are
SHOWN = 5  # classes that a note names

__all__ = ["Outcome", "Settings", "check_heeded", "find_run", "load", "resolve", "settings_of", "train"]


@dataclass(frozen=True)
class Settings(heads.Settings):
    """The head, the features and rows it learns from, and what heads may be told.

    ``embedder``: one feature set or several, whose vectors are joined. ``views``: how many augmented views of each row to
    draw from, beside the row as it is. ``folds``: also predict every training row by a head that has not seen its unit, 0
    for not. ``memory_share``: a larger matrix than this share of the machine's memory lies on disk. ``chosen_on``: the
    split whose rows chose these settings, where one did.
    """

    head: str | None = None
    embedder: str | tuple[str, ...] | None = None
    plan: str = DEFAULT_PLAN
    views: int = 0
    folds: int = 0
    memory_share: float = 0.25
    chosen_on: str | None = None


@dataclass(frozen=True)
class Outcome:
    """A trained run, and its out-of-fold judgement if folds were asked for."""

    run_id: str
    train_rows: int
    val_rows: int
    classes: int
    history: dict[str, list[float]]
    seconds: float
    notes: tuple[str, ...]
    folds: Judgement | None

    @property
    def epochs(self) -> int:
        """Passes over the training rows; 0 for a head that is not trained so."""
        return len(self.history.get("loss", []))


@dataclass(frozen=True)
class Data:
    """What a run learns from: training rows, the validation rows it can use, if any, and what has to be said of them."""

    training: Rows
    validation: Rows | None
    digest: str
    notes: tuple[str, ...]

    @property
    def classes(self) -> npt.NDArray[np.str_]:
        """The classes that occur in training, ascending."""
        return np.unique(self.training.labels)


def resolve(snapshot: Snapshot, name: str, settings: Settings) -> Settings:
    """Settings as a run called ``name`` has them: nothing is left to a default.

    Raises:
        ColdframeError: no such head, a value out of range, or no such feature set.
    """
    head = settings.head or name
    embedder = settings.embedder or getattr(heads.module(head), "EMBEDDER", None)
    for what, is_right, expected in (
        ("views", 0 <= settings.views <= 1000, "from 0 to 1000"),
        ("folds", settings.folds == 0 or 2 <= settings.folds <= 1000, "0 or from 2 to 1000"),
        ("memory_share", 0 <= settings.memory_share <= 1, "from 0 to 1"),
    ):
        if not is_right:
            raise ColdframeError(f"train: {what} = {getattr(settings, what)}, expected {expected}")
    if settings.views and "epochs" not in heads.module(head).SETTINGS:
        raise ColdframeError(
            f"train: the head {head} sees each row once, so it has no use for views: leave out --views"
        )
    chosen = replace(settings, head=head, embedder=feature_sets.choose_all(snapshot, embedder))
    resolved: Settings = heads.resolve(head, chosen)
    return resolved


def check_heeded(name: str, settings: Settings, given: Sequence[str]) -> None:
    """Raises:
    ColdframeError: one of the settings ``given`` by name is one that the head does not heed.
    """
    head = settings.head or name
    for one in given:
        if one in heads.ALL_SETTINGS and one not in heads.heeded(head):
            heeding = ", ".join(f"--{name.replace('_', '-')}" for name in heads.heeded(head))
            raise ColdframeError(f"train: the head {head} has no --{one.replace('_', '-')}; it heeds {heeding}")


def settings_of(run: Mapping[str, Any]) -> Settings:
    """The settings that a run was made with."""
    kept = json.loads(run["settings"])
    known = {one.name for one in fields(Settings)}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in kept.items() if name in known
    }
    return Settings(**given)


def load(snapshot: Snapshot, settings: Settings) -> Data:
    """The rows that settings, as :func:`resolve` gives them, name.

    Raises:
        ColdframeError: no plan, no features, vectors that are not finite, or fewer than two classes.
    """
    assert isinstance(settings.embedder, tuple)
    if not snapshot.rows("steps/curate/plan_stages", plan=settings.plan):
        raise ColdframeError(
            f"no plan {settings.plan!r} has been replayed; run 'coldframe curate' or 'coldframe split test 0.15'"
        )
    place = (snapshot, settings.plan, settings.embedder)
    training = features.load(*place, TRAIN, views=settings.views, memory_share=settings.memory_share)
    validation = features.load(*place, VALIDATION, memory_share=settings.memory_share)
    digest = digests.of_json([training.digest(), validation.digest()])
    notes = []
    for rows, split in ((training, TRAIN), (validation, VALIDATION)):
        for name, count in rows.without_vector.items():
            notes.append(
                f"{count} {split} rows have no vector in {name} and are left out: run 'coldframe embed {name}'"
            )
    classes = np.unique(training.labels)
    if len(classes) < 2:
        raise ColdframeError(
            f"plan {settings.plan!r} has {len(training)} training rows of {len(classes)} classes with vectors in "
            f"{', '.join(settings.embedder)}; expected at least two classes: see 'coldframe status'"
        )
    if settings.views and training.without_view == len(training):
        raise ColdframeError(
            f"no training row has {settings.views} augmented views in {', '.join(settings.embedder)}: "
            f"'coldframe embed {settings.embedder[0]} --views {settings.views}' makes them"
        )
    if training.without_view:
        notes.append(
            f"{training.without_view} training rows lack augmented views: for those the image as it is stands in"
        )
    known = np.isin(validation.labels, classes)
    if not known.all():
        notes.append(f"{int((~known).sum())} validation rows are of classes without a training row and are left out")
        validation = validation.where(known)
    if not len(validation):
        notes.append("no validation split: training stops by the training loss; 'coldframe split val 0.10' makes one")
        return Data(training, None, digest, tuple(notes))
    absent = classes[~np.isin(classes, validation.labels)]
    if len(absent):
        notes.append(f"{len(absent)} classes have no validation row: {_named(absent)}")
    return Data(training, validation, digest, tuple(notes))


def train(store: Store, name: str, settings: Settings) -> Outcome:
    """Train a head on the plan's training rows and save it as a run called ``name``.

    The validation split, where the plan has one, stops training early; the weights of its best epoch are kept.

    Raises:
        ColdframeError: no plan, no features, vectors that are not finite, fewer than two classes, an unknown head or optimiser,
            or settings out of range.
    """
    started = time.monotonic()
    snapshot = store.snapshot()
    resolved = resolve(snapshot, name, settings)
    assert isinstance(resolved.embedder, tuple)
    inputs = inputs_read(snapshot, resolved)
    data = load(snapshot, resolved)
    texts = _texts(snapshot, resolved)
    created_at = datetime.now(UTC)
    run_id = new_run_id(name, created_at, [asdict(resolved), data.digest])
    folds, fold_notes = _out_of_fold(snapshot, run_id, data, resolved, texts) if resolved.folds else (None, [])
    head, history = fit(data.training, data.validation, data.classes, resolved, texts)
    seconds = time.monotonic() - started
    seen = [data.training] + ([data.validation] if data.validation is not None and selects(resolved) else [])
    row = {
        "run_id": run_id,
        "created_at": created_at,
        "name": name,
        "kind": "head",
        "head": resolved.head,
        "embedder": " + ".join(resolved.embedder),
        "embedders": list(resolved.embedder),
        "plan": resolved.plan,
        "features_digest": data.digest,
        "classes": data.classes.tolist(),
        "train_rows": len(data.training),
        "val_rows": len(seen[1]) if len(seen) > 1 else 0,
        "epochs": len(history.get("loss", [])),
        "parameters": head.parameters,
        "seconds": seconds,
        "seed": resolved.seed,
        "views": resolved.views,
        "settings_chosen_on": resolved.chosen_on,
        "settings": json.dumps(asdict(resolved), sort_keys=True),
        "history": json.dumps(history),
        "versions": json.dumps(versions()),
    }
    with store.commit("train") as commit:
        commit.add_file("models", head.to_bytes(), key=run_id, suffix=".npz")
        commit.append("runs", pa.Table.from_pylist([row], SCHEMAS["runs"]), key=run_id)
        commit.append("run_rows", run_rows(run_id, seen), key=run_id)
        if folds is not None:
            judging.keep(commit, folds)
        commit.record_step(
            "train",
            name,
            settings=asdict(resolved),
            inputs=inputs,
            seconds=seconds,
            rows_in=sum(len(rows) for rows in seen),
            rows_out=len(data.training),
        )
    counts = [len(rows) for rows in seen] + [0]
    return Outcome(
        run_id,
        counts[0],
        counts[1],
        len(data.classes),
        history,
        seconds,
        (*data.notes, *fold_notes),
        folds,
    )


def fit(
    training: Rows,
    validation: Rows | None,
    classes: npt.NDArray[np.str_],
    settings: Settings,
    embed_texts: Callable[[Sequence[str]], FloatMatrix] | None = None,
) -> tuple[Head, dict[str, list[float]]]:
    """A head fitted on rows, whose vectors are scaled where they lie, and its history, one value an epoch.

    Raises:
        ColdframeError: it cannot learn from this, or its training diverged.
    """
    task, scaled = make_task(training, validation, classes, settings, embed_texts)
    fitted = heads.fit(str(settings.head), task, settings)
    return Head(str(settings.head), scaled, fitted.arrays), fitted.history


def make_task(
    training: Rows,
    validation: Rows | None,
    classes: npt.NDArray[np.str_],
    settings: Settings,
    embed_texts: Callable[[Sequence[str]], FloatMatrix] | None = None,
) -> tuple[Task, scaling.Scaling]:
    """What a head learns from, and how its vectors, which are scaled where they lie, were scaled."""
    scaled = scaling.fit(str(settings.input), training.matrix, training.blocks)
    scaled.apply(training.views.reshape(-1, training.views.shape[-1]))
    held_out = None
    if validation is not None:
        held_out = Labelled(scaled.apply(validation.matrix), judging.targets(validation.labels, classes))
    targets = judging.targets(training.labels, classes)
    task = Task(
        training=Labelled(training.matrix, targets),
        validation=held_out,
        class_names=classes,
        class_weights=balanced(targets, len(classes)) if settings.class_weights else None,
        views=training.views if settings.views else None,
        embed_texts=embed_texts,
    )
    return task, scaled


def balanced(targets: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    """The weight of each class that makes all weigh the same: rows / (classes · rows of the class), as scikit-learn's."""
    weights: npt.NDArray[np.float64] = len(targets) / (classes * np.bincount(targets, minlength=classes))
    return weights


def selects(settings: Settings) -> bool:
    """Whether validation rows have a say in what a run becomes: in its epoch or rate, or in its settings."""
    trained = set(Schedule.__dataclass_fields__) <= set(heads.heeded(str(settings.head)))
    by_epoch = trained and bool(settings.early_stopping or settings.reduce_lr_patience)
    return by_epoch or settings.chosen_on == VALIDATION


def _out_of_fold(
    snapshot: Snapshot,
    run_id: str,
    data: Data,
    settings: Settings,
    embed_texts: Callable[[Sequence[str]], FloatMatrix] | None,
) -> tuple[Judgement, list[str]]:
    """Every training row predicted by a head that has seen no row of its unit; folds are stratified by class.

    Raises:
        ColdframeError: fewer units than folds, or a fold that leaves fewer than two classes to learn.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    rows, classes = data.training, data.classes
    groups = units.of_rows(snapshot, settings.plan, rows.image_ids)
    if len(np.unique(groups)) < settings.folds:
        raise ColdframeError(
            f"train: folds = {settings.folds}, and the training rows are {len(np.unique(groups))} units of copies: ask for fewer"
        )
    probabilities = np.zeros((len(rows), len(classes)))
    unknown: set[str] = set()
    splitter = StratifiedGroupKFold(settings.folds, shuffle=True, random_state=settings.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer rows than folds: reported below
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
            validation = replace(validation, views=validation.views.copy()) if len(validation) else None
        head, _ = fit(training, validation, known, settings, embed_texts)
        probabilities[np.ix_(predicted, np.searchsorted(classes, known))] = head.predict(held_out.matrix.copy())
    notes = []
    if unknown:
        notes.append(
            f"{len(unknown)} classes have all their rows in one fold, so out of fold none of those can be right: "
            f"{_named(np.array(sorted(unknown)))}"
        )
    return judging.judge(run_id, FOLDS.format(settings.folds), rows, groups, classes, probabilities), notes


def _named(classes: npt.NDArray[np.str_]) -> str:
    return ", ".join(classes[:SHOWN].tolist()) + (", …" if len(classes) > SHOWN else "")


def _texts(snapshot: Snapshot, settings: Settings) -> Callable[[Sequence[str]], FloatMatrix] | None:
    """What reads the names of classes, for a head that asks for it and a single feature set."""
    assert isinstance(settings.embedder, tuple)
    if "template" not in heads.heeded(str(settings.head)) or len(settings.embedder) != 1:
        return None
    return feature_sets.reader(snapshot, settings.embedder[0], str(settings.head))


def inputs_read(snapshot: Snapshot, settings: Settings) -> dict[str, str]:
    """A digest of each column of the training and validation rows, and of their feature sets."""
    assert isinstance(settings.embedder, tuple)
    read = {"plan": settings.plan, "splits": [TRAIN, VALIDATION]}
    inputs = {
        f"{row['name']} of plan {settings.plan}": row["digest"]
        for row in snapshot.rows("steps/train/labelled_rows_digests", **read)
    }
    for embedder in settings.embedder:
        inputs[f"embeddings of {embedder}"] = snapshot.value(
            "steps/train/labelled_vectors_digest", **read, embedder=embedder, views=settings.views
        )
    return inputs


def new_run_id(name: str, created_at: datetime, made_of: Any) -> str:
    """The time, the name, and a digest of what the run was made of."""
    return f"{created_at:%Y%m%dT%H%M%S}-{name}-{digests.of_json([made_of, str(created_at)])[:6]}"


def run_rows(run_id: str, seen: Sequence[Rows]) -> pa.Table:
    """``run_rows`` of the rows that had a say in a run."""
    columns = {
        name: np.concatenate([getattr(rows, attribute) for rows in seen]).tolist()
        for name, attribute in (
            ("image_id", "image_ids"),
            ("content_id", "content_ids"),
            ("label", "labels"),
            ("split", "splits"),
        )
    }
    return pa.table({"run_id": [run_id] * len(columns["image_id"]), **columns}, SCHEMAS["run_rows"])


def versions() -> dict[str, str]:
    """Of Python and of each library that a run depends on."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}
