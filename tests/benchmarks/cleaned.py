"""Is a head better after the rules, or after a person went through the first suspects? On photographs whose truth is known.

    python -m tests.benchmarks.cleaned [FOLDER [WEIGHTS [TOP]]]

The arguments are those of :mod:`tests.benchmarks.truth`. Every head is trained on five draws of the splits, and judged on the
good photographs among the test rows. Prints tables; the last line is one JSON object.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from tests.benchmarks.heads import EMBEDDER, SEEDS, coldframe
from tests.benchmarks.lab import interval
from tests.benchmarks.truth import given, prepare, rows_of_truth, score

GOOD = ("photo", "near_copy")
HEADS = ("logistic", "mlp")
LOOKED_AT = 60  # suspects that the careful person looks at
CENTROID = ("centroid", "--percentile", "95", "--percentile", "97.5")
FILTERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "no filter": (),
    "centroid": (CENTROID,),
    "label-doubt": (("label-doubt",),),
    "both": (("label-doubt",), CENTROID),
}
Truth = Mapping[str, Mapping[str, str]]
Figures = dict[str, list[float]]  # of accuracy and f1_macro: a value a seed


def main() -> None:
    """Train everything, and print what it comes to."""
    with _embedded() as (store, truth, top):
        filtered = {
            head: {name: _figures(store, truth, head, name, rules) for name, rules in FILTERS.items()} for head in HEADS
        }
        score(store, "label-doubt")
        score(store, "imagenet", "--weights", top)
        before = {head: _figures(store, truth, head, "before") for head in HEADS}
        counts = _go_through(store, truth)
        after = {head: _figures(store, truth, head, "before") for head in HEADS}  # the same plans, replayed
    print("| head | trained after | accuracy | macro F1 | accuracy less no filter, paired |\n|---|---|---|---|---|")
    for head, found in filtered.items():
        for name, figures in found.items():
            print(f"| {head} | {name} | {_told(figures, found['no filter'] if name != 'no filter' else None)} |")
    print(f"\nOf the first {LOOKED_AT} suspects: {counts['relabel']} relabelled, {counts['drop']} dropped.\n")
    print("| head | suspects | accuracy | macro F1 | accuracy after less before, paired |\n|---|---|---|---|---|")
    for head in HEADS:
        print(
            f"| {head} | before | {_told(before[head], None)} |\n| {head} | after | {_told(after[head], before[head])} |"
        )
    result: dict[str, Any] = {
        f"{head} {name}": round(float(np.mean(figures["accuracy"])), 2)
        for head, found in filtered.items()
        for name, figures in found.items()
    }
    for head in HEADS:
        result |= {
            f"{head} before": np.mean(before[head]["accuracy"]),
            f"{head} after": np.mean(after[head]["accuracy"]),
        }
    print(json.dumps({name: round(float(value), 2) for name, value in result.items()}))


@contextmanager
def _embedded() -> Iterator[tuple[Path, Truth, Path]]:
    folder, weights, top = given()
    with tempfile.TemporaryDirectory() as work:
        store = Path(work) / "store"
        prepare(store, folder, weights)
        yield store, rows_of_truth(folder), top


def _figures(store: Path, truth: Truth, head: str, name: str, rules: tuple[tuple[str, ...], ...] = ()) -> Figures:
    """Accuracy and macro F1, in percent, on the good test photographs of each draw."""
    found: Figures = {"accuracy": [], "f1_macro": []}
    for seed in SEEDS:
        plan = f"{name} {seed}"
        coldframe(store, "split", "test", 0.15, "--plan", plan, "--seed", seed)
        for rule in rules:
            coldframe(store, "filter", *rule, "--embedder", EMBEDDER, "--plan", plan)
        coldframe(store, "split", "val", 0.1, "--plan", plan)
        made = ("train", "--head", head, "--embedder", EMBEDDER, "--plan", plan, "--seed", seed)
        run = coldframe(store, *made).decode().strip()
        coldframe(store, "evaluate", run)
        query = f"select image_id, label, predicted from predictions where run_id = '{run}' and split = 'test'"
        rows = json.loads(coldframe(store, "sql", query, "--format", "json"))
        good = [row for row in rows if truth[row["image_id"]]["kind"] in GOOD]
        labels, predicted = [row["label"] for row in good], [row["predicted"] for row in good]
        found["accuracy"].append(100 * float(np.mean(np.array(labels) == np.array(predicted))))
        f1 = f1_score(labels, predicted, labels=sorted(set(labels)), average="macro", zero_division=0)
        found["f1_macro"].append(100 * float(f1))
    return found


def _go_through(store: Path, truth: Truth) -> dict[str, int]:
    """Play a careful person, who knows what each of the first suspects shows: correct its label, drop it, or let it be."""
    query = f"select image_id from suspects order by rank limit {LOOKED_AT}"
    seen = [row["image_id"] for row in json.loads(coldframe(store, "sql", query, "--format", "json"))]
    wrong = [(one, truth[one]["note"]) for one in seen if truth[one]["kind"] == "mislabelled"]
    strange = [one for one in seen if truth[one]["kind"] in ("object", "xray", "document")]
    lists: dict[str, list[tuple[str, ...]]] = {
        "relabel": [("image_id", "label"), *wrong],
        "drop": [("image_id",), *((one,) for one in strange)],
    }
    for verdict, rows in lists.items():
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        file = store.parent / f"{verdict}.csv"
        file.write_text(text.getvalue(), encoding="utf-8")
        coldframe(store, verdict, "--from", file, "--why", "looked at")
    return {"relabel": len(wrong), "drop": len(strange)}


def _told(figures: Figures, beside: Figures | None) -> str:
    paired = (
        ""
        if beside is None
        else interval([a - b for a, b in zip(figures["accuracy"], beside["accuracy"], strict=True)], sign="+")
    )
    return f"{interval(figures['accuracy'])} | {interval(figures['f1_macro'])} | {paired}"


if __name__ == "__main__":
    main()
