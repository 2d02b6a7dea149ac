"""What does the cut save, and what does it cost, with EfficientNetB4 at 380x380?

    python -m tests.benchmarks.finetune [IMAGES]

Drawn JPEGs of 500x375, random weights, the reference head, the last 5 layers. Seconds an epoch of each way, in a process of its
own: the cut; the whole network, on pictures decoded before; filling the cache, from the files; and an epoch with the backbone
frozen, the notebook way. The batch that builds the graph, or converts it for OpenVINO, is not counted. The pace of a machine
drifts by more than two of these differ: all but the whole network are measured in turn, several times, and medians compared. The
last line is one JSON object of ratios.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from store.garbage import ACTIVATIONS
from tests.benchmarks.embed import BATCH, coldframe, draw
from tests.benchmarks.head import CLASSES, DROPOUT, UNITS, notebook

NETWORK, SIZE, LAYERS = "efficientnet-b4", (380, 380), 5
CUT_EPOCHS = 6
TURNS = 3


def main() -> None:
    """Draw, measure, print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    with tempfile.TemporaryDirectory() as parent:
        images, store = Path(parent) / "images", Path(parent) / "store"
        draw(images / "all", count)
        coldframe(store, "ingest", str(images))
        measured: dict[str, list[float]] = {}
        for way in ("cut", "frozen") * TURNS + ("whole",):
            shutil.rmtree(store / ACTIVATIONS, ignore_errors=True)
            for what, value in alone(way, str(store), str(count)).items():
                measured.setdefault(what, []).append(value)
        seconds = {what: statistics.median(values) for what, values in measured.items()}
    for what, value in seconds.items():
        print(f"{what:8s} {value:8.2f} s an epoch of {count} ({', '.join(f'{one:.2f}' for one in measured[what])})")
    ratios = {
        "whole_over_cut_epoch": seconds["whole"] / seconds["cut"],
        "caching_over_frozen_epoch": seconds["caching"] / seconds["frozen"],
    }
    print(json.dumps({name: round(value, 3) for name, value in ratios.items()}))


def alone(*arguments: str) -> dict[str, float]:
    """What a process of its own measured."""
    command = [sys.executable, "-m", "tests.benchmarks.finetune", "--measure", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def cut(root: str, count: str) -> dict[str, float]:
    """Filling the cache, and epochs above the cut."""
    from pipeline.finetune import cut as cutting
    from pipeline.finetune.inputs import CutInputs

    store, snapshot, contents, parts = opened(root)
    trained = cutting.unfreeze(parts.backbone, LAYERS)
    place = cutting.cut(parts.backbone, trained)
    assert place is not None
    inputs = CutInputs(store, snapshot, parts, place, trained[0], cache_as="float16", max_disk=10**12, quiet=True)
    inputs.prepare(contents[:BATCH].tolist())
    started = time.monotonic()
    inputs.prepare(contents.tolist())
    caching = (time.monotonic() - started) / (len(contents) - BATCH) * len(contents)
    return {"cut": an_epoch(inputs, parts, contents, CUT_EPOCHS), "caching": caching}


def whole(root: str, count: str) -> dict[str, float]:
    """An epoch of the whole network."""
    from pipeline.finetune import cut as cutting
    from pipeline.finetune.inputs import WholeInputs

    _, snapshot, contents, parts = opened(root)
    cutting.unfreeze(parts.backbone, LAYERS)
    inputs = WholeInputs(snapshot, parts, "as asked", augment=None, memory_share=1.0, quiet=True)
    inputs.prepare(contents.tolist())
    return {"whole": an_epoch(inputs, parts, contents, 1)}


def frozen(root: str, count: str) -> dict[str, float]:
    """The notebook way, with the backbone frozen."""
    return {"frozen": notebook(count)["seconds"]}


def opened(root: str) -> tuple[Any, Any, Any, Any]:
    """A store, its moment, its contents, and a backbone with a head, both with random weights."""
    from pipeline.embed.embedders.keras_applications import backbone
    from pipeline.runtime.frameworks import load_keras
    from pipeline.train import layers as dense
    from pipeline.train.classifier import Parts
    from pipeline.train.heads import Head
    from pipeline.train.layers import BatchNorm, Dense, Dropout, Layer
    from pipeline.train.scaling import Scaling
    from store.store import Store

    load_keras("tensorflow")
    store = Store.open(Path(root))
    snapshot = store.snapshot()
    contents = snapshot.select("images", "content_id")["content_id"].to_numpy(zero_copy_only=False).astype(str)
    network = backbone(NETWORK, weights="random", size=SIZE)
    width, random = int(network.output_shape[-1]), np.random.default_rng(0)
    layers: list[Layer] = [BatchNorm(), Dense(UNITS, relu=True), Dropout(DROPOUT), Dense(CLASSES)]
    arrays: dict[str, Any] = {dense.LAYERS: dense.to_text(layers)}
    arrays |= {f"0/{name}": np.full(width, value, np.float32) for name, value in (("gamma", 1), ("beta", 0))}
    arrays |= {f"0/moving_{name}": np.full(width, value, np.float32) for name, value in (("mean", 0), ("variance", 1))}
    for place, shape in ((1, (width, UNITS)), (3, (UNITS, CLASSES))):
        arrays[f"{place}/kernel"] = random.normal(0, 0.03, shape).astype(np.float32)
        arrays[f"{place}/bias"] = np.zeros(shape[1], np.float32)
    head = Head("mlp", Scaling("raw", (width,)), arrays)
    return store, snapshot, contents, Parts(NETWORK, network, head, SIZE, np.arange(CLASSES).astype(str))


def an_epoch(inputs: Any, parts: Any, contents: Any, epochs: int) -> float:
    """Seconds of an epoch: from batch to batch, but for the first, which builds the graph."""
    from pipeline.finetune import loop
    from pipeline.finetune.loop import Examples, Network, Schedule

    random = np.random.default_rng(0)
    rows = Examples(
        lambda places, epoch: inputs.take(contents[places], epoch),
        random.integers(0, CLASSES, len(contents)),
        np.ones(len(contents), np.float32),
    )
    times: list[float] = []
    network = Network(inputs.body, parts.head, seed=0)
    schedule = Schedule("adam", 1e-7, BATCH, epochs, 0, 0.0, 0)
    loop.fit(network, rows, None, CLASSES, schedule, lambda count: times.append(time.monotonic()))
    return (times[-1] - times[0]) / (len(times) - 1) * len(contents) / BATCH


WAYS = {"cut": cut, "whole": whole, "frozen": frozen}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(WAYS[sys.argv[2]](*sys.argv[3:])))
    else:
        main()
