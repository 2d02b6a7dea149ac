"""Is coldframe's mlp as good as a plain Keras script, on the same features and splits?

    python -m tests.benchmarks.heads [FOLDER [WEIGHTS]]

FOLDER holds ``metadata.csv``, ``images/`` and ``truth.csv`` (columns ``rare_species_id, kind``); figures are over its test rows
of kind ``photo``. Five plans, one seed each. The last line is one JSON object.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared"
SEEDS = range(5)
EMBEDDER = "efficientnet-v2-b0"
QUERY = f"""
select i.image_id, i.label, s.split, e.vector
from images i join splits s using (image_id) join embeddings e using (image_id)
where s.plan = $plan and e.embedder = '{EMBEDDER}' and i.label is not null
"""

Figures = dict[str, list[tuple[float, float]]]


def coldframe(store: Path, *arguments: object) -> bytes:
    """Standard output of a command; exit code 3 (some rows failed) is as expected here."""
    command = [sys.executable, "-P", "-m", "pipeline", "-q", "-s", str(store), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{arguments}: exit code {done.returncode}")
    return done.stdout


def curate(store: Path, plan: str, seed: int) -> None:
    """The reference plan without CLIP."""
    coldframe(store, "filter", "greyscale", "--plan", plan)
    coldframe(store, "filter", "cmyk", "--plan", plan)
    coldframe(store, "split", "test", 0.15, "--plan", plan, "--seed", seed)
    coldframe(store, "filter", "centroid", "--percentile", 95, "--percentile", 97.5, "--plan", plan)
    coldframe(store, "split", "val", 0.10, "--plan", plan, "--seed", seed)


def measure(labels: dict[str, str], predicted: dict[str, str], photos: set[str]) -> tuple[float, float]:
    """Accuracy and macro F1 (over the classes present) of the photo rows, in points."""
    ids = sorted(photos & set(predicted))
    truth, guess = np.array([labels[one] for one in ids]), np.array([predicted[one] for one in ids])
    macro = f1_score(truth, guess, labels=np.unique(truth), average="macro", zero_division=0)
    return 100 * float((truth == guess).mean()), 100 * float(macro)


def main() -> None:
    """Run the comparison and print it."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED / "data" / "wildlife"
    weights = Path(sys.argv[2]) if len(sys.argv) > 2 else SHARED / "models" / "efficientnetv2b0_notop.weights.h5"
    with (folder / "truth.csv").open() as file:
        photos = {row["rare_species_id"] for row in csv.DictReader(file) if row["kind"] == "photo"}
    with (folder / "metadata.csv").open() as file:
        labels = {row["rare_species_id"]: row["family"] for row in csv.DictReader(file)}
    figures: Figures = {"coldframe": [], "keras": [], "logistic": []}
    with tempfile.TemporaryDirectory() as work:
        store = Path(work) / "store"
        columns = ("--id", "rare_species_id", "--path", "file_path", "--label", "family")
        coldframe(store, "ingest", folder / "metadata.csv", "--images", folder / "images", *columns)
        coldframe(store, "embed", EMBEDDER, "--weights", weights)
        print("plan      rows   coldframe      plain Keras    logistic   (accuracy / macro F1, points)")
        for seed in SEEDS:
            plan = f"seed-{seed}"
            curate(store, plan, seed)
            run = coldframe(store, "train", "--head", "mlp", "--plan", plan, "--seed", seed).decode().strip()
            coldframe(store, "evaluate", run)
            query = f"select image_id, predicted from predictions where run_id = '{run}' and evaluation = 'plain'"
            ours = json.loads(coldframe(store, "sql", query, "--format", "json"))
            features = Path(work) / "features.parquet"
            features.write_bytes(coldframe(store, "sql", QUERY, "--param", f"plan={plan}", "--format", "parquet"))
            plain = [sys.executable, str(HERE / "plain_keras.py"), str(features), str(seed)]
            theirs = json.loads(subprocess.run(plain, capture_output=True, check=True).stdout.splitlines()[-1])
            predicted = {"coldframe": {row["image_id"]: row["predicted"] for row in ours}, **theirs}
            for name, guesses in predicted.items():
                figures[name].append(measure(labels, guesses, photos))
            shown = "   ".join("{:5.1f} / {:5.1f}".format(*figures[name][-1]) for name in figures)
            print(f"{plan}  {len(photos & set(theirs['keras'])):4}   {shown}", flush=True)
    print(json.dumps(summary(figures)))


def summary(figures: Figures) -> dict[str, float]:
    """Means over the plans, and the paired differences to plain Keras, in points."""
    means = {name: np.mean(values, axis=0) for name, values in figures.items()}
    differences = np.array(figures["coldframe"]) - np.array(figures["keras"])
    result = {f"{name}_accuracy": mean[0] for name, mean in means.items()}
    result |= {f"{name}_f1_macro": mean[1] for name, mean in means.items()}
    result |= {
        "paired_accuracy_difference": differences.mean(axis=0)[0],
        "paired_f1_difference": differences.mean(axis=0)[1],
    }
    result |= {"largest_accuracy_difference": np.abs(differences).max(axis=0)[0]}
    return {name: round(float(value), 2) for name, value in result.items()}


if __name__ == "__main__":
    main()
