"""Does cost grow with the work, and no faster? Small images at two sizes, then a synthetic store of a million rows.

    python -m tests.benchmarks.scale [SMALL LARGE ROWS]

Each command's seconds are less those of the same command on 10 images; at the smaller sizes they are the median of three runs.
Commands that take a second or so are timed within a process that has done the same on 10 images before, since starting one
varies by more than they cost; the median of three again. The last line is one JSON object: of each step the ratio of seconds and
of peak memory, large over small, and for the synthetic store seconds and peak MiB.
"""

from __future__ import annotations

import csv
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from store.matrices import from_matrix
from store.schemas import SCHEMAS
from store.store import Store
from tests.benchmarks.memory import Peak
from tests.support.synthetic import FACTS

CLASSES, DIMENSIONS, FEW = 200, 512, 10
TURNS = 3
RECIPE = """
[plans.default]
stages = [
    { rule = "greyscale" },
    { split = "test", share = 0.15 },
    { rule = "centroid", percentile = [95, 97.5], embedder = "SET" },
    { split = "val", share = 0.10 },
]
"""
JOIN = "select label, count(*), avg(vector[1]) from training_set where embedder = 'SET' group by label order by label"

WARM = "warm"  # the folder of a few images on which commands are tried first
WITHIN = """
import os, sys, time
from pipeline.cli.app import cli
few, folder, *command = sys.argv[1:]
for place in (few, folder):
    os.chdir(place)
    started = time.monotonic()
    cli(command, standalone_mode=False)
print(time.monotonic() - started, file=sys.stderr)
"""

Cost = tuple[float, int]  # seconds, peak MiB


def main() -> None:
    """Measure and print."""
    given = [int(text) for text in sys.argv[1:]]
    small, large, rows = (given + [10_000, 100_000, 1_000_000][len(given) :])[:3]
    with tempfile.TemporaryDirectory() as parent:
        # the shorter runs several times: a second's noise there would be ten at the larger size
        of_images(Path(parent) / WARM, FEW)
        base, lower = (typical(Path(parent), count) for count in (FEW, small))
        upper = of_images(Path(parent) / str(large), large)
        result: dict[str, dict[str, float]] = {}
        for step in base:
            least, most = lower[step][0] - base[step][0], upper[step][0] - base[step][0]
            result[step] = {
                "seconds_ratio": round(most / max(least, 1e-3), 2),
                "memory_ratio": round(upper[step][1] / lower[step][1], 3),
                "seconds": round(most, 1),
                "mib": upper[step][1],
            }
            print(step, result[step], flush=True)
        for step, (seconds, mib) in synthetic(Path(parent) / "synthetic", rows).items():
            result[f"{step} at {rows}"] = {"seconds": round(seconds, 1), "mib": mib}
            print(step, rows, seconds, mib, flush=True)
    print(json.dumps(result))


def typical(parent: Path, count: int) -> dict[str, Cost]:
    """Of several runs on as many images, the median of each step's seconds and the largest of its memory."""
    runs = [of_images(parent / f"{count}-{turn}", count) for turn in range(TURNS)]
    return {
        step: (statistics.median(run[step][0] for run in runs), max(run[step][1] for run in runs)) for step in runs[0]
    }


def of_images(folder: Path, count: int) -> dict[str, Cost]:
    """What each step costs on ``count`` small images, and the first two again when there are 1 % more."""
    ingest = ("ingest", "metadata.csv", "--images", "images")
    embed = ("embed", "mean-colour", "--size", "16x11")
    draw(folder, range(count))
    (folder / "coldframe.toml").write_text(RECIPE.replace("SET", "mean-colour"))
    costs = {
        "ingest": cost(folder, *ingest),
        "embed": cost(folder, *embed),
        "curate": within(folder, "curate"),
        "join": within(folder, "sql", JOIN.replace("SET", "mean-colour")),
    }
    draw(folder, range(count, count + max(count // 100, 1)))
    return costs | {"ingest 1 % more": cost(folder, *ingest), "embed 1 % more": cost(folder, *embed)}


def within(folder: Path, *arguments: str) -> Cost:
    """Seconds of a command within a process that has done it on a few images before, and the most memory; each time on the
    store as it was."""
    few, store, aside = folder.parent / WARM, folder / "coldframe-store", folder / "aside"
    shutil.copytree(store, aside)
    costs = []
    for _ in range(TURNS):
        shutil.rmtree(store)
        shutil.copytree(aside, store)
        said, mib = watched([sys.executable, "-P", "-c", WITHIN, str(few), str(folder), *arguments], folder)
        costs.append((float(said.split()[-1]), mib))
    shutil.rmtree(aside)
    return statistics.median(seconds for seconds, _ in costs), max(mib for _, mib in costs)


def draw(folder: Path, numbers: range) -> None:
    """Different JPEGs of 32x24, added to the catalogue."""
    rng = np.random.default_rng(numbers.start)
    with (make(folder) / "metadata.csv").open("a", newline="") as file:
        rows = csv.writer(file)
        if numbers.start == 0:
            rows.writerow(["path", "label"])
        for number in numbers:
            path = f"{number // 1000:04d}/{number:07d}.jpg"
            make((folder / "images" / path).parent)
            colours = rng.integers(0, 256, (4, 4, 3), np.uint8)
            Image.fromarray(colours).resize((32, 24)).save(folder / "images" / path)
            rows.writerow([path, f"class-{number % CLASSES:03d}"])


def make(folder: Path) -> Path:
    """The folder, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def synthetic(folder: Path, count: int) -> dict[str, Cost]:
    """What ``curate``, ``status`` and ``verify`` cost on a store of ``count`` rows with vectors, made without pictures."""
    store = Store.create(make(folder) / "coldframe-store")
    ids = pa.array([f"{number:08d}" for number in range(count)])
    labels = pa.array([f"class-{number % CLASSES:03d}" for number in range(count)])
    facts = {name: pa.array([value] * count) for name, value in FACTS.items()}
    feature_set = {
        "embedder": "synthetic",
        "network": "synthetic",
        "dimensions": DIMENSIONS,
        "digest": "d",
        "settings": "{}",
        "source": "{}",
        "created_at": datetime.now(UTC),
    }
    with store.commit("synthetic") as commit:
        commit.append("images", pa.table({"image_id": ids, "content_id": ids, "path": ids, "label": labels, **facts}))
        commit.append("feature_sets", pa.Table.from_pylist([feature_set], SCHEMAS["feature_sets"]), key="synthetic")
        commit.record_step("ingest", "", settings={"images": str(folder)}, seconds=0, rows_in=count, rows_out=count)
        rng = np.random.default_rng(0)
        piece = 100_000
        for start in range(0, count, piece):
            rows = min(piece, count - start)
            columns = {
                "content_id": ids.slice(start, rows),
                "embedder": pa.array(["synthetic"] * rows),
                "view": pa.array([0] * rows, pa.int32()),
                "vector": from_matrix(rng.normal(size=(rows, DIMENSIONS)).astype(np.float32)),
            }
            commit.append("embeddings", pa.table(columns), key="synthetic")
    (folder / "coldframe.toml").write_text(RECIPE.replace("SET", "synthetic"))
    return {step: cost(folder, step) for step in ("curate", "status", "verify")}


def cost(folder: Path, *arguments: str) -> Cost:
    """Seconds of a command and the most memory it and what it starts hold at once, MiB."""
    started = time.monotonic()
    _, mib = watched([sys.executable, "-P", "-m", "pipeline", *arguments], folder)
    return time.monotonic() - started, mib


def watched(command: list[str], folder: Path) -> tuple[str, int]:
    """What a process says on stderr, and the most memory it and what it starts hold at once, MiB."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    peak = Peak(process.pid)
    _, said = process.communicate()
    mib = peak.stop()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}: {said[-2000:]}")
    return said, mib


if __name__ == "__main__":
    main()
