"""Train: a head on cached features, saved with everything that made it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import feature_sets, features, heads
from pipeline.features import Rows
from pipeline.frameworks import load_keras, set_seed
from pipeline.plans import DEFAULT_PLAN, TRAIN, VALIDATION
from store import digests
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from store.store import Snapshot, Store

OPTIMIZERS = ("adagrad", "adam", "adamw", "sgd")
LIBRARIES = ("coldframe", "keras", "tensorflow", "torch", "numpy", "scikit-learn", "duckdb", "pyarrow", "pillow")


@dataclass(frozen=True)
class Settings:
    """The reference recipe; ``early_stopping`` and ``reduce_lr_patience`` are epochs without improvement, 0 for never."""

    head: str | None = None
    embedder: str | None = None
    plan: str = DEFAULT_PLAN
    units: int = 600
    dropout: float = 0.4
    optimizer: str = "adagrad"
    learning_rate: float = 0.01
    batch: int = 32
    epochs: int = 20
    early_stopping: int = 3
    reduce_lr_factor: float = 0.1
    reduce_lr_patience: int = 2
    class_weights: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """A trained run."""

    run_id: str
    train_rows: int
    val_rows: int
    classes: int
    epochs: int
    history: dict[str, list[float]]
    seconds: float
    notes: tuple[str, ...]


def train(store: Store, name: str, settings: Settings) -> Outcome:
    """Train a head on the plan's training rows and save it as a run called ``name``.

    The validation split, where the plan has one, stops training early; the weights of its best epoch are kept.

    Raises:
        ColdframeError: no plan, no features, fewer than two classes, or an unknown head or optimiser.
    """
    started = time.monotonic()
    _check(settings)
    snapshot = store.snapshot()
    embedder = feature_sets.choose(snapshot, settings.embedder)
    resolved = {**asdict(settings), "head": settings.head or name, "embedder": embedder}
    rows, missing = features.load(snapshot, settings.plan, embedder, [TRAIN, VALIDATION])
    training, validation, notes = _prepare(snapshot, settings.plan, embedder, rows, missing)
    classes = np.unique(training.labels)
    model, history = _fit(resolved, training, validation, classes)
    created_at = datetime.now(UTC)
    features_digest = rows.digest()
    run_id = f"{created_at:%Y%m%dT%H%M%S}-{name}-{digests.of_json([resolved, features_digest, str(created_at)])[:6]}"
    seconds = time.monotonic() - started
    row = {
        "run_id": run_id,
        "created_at": created_at,
        "name": name,
        "head": resolved["head"],
        "embedder": embedder,
        "plan": settings.plan,
        "features_digest": features_digest,
        "classes": classes.tolist(),
        "train_rows": len(training),
        "val_rows": len(validation),
        "epochs": len(history["loss"]),
        "parameters": int(model.count_params()),
        "seconds": seconds,
        "settings": json.dumps(resolved, sort_keys=True),
        "history": json.dumps(history),
        "versions": json.dumps(_versions()),
    }
    with store.commit("train") as commit:
        commit.add_file("models", _to_bytes(model), key=run_id, suffix=".keras")
        commit.append("runs", pa.Table.from_pylist([row], SCHEMAS["runs"]), key=run_id)
        commit.append("run_rows", _run_rows(run_id, training, validation), key=run_id)
        commit.record_step(
            "train",
            name,
            settings=resolved,
            inputs=inputs_read(snapshot, settings.plan, embedder),
            seconds=seconds,
            rows_in=len(rows),
            rows_out=len(training),
        )
    return Outcome(
        run_id, len(training), len(validation), len(classes), len(history["loss"]), history, seconds, tuple(notes)
    )


def inputs_read(snapshot: Snapshot, plan: str, embedder: str) -> dict[str, str]:
    """A digest of each column of the training and validation rows, and of their feature set."""
    rows = snapshot.rows("steps/train/labelled_rows_digests", plan=plan, splits=[TRAIN, VALIDATION])
    inputs = {f"{row['name']} of plan {plan}": row["digest"] for row in rows}
    vectors = snapshot.value(
        "steps/train/labelled_vectors_digest", plan=plan, splits=[TRAIN, VALIDATION], embedder=embedder
    )
    return inputs | {f"embeddings of {embedder}": vectors}


def _check(settings: Settings) -> None:
    if settings.optimizer not in OPTIMIZERS:
        raise ColdframeError(f"no optimiser {settings.optimizer!r}; available: {', '.join(OPTIMIZERS)}")
    for name, is_right, expected in (
        ("epochs", settings.epochs >= 1, "at least 1"),
        ("batch", settings.batch >= 1, "at least 1"),
        ("units", settings.units >= 1, "at least 1"),
        ("dropout", 0 <= settings.dropout < 1, "from 0 to below 1"),
        ("learning_rate", settings.learning_rate > 0, "above 0"),
        ("early_stopping", settings.early_stopping >= 0, "epochs, 0 for never"),
        ("reduce_lr_patience", settings.reduce_lr_patience >= 0, "epochs, 0 for never"),
        ("reduce_lr_factor", 0 < settings.reduce_lr_factor < 1, "between 0 and 1"),
        ("seed", 0 <= settings.seed < 2**32, "from 0 to 4294967295"),
    ):
        if not is_right:
            raise ColdframeError(f"train: {name} = {getattr(settings, name)}, expected {expected}")


def _prepare(snapshot: Snapshot, plan: str, embedder: str, rows: Rows, missing: int) -> tuple[Rows, Rows, list[str]]:
    notes = []
    if missing:
        notes.append(f"{missing} rows have no vector in {embedder} and are left out: run 'coldframe embed {embedder}'")
    training, validation = rows.of(TRAIN), rows.of(VALIDATION)
    if not snapshot.rows("steps/curate/plan_stages", plan=plan):
        raise ColdframeError(
            f"no plan {plan!r} has been replayed; run 'coldframe curate' or 'coldframe split test 0.15'"
        )
    if len(np.unique(training.labels)) < 2:
        raise ColdframeError(
            f"plan {plan!r} has {len(training)} training rows of {len(np.unique(training.labels))} classes with vectors in "
            f"{embedder}; expected at least two classes: see 'coldframe status'"
        )
    known = np.isin(validation.labels, training.labels)
    if not known.all():
        notes.append(f"{int((~known).sum())} validation rows are of classes without a training row and are left out")
        validation = validation.where(known)
    if not len(validation):
        notes.append("no validation split: training stops by the training loss; 'coldframe split val 0.10' makes one")
    return training, validation, notes


def _fit(
    settings: dict[str, Any], training: Rows, validation: Rows, classes: npt.NDArray[np.str_]
) -> tuple[Any, dict[str, list[float]]]:
    """The trained ``keras.Model`` and its history, one value an epoch."""
    keras = load_keras()
    from sklearn.utils.class_weight import compute_class_weight

    set_seed(keras, settings["seed"])
    shape = heads.HeadSettings(settings["units"], settings["dropout"])
    model = heads.build(settings["head"], training.matrix.shape[1], len(classes), shape)
    optimizer = keras.optimizers.get(
        {"class_name": settings["optimizer"], "config": {"learning_rate": settings["learning_rate"]}}
    )
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    targets = np.searchsorted(classes, training.labels)
    weights = (
        compute_class_weight("balanced", classes=classes, y=training.labels) if settings["class_weights"] else None
    )
    held_out = (validation.matrix, np.searchsorted(classes, validation.labels)) if len(validation) else None
    monitor = "val_loss" if held_out else "loss"
    callbacks = [keras.callbacks.TerminateOnNaN()]
    if settings["early_stopping"]:
        callbacks.append(
            keras.callbacks.EarlyStopping(monitor, patience=settings["early_stopping"], restore_best_weights=True)
        )
    if settings["reduce_lr_patience"]:
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor, factor=settings["reduce_lr_factor"], patience=settings["reduce_lr_patience"]
            )
        )
    history = model.fit(
        training.matrix,
        targets,
        batch_size=settings["batch"],
        epochs=settings["epochs"],
        validation_data=held_out,
        class_weight=dict(enumerate(weights)) if weights is not None else None,
        callbacks=callbacks,
        verbose=0,
    ).history
    if not np.isfinite(history["loss"]).all():
        raise ColdframeError(
            f"training diverged (the loss is not finite): try a learning rate below {settings['learning_rate']}"
        )
    return model, {name: [float(value) for value in values] for name, values in history.items()}


def _to_bytes(model: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "head.keras"
        model.save(file)
        return file.read_bytes()


def _run_rows(run_id: str, training: Rows, validation: Rows) -> pa.Table:
    return pa.table(
        {
            "run_id": [run_id] * (len(training) + len(validation)),
            "image_id": np.concatenate([training.image_ids, validation.image_ids]).tolist(),
            "content_id": np.concatenate([training.content_ids, validation.content_ids]).tolist(),
            "label": np.concatenate([training.labels, validation.labels]).tolist(),
            "split": [TRAIN] * len(training) + [VALIDATION] * len(validation),
        },
        SCHEMAS["run_rows"],
    )


def _versions() -> dict[str, str]:
    keras = load_keras()

    versions = {"python": platform.python_version(), "keras_backend": keras.backend.backend()}
    for library in LIBRARIES:
        versions[library] = importlib.metadata.version(library)
    return versions
