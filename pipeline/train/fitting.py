"""Fitting: the settings of a head, the rows that they select from the store, and the head learned from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.embed import feature_sets
from pipeline.runs import judgement
from pipeline.runs.rows import Rows, load_rows
from pipeline.runs.runs import HEAD, Run
from pipeline.steps import hints
from pipeline.steps import settings as declared
from pipeline.steps.settings import setting
from pipeline.train import heads, scaling
from pipeline.train.heads import Head
from pipeline.train.loop import Fit, Labelled, Schedule, Task
from store.errors import ColdframeError
from store.matrices import FloatMatrix
from store.schemas import DEFAULT_PLAN, TRAIN, VALIDATION
from store.store import Snapshot

SHOWN = 5  # classes that a note lists


@dataclass(frozen=True)
class Settings(heads.Settings):
    """The head, the features and rows it learns from, and the settings of heads.

    ``chosen_on`` is the split whose rows chose these settings, if any. ``chosen_by`` is the earlier run for which they were
    chosen.
    """

    head: str | None = setting(None, "Head to train.", choices=heads.names, default_text=heads.DEFAULT)
    embedder: str | tuple[str, ...] | None = setting(
        None,
        "Feature set; repeat it to join several.",
        metavar="SET",
        default_text=feature_sets.DEFAULT_TEXT,
    )
    plan: str = setting(DEFAULT_PLAN, "Plan whose splits to use.")
    views: int = setting(0, "Augmented views per row to train on, besides the original.", least=0, most=1000)
    folds: int = setting(
        0,
        "Cross-validate: predict each training row with a head that has not seen it, in N folds; 0 for none.",
        least=0,
        most=1000,
    )
    memory_share: float = setting(
        0.25, "Share of memory that a matrix may take; a larger one is kept on disk.", least=0, most=1, incidental=True
    )
    chosen_on: str | None = setting(None, is_option=False)
    chosen_by: str | None = setting(None, is_option=False)


AnySettings = TypeVar("AnySettings", bound=Settings)


@dataclass(frozen=True)
class Data:
    """What a run learns from: training rows, usable validation rows, if any, and notes for the user."""

    training: Rows
    validation: Rows | None
    digest: str
    notes: tuple[str, ...]

    @property
    def classes(self) -> npt.NDArray[np.str_]:
        """The classes that occur in training, ascending."""
        return np.unique(self.training.labels)

    def seen(self, settings: Settings) -> list[Rows]:
        """The training rows, and the validation rows if they influence a run with these settings."""
        return [self.training, *([self.validation] if self.validation is not None and selects(settings) else [])]


def resolve(snapshot: Snapshot, name: str, settings: AnySettings) -> AnySettings:
    """The settings of a run called ``name``, with every default filled in.

    Raises:
        ColdframeError: there is no such head or feature set, or a value is out of range.
    """
    head = settings.head or name
    embedder = settings.embedder or getattr(heads.module(head), "EMBEDDER", None)
    own = [one.name for one in fields(Settings) if one.name not in heads.ALL_SETTINGS]
    declared.check("train", Settings(**{one: getattr(settings, one) for one in own}))
    if settings.folds == 1:
        raise declared.wrong("train", "folds", 1, "0 or from 2 to 1000")
    if settings.views and not heads.draws(head):
        raise ColdframeError(
            f"train: the head {head} sees each row once, so it has no use for views: leave out --views"
        )
    return heads.resolve(head, replace(settings, head=head, embedder=feature_sets.choose_all(snapshot, embedder)))


def check_heeded(name: str, settings: Settings, given: Sequence[str]) -> None:
    """Raises:
    ColdframeError: the head does not use one of the settings that are ``given`` by name.
    """
    head = settings.head or name
    for one in given:
        if one in heads.ALL_SETTINGS and one not in heads.heeded(head):
            heeding = ", ".join(f"--{name.replace('_', '-')}" for name in heads.heeded(head))
            raise ColdframeError(f"train: the head {head} has no --{one.replace('_', '-')}; it takes {heeding}")


def as_run(settings: Settings) -> Settings:
    """The settings of a run, out of those of a search, which has more."""
    return Settings(**{one.name: getattr(settings, one.name) for one in fields(Settings)})


def settings_of(run: Run) -> Settings:
    """The settings that a run was made with."""
    made: Settings = declared.from_json(Settings, run.settings)
    return made


def changed(run: Run, given: Mapping[str, Any]) -> Settings:
    """The settings of a run, with the values ``given`` replacing its own. Another head gets its own defaults, and nothing that
    was chosen for the first head."""
    settings = settings_of(run)
    if settings.chosen_on is not None:
        settings = replace(settings, chosen_by=settings.chosen_by or run.run_id)
    head = given.get("head")
    if head not in (None, settings.head):
        unset: dict[str, Any] = {one.name: None for one in fields(heads.Settings) if one.default is None}
        settings = replace(settings, **unset, chosen_on=None, chosen_by=None)
        settings = settings if heads.draws(head) else replace(settings, views=0)
    return replace(settings, **given)


def load(snapshot: Snapshot, settings: Settings) -> Data:
    """The rows selected by settings from :func:`resolve`.

    Raises:
        ColdframeError: there is no plan, no features, vectors that are not finite, or fewer than two classes.
    """
    assert isinstance(settings.embedder, tuple)
    require_plan(snapshot, settings.plan)
    place = (snapshot, settings.plan, settings.embedder)
    training = load_rows(*place, TRAIN, views=settings.views, memory_share=settings.memory_share)
    validation = load_rows(*place, VALIDATION, memory_share=settings.memory_share, may_be_empty=True)
    digest = training.digest()[:16] + validation.digest()[:16]
    notes = []
    for rows, split in ((training, TRAIN), (validation, VALIDATION)):
        for name, count in rows.without_vector.items():
            notes.append(
                f"{count} {split} rows have no vector in {name} and are left out: run {hints.command('embed', name)}"
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
            f"{hints.command('embed', settings.embedder[0], '--views', settings.views)} makes them"
        )
    if training.without_view:
        notes.append(
            f"{training.without_view} training rows lack augmented views: the original image is used for those"
        )
    known = np.isin(validation.labels, classes)
    if not known.all():
        notes.append(unknown_classes(validation.labels[~known], classes))
        validation = validation.where(known)
    if not len(validation):
        notes.append(no_validation(settings.plan))
        return Data(training, None, digest, tuple(notes))
    return Data(training, validation, digest, (*notes, *unvalidated(classes, validation.labels)))


def require_plan(snapshot: Snapshot, plan: str) -> None:
    """Raises:
    ColdframeError: the plan was never replayed.
    """
    if not snapshot.rows("steps/curate/plan_stages", plan=plan):
        replayed = ", ".join(row["plan"] for row in snapshot.rows("steps/curate/plans")) or "none"
        raise ColdframeError(
            f"no plan {plan!r} has been replayed; replayed: {replayed}; {hints.split(plan, 'test', '0.15')} makes it"
        )


def no_validation(plan: str) -> str:
    """The note on a plan without a validation split."""
    return (
        f"no validation split: training stops by the training loss; {hints.split(plan, VALIDATION, '0.10')} makes one"
    )


def unvalidated(classes: npt.NDArray[np.str_], labels: npt.NDArray[np.str_]) -> list[str]:
    """The note on classes without a validation row."""
    absent = classes[~np.isin(classes, labels)]
    return [f"{len(absent)} classes have no validation row: {named(absent)}"] if len(absent) else []


def unknown_classes(labels: npt.NDArray[np.str_], classes: npt.NDArray[np.str_]) -> str:
    """The note on validation rows whose ``labels`` are of classes without a training row."""
    told = judgement.unseen(labels, classes)
    return f"{len(labels)} validation rows are of classes without a training row and are left out: {told}"


def fit(
    training: Rows,
    validation: Rows | None,
    classes: npt.NDArray[np.str_],
    settings: Settings,
    embed_texts: Callable[[Sequence[str]], FloatMatrix] | None = None,
) -> tuple[Head, Fit]:
    """A head fitted on rows, and how its training went. The rows' vectors are scaled in place.

    Raises:
        ColdframeError: the head cannot learn from these rows, or its training diverged.
    """
    task, scaled = make_task(training, validation, classes, settings, embed_texts)
    fitted = heads.fit(str(settings.head), task, settings)
    return Head(str(settings.head), scaled, fitted.arrays), fitted


def make_task(
    training: Rows,
    validation: Rows | None,
    classes: npt.NDArray[np.str_],
    settings: Settings,
    embed_texts: Callable[[Sequence[str]], FloatMatrix] | None = None,
) -> tuple[Task, scaling.Scaling]:
    """What a head learns from, and the scaling of its vectors, which are scaled in place."""
    scaled = scaling.fit(str(settings.input), training.matrix, training.blocks)
    scaled.apply(training.views.reshape(-1, training.views.shape[-1]))
    held_out = None
    if validation is not None:
        held_out = Labelled(scaled.apply(validation.matrix), judgement.targets(validation.labels, classes))
    targets = judgement.targets(training.labels, classes)
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
    """Class weights that make all classes count the same: rows / (classes · rows of the class), as in scikit-learn."""
    weights: npt.NDArray[np.float64] = len(targets) / (classes * np.bincount(targets, minlength=classes).clip(min=1))
    return weights


def selects(settings: Settings) -> bool:
    """Whether validation rows influence a run: its epoch or rate, or its settings, unless those were chosen for an earlier run by
    that run's rows."""
    trained = set(Schedule.__dataclass_fields__) <= set(heads.heeded(str(settings.head)))
    by_epoch = trained and bool(settings.early_stopping or settings.reduce_lr_patience)
    return by_epoch or (settings.chosen_on == VALIDATION and settings.chosen_by is None)


def named(classes: npt.NDArray[np.str_]) -> str:
    """The names of classes; if there are many, only a few."""
    return ", ".join(classes[:SHOWN].tolist()) + (", …" if len(classes) > SHOWN else "")


def texts(snapshot: Snapshot, settings: Settings) -> Callable[[Sequence[str]], FloatMatrix] | None:
    """A function that embeds class names, for a head that needs it and a single feature set."""
    assert isinstance(settings.embedder, tuple)
    if "template" not in heads.heeded(str(settings.head)) or len(settings.embedder) != 1:
        return None
    return feature_sets.reader(snapshot, settings.embedder[0], str(settings.head))


def rows_read(snapshot: Snapshot, plan: str) -> dict[str, str]:
    """A digest of each column of a plan's training and validation rows that a run depends on."""
    rows = snapshot.rows("steps/train/labelled_rows_digest", plan=plan, splits=[TRAIN, VALIDATION])
    return {f"{row['name']} of plan {plan}": row["digest"] for row in rows}


def inputs_read(snapshot: Snapshot, settings: Settings) -> dict[str, str]:
    """A digest of each column of the training and validation rows, and of their feature sets."""
    assert isinstance(settings.embedder, tuple)
    inputs = rows_read(snapshot, settings.plan)
    for embedder in settings.embedder:
        inputs[f"embeddings of {embedder}"] = snapshot.value(
            "steps/train/labelled_vectors_digest",
            plan=settings.plan,
            splits=[TRAIN, VALIDATION],
            embedder=embedder,
            views=settings.views,
        )
    return inputs


def facts(data: Data, settings: Settings, head: Head) -> dict[str, Any]:
    """What ``runs`` records of a head, besides what every run has."""
    assert isinstance(settings.embedder, tuple)
    return {
        "kind": HEAD,
        "head": settings.head,
        "embedder": " + ".join(settings.embedder),
        "embedders": list(settings.embedder),
        "plan": settings.plan,
        "features_digest": data.digest,
        "classes": data.classes.tolist(),
        "parameters": head.parameters,
        "seed": settings.seed,
        "views": settings.views,
        "settings_chosen_on": settings.chosen_on,
    }
