"""Does the demo hold what it promises? Draws and runs it, and says how well its own faults are found, how long it takes and
how much memory its processes take at once.

    python -m tests.benchmarks.demo [ROWS [SEED]]

The last line is one JSON object: shares from 0 to 1, accuracies in points.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.demo import planting, summary, world
from store.schemas import DEFAULT_PLAN
from store.store import Store
from tests.benchmarks.memory import Peak


def main() -> None:
    """Run a demo in a folder that is thrown away."""
    given = [int(text) for text in sys.argv[1:]]
    rows, seed = (given + [1000, 0][len(given) :])[:2]
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "world"
        command = [
            sys.executable,
            "-P",
            "-m",
            "pipeline",
            "demo",
            str(folder),
            "--rows",
            str(rows),
            "--seed",
            str(seed),
        ]
        started = time.monotonic()
        process = subprocess.Popen(command)
        peak = Peak(process.pid)
        if process.wait():
            raise SystemExit(f"the demo ended with exit code {process.returncode}")
        seconds = time.monotonic() - started
        print(json.dumps(figures(folder, rows, seed) | {"seconds": round(seconds, 1), "peak_mib": peak.stop()}))


def figures(folder: Path, rows: int, seed: int) -> dict[str, float]:
    """What was found of what was planted, and how far the mlp head is above guessing."""
    drawn = world.World(folder, tuple(planting.plant_sample(planting.sample(rows, seed), seed)), "sample", 0, 0.0)
    snapshot = summary.with_truth(Store.open(drawn.store).snapshot(), drawn)
    found = summary.quality(snapshot)
    accuracy = {row["head"]: float(row["accuracy"].split()[0]) for row in summary.accuracies(snapshot).to_pylist()}
    kinds = snapshot.rows("steps/demo/kinds", plan=DEFAULT_PLAN)
    return {
        "clip_quality_found": found.trained_found / found.trained,
        "clip_quality_found_untrained": found.untrained_found / found.untrained,
        "clip_quality_precision": found.bad_flagged / found.flagged,
        "mlp_over_guessing_points": accuracy["mlp"] - accuracy["guessing the largest class"],
        "kinds_missed": sum(row["found"] == 0 for row in kinds),
    }


if __name__ == "__main__":
    main()
