"""Prediction: the class probabilities that a run gives rows of the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.ingest.pictures import Pixels, load_pictures
from pipeline.runs.metrics import Probabilities
from pipeline.runs.rows import Rows
from pipeline.runs.runs import FINETUNED, HEAD, NETWORK
from pipeline.train import classifier, networks
from pipeline.train.heads import Head
from store.errors import ColdframeError
from store.store import Snapshot

BATCH = 32  # pictures that go through a network at a time


def feature_sets_read(run: Mapping[str, Any]) -> list[str]:
    """The feature sets whose vectors a run predicts from: none where it looks at pictures."""
    return list(run["embedders"]) if run["kind"] == HEAD else []


def probabilities(snapshot: Snapshot, run: dict[str, Any], rows: Rows, *, quiet: bool = False) -> Probabilities:
    """Class probabilities of each row, shape (n, classes), float64, the mean over the views that ``rows`` has.

    Raises:
        ColdframeError: the run's feature sets have changed since, or its model gives other classes than the run has.
    """
    found = _probabilities(snapshot, run, rows, quiet=quiet)
    if found.ndim != 2 or found.shape[1] != len(run["classes"]):
        raise other_classes(run["run_id"], len(run["classes"]), found.shape[1:])
    return found


def other_classes(name: str, classes: int, found: tuple[int, ...]) -> ColdframeError:
    """The error where a model gives something else than a probability for each class."""
    return ColdframeError(f"{name} has {classes} classes, its model gives {found}: train again")


def _probabilities(snapshot: Snapshot, run: dict[str, Any], rows: Rows, *, quiet: bool) -> Probabilities:
    if run["kind"] == NETWORK:
        height, width = json.loads(run["settings"])["size"]
        pictures = _pictures(snapshot, rows, (height, width), quiet=quiet)
        return networks.predict(snapshot.file("models", run["run_id"]), pictures)
    if run["kind"] == FINETUNED:
        parts = classifier.parts(snapshot, run)
        model, pictures = classifier.assemble(parts), _pictures(snapshot, rows, parts.size, quiet=quiet)
        starts = range(0, len(pictures), BATCH)
        return np.concatenate(
            [np.asarray(model.predict_on_batch(pictures[at : at + BATCH])[0]) for at in starts]
        ).astype(np.float64)
    head = Head.read(snapshot.file("models", run["run_id"]))
    if head.scaling.blocks != rows.blocks:
        raise ColdframeError(
            f"{run['run_id']} takes vectors of {head.scaling.blocks} numbers, {run['embedder']} has {rows.blocks}: the "
            "feature set was made anew; train again"
        )
    found: Probabilities = np.mean([head.predict(view) for view in rows.views], axis=0)
    return found


def _pictures(snapshot: Snapshot, rows: Rows, size: tuple[int, int], *, quiet: bool) -> Pixels:
    pictures = load_pictures(snapshot, rows.content_ids, size, quiet=quiet)
    if pictures.failed:
        content, reason = next(iter(pictures.failed.items()))
        raise ColdframeError(
            f"{len(pictures.failed)} pictures cannot be read again, such as content {content}: {reason}; 'coldframe ingest' "
            "brings the catalogue up to date"
        )
    return pictures.array
