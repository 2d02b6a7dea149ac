"""Doubt of labels on photographs whose truth is known: other wrong labels, no originals, and the rule beside the centroids.

Used by :mod:`tests.benchmarks.truth`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.metrics import average_precision_score

from pipeline.curate import doubt
from pipeline.curate.nearest import centred
from pipeline.embed import feature_sets
from store.matrices import Vectors
from store.store import Store
from tests.benchmarks.heads import EMBEDDER, coldframe

SEEDS = range(5)
Truth = Mapping[str, Mapping[str, str]]


def label_doubt(store: Path, truth: Truth, bad: tuple[str, ...], judged: tuple[str, ...]) -> dict[str, float]:
    """Average precision of the doubt of labels among the ``judged`` rows, of which those of the kinds ``bad`` are to be found.

    * ``redrawn_least_ap``: the least of five, each with other labels for the bad rows, drawn from all but the true one;
    * ``no_originals_ap``: without the photographs that mislabelled rows are copies of (the most similar of the true family);
    * ``suggested_right``: the share of mislabelled rows for which the true family is suggested.
    """
    snapshot = Store(store).snapshot()
    known = feature_sets.vectors(snapshot, EMBEDDER)
    images = snapshot.select("images", "image_id", "content_id", "label").sort_by("image_id")
    kinds = [truth[one]["kind"] for one in images["image_id"].to_pylist()]
    images = images.filter(pa.array([kind in judged for kind in kinds]))
    rows = [truth[one] for one in images["image_id"].to_pylist()]
    is_bad = np.array([row["kind"] in bad for row in rows])
    redrawn = [_precision(known, _redrawn(images, rows, is_bad, seed), is_bad) for seed in SEEDS]
    others = ~_originals(known, images, rows)
    wrong = [at for at, row in enumerate(rows) if row["kind"] == "mislabelled"]
    suggested = doubt.of_images(known, images)["suggested"].to_pylist()
    return {
        "redrawn_least_ap": min(redrawn),
        "no_originals_ap": _precision(known, images.filter(pa.array(others)), is_bad[others]),
        "suggested_right": float(np.mean([suggested[at] == rows[at]["note"] for at in wrong])),
    }


def _precision(known: Vectors, images: pa.Table, is_bad: npt.NDArray[np.bool_]) -> float:
    return float(average_precision_score(is_bad, doubt.of_images(known, images)["value"].to_numpy()))


def _redrawn(images: pa.Table, rows: list[Mapping[str, str]], is_bad: npt.NDArray[np.bool_], seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    labels = images["label"].to_pylist()
    families = sorted(set(labels))
    for at in np.flatnonzero(is_bad):
        labels[at] = str(rng.choice([one for one in families if one != rows[at]["note"]]))
    return images.set_column(images.column_names.index("label"), "label", pa.chunked_array([labels]))


def _originals(known: Vectors, images: pa.Table, rows: list[Mapping[str, str]]) -> npt.NDArray[np.bool_]:
    unit = centred(known.matrix[known.positions(images["content_id"])])
    labels = np.array(images["label"].to_pylist(), object)
    found = np.zeros(len(rows), bool)
    for at, row in enumerate(rows):
        if row["kind"] == "mislabelled":
            alike = np.where((labels == row["note"]) & (np.arange(len(rows)) != at), unit @ unit[at], -np.inf)
            found[alike.argmax()] = True
    return found


def rules(store: Path, truth: Truth, bad: tuple[str, ...], judged: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """How many bad and good rows each rule takes out by default; ``centroid`` in the two passes of the reference recipe."""
    given: dict[str, list[Any]] = {"centroid": ["--percentile", 95, "--percentile", 97.5], "label-doubt": []}
    found = {}
    for rule, options in given.items():
        coldframe(store, "filter", rule, "--embedder", EMBEDDER, *options, "--plan", rule)
        query = f"select image_id from exclusions where plan = '{rule}'"
        kinds = [
            truth[row["image_id"]]["kind"] for row in json.loads(coldframe(store, "sql", query, "--format", "json"))
        ]
        found[rule] = {
            "bad": sum(kind in bad for kind in kinds),
            "good": sum(kind in judged and kind not in bad for kind in kinds),
        }
    return found


def combined(store: Path) -> dict[str, float]:
    """The view ``suspects`` as a signal: higher is more suspicious."""
    rows = json.loads(coldframe(store, "sql", "select image_id, rank from suspects", "--format", "json"))
    return {row["image_id"]: -float(row["rank"]) for row in rows}
