"""How well does each scorer find what is wrong in a catalogue, of which the truth is known?

    python -m tests.benchmarks.truth [FOLDER [WEIGHTS [TOP]]]

FOLDER holds ``metadata.csv`` (columns of Rare Species), ``images/`` and ``truth.csv`` (columns ``rare_species_id, kind``).
WEIGHTS are EfficientNetV2B0's without its top, TOP the same with it. A signal is a value for each image, higher where it is
more suspicious; its average precision is over the rows of the kinds in ``JUDGED``, where those in ``BAD`` are to be found.
Prints a table; the last line is one JSON object.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.curate.centroids import class_centroids, distances, without_itself
from pipeline.embed import feature_sets
from store.store import Store
from tests.benchmarks import copies, doubted
from tests.benchmarks.heads import EMBEDDER, SHARED, coldframe

BAD = ("object", "mislabelled", "xray", "document")
JUDGED = ("photo", "near_copy", *BAD)
LOW_IS_BAD = ("imagenet",)  # scorers whose low values are suspicious
FOLDS = 5
THRESHOLD = 0.3  # of the rule imagenet

Signal = Mapping[str, float]  # by image


def rows_of_truth(folder: Path) -> dict[str, dict[str, str]]:
    """What each row of a catalogue really is, by image: ``kind`` and, where it has one, ``note``."""
    with (folder / "truth.csv").open(newline="") as file:
        return {row["rare_species_id"]: row for row in csv.DictReader(file)}


def judged(signal: Signal, truth: Mapping[str, Mapping[str, str]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Which of the judged rows are bad, and their values. An image without a value is least suspicious."""
    ids = sorted(one for one, row in truth.items() if row["kind"] in JUDGED)
    least = min(signal.values(), default=0.0)
    return np.array([truth[one]["kind"] in BAD for one in ids]), np.array([signal.get(one, least) for one in ids])


def average_precisions(signals: Mapping[str, Signal], truth: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """The average precision of each signal."""
    return {name: float(average_precision_score(*judged(signal, truth))) for name, signal in signals.items()}


def bad_among_first(signal: Signal, truth: Mapping[str, Mapping[str, str]], count: int = 100) -> int:
    """How many of the ``count`` most suspicious judged rows are bad."""
    is_bad, values = judged(signal, truth)
    return int(is_bad[np.argsort(-values, kind="stable")[:count]].sum())


def score(store: Path, scorer: str, *options: object) -> float:
    """Score the images; seconds with start-up."""
    started = time.monotonic()
    coldframe(store, "score", scorer, "--embedder", EMBEDDER, *options)
    return time.monotonic() - started


def of_scorer(store: Path, scorer: str) -> Signal:
    """The signal of a scorer, from its scores."""
    query = f"select image_id, value from scores where scorer = '{scorer}'"
    sign = -1 if scorer in LOW_IS_BAD else 1
    rows = json.loads(coldframe(store, "sql", query, "--format", "json"))
    return {row["image_id"]: sign * row["value"] for row in rows}


def baselines(store: Path) -> dict[str, Signal]:
    """What needs no scorer: distance to the centroid of the own class, and doubt of a classifier that did not see the image."""
    snapshot = Store(store).snapshot()
    known = feature_sets.vectors(snapshot, EMBEDDER)
    images = snapshot.select("images", "image_id", "content_id", "label").sort_by("image_id")
    rows = known.positions(images["content_id"])
    has = rows >= 0
    ids = np.array(images["image_id"].to_pylist(), object)[has]
    names, classes = np.unique(np.array(images["label"].to_pylist(), object)[has].astype(str), return_inverse=True)
    rows = rows[has]
    centroids, sizes = class_centroids(known.matrix, rows, classes, len(names))
    distance = np.nan_to_num(without_itself(distances(known.matrix, rows, classes, centroids), sizes[classes]))
    doubt = 1 - out_of_fold(known.matrix[rows], classes, groups=rows)
    return {
        "centroid": dict(zip(ids, distance.tolist(), strict=True)),
        "logistic out of fold": dict(zip(ids, doubt.tolist(), strict=True)),
    }


def out_of_fold(
    matrix: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The probability of each row's own class, from a logistic regression on the other folds, as cleanlab ranks labels; 0 where
    these have no such class."""
    found = np.zeros(len(classes))
    for rest, fold in GroupKFold(FOLDS, shuffle=True, random_state=0).split(matrix, classes, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        model.fit(matrix[rest], classes[rest])
        place = {label: column for column, label in enumerate(model.classes_)}
        probabilities = model.predict_proba(matrix[fold])
        found[fold] = [
            probabilities[at, place[label]] if label in place else 0.0 for at, label in enumerate(classes[fold])
        ]
    return found


def below_threshold(signal: Signal, truth: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[int, int]]:
    """Of each kind, how many images the rule ``imagenet`` takes out, and how many there are."""
    planted = Counter(row["kind"] for one, row in truth.items() if one in signal)
    out = Counter(truth[one]["kind"] for one, value in signal.items() if -value < THRESHOLD)
    return {kind: (out[kind], count) for kind, count in sorted(planted.items())}


def prepare(store: Path, folder: Path, weights: Path) -> None:
    """Ingest and embed a catalogue."""
    columns = ("--id", "rare_species_id", "--path", "file_path", "--label", "family")
    coldframe(store, "ingest", folder / "metadata.csv", "--images", folder / "images", *columns)
    coldframe(store, "embed", EMBEDDER, "--weights", weights)


def given() -> tuple[Path, ...]:
    """The arguments of the command line: the folder, the weights, and those with the top."""
    named = [Path(one) for one in sys.argv[1:]]
    models = SHARED / "models"
    defaults = (
        SHARED / "data" / "wildlife",
        models / "efficientnetv2b0_notop.weights.h5",
        models / "efficientnetv2b0_top_int8head.weights.h5",
    )
    return (*named, *defaults[len(named) :])


def main() -> None:
    """Score everything, and print what each signal finds."""
    folder, weights, top = given()
    truth = rows_of_truth(folder)
    with tempfile.TemporaryDirectory() as work:
        store = Path(work) / "store"
        prepare(store, folder, weights)
        options: dict[str, tuple[object, ...]] = {"imagenet": ("--weights", top)}
        scorers = ("label-doubt", "imagenet", "knn", "isolation-forest", "autoencoder")
        seconds = {name: score(store, name, *options.get(name, ())) for name in scorers}
        signals = {name: of_scorer(store, name) for name in scorers} | baselines(store)
        signals["combined"] = doubted.combined(store)
        more = doubted.label_doubt(store, truth, BAD, JUDGED)
        taken = doubted.rules(store, truth, BAD, JUDGED)
        near = copies.measure(folder, weights, store)
    found = average_precisions(signals, truth)
    print("| signal | average precision | bad among the first 100 | seconds |")
    print("|---|---|---|---|")
    for name, precision in sorted(found.items(), key=lambda one: -one[1]):
        spent = f"{seconds[name]:.1f}" if name in seconds else ""
        print(f"| {name} | {precision:.3f} | {bad_among_first(signals[name], truth)} | {spent} |")
    out = below_threshold(signals["imagenet"], truth)
    print(
        f"\nRule imagenet, sum below {THRESHOLD}: {', '.join(f'{kind} {n} of {of}' for kind, (n, of) in out.items())}."
    )
    for rule, counts in taken.items():
        print(f"Rule {rule}, over all rows: {counts['bad']} bad and {counts['good']} good taken out.")
    result = {f"{name.replace('-', '_').replace(' ', '_')}_ap": round(value, 4) for name, value in found.items()}
    result |= {name: round(value, 4) for name, value in more.items()} | near
    print(json.dumps(result))


if __name__ == "__main__":
    main()
