"""How close does `coldframe embed` come to what the network alone can do, and to the notebook way?

    python -m tests.benchmarks.embed [IMAGES]

Drawn JPEGs of 500x375, EfficientNetB4 at 380x380 and CLIP ViT-B/32, random weights (which change no speed). Each figure is
measured in a process of its own. The last line is one JSON object of ratios.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.demo.families import family, rng_of
from pipeline.demo.scenes import photograph

SIZE = (500, 375)
BATCH = 32
B4, CLIP = "efficientnet-b4", "clip"


def main() -> None:
    """Draw, measure, print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    with tempfile.TemporaryDirectory() as parent:
        images, store = Path(parent) / "images", Path(parent) / "store"
        draw(images / "all", count)
        coldframe(store, "ingest", str(images))
        rates: dict[str, float] = {}
        worst = 1.0
        for name in (B4, CLIP):
            bare = f"{name}, bare network on ready tensors"
            rates[bare] = alone("bare", name, "auto", str(count))
            said = coldframe(store, "embed", name, "--weights", "random")
            found = re.search(r"([\d.]+) images/s after ([\d.]+) s of start-up \((.*)\)", said)
            assert found, said
            print(f"{name}: {found[3]}, start-up {found[2]} s", flush=True)
            rates[f"{name}, coldframe embed end to end"] = float(found[1])
            again = alone("bare", name, "auto", str(count))  # the machine may have changed its pace meanwhile
            print(f"{name}: bare {rates[bare]:.1f} before and {again:.1f} after", flush=True)
            rates[bare] = max(rates[bare], again)
            cosine = re.search(
                r"float32 ([\d.]+) of", coldframe(store, "verify", "--recompute", "32", "--embedder", name)
            )
            assert cosine
            worst = min(worst, float(cosine[1]))
        rates["efficientnet-b4, the notebook way"] = alone("notebook", str(images))
        rates["clip, torch float32 on ready tensors"] = alone("bare", CLIP, "torch", str(count))
    for what, rate in rates.items():
        print(f"{what:50s} {rate:7.2f} images/s")
    b4, clip = (rates[f"{name}, coldframe embed end to end"] for name in (B4, CLIP))
    ratios = {
        "efficientnet_b4_end_to_end_over_bare": b4 / rates[f"{B4}, bare network on ready tensors"],
        "efficientnet_b4_over_notebook": b4 / rates["efficientnet-b4, the notebook way"],
        "clip_end_to_end_over_bare": clip / rates[f"{CLIP}, bare network on ready tensors"],
        "clip_over_torch_f32": clip / rates["clip, torch float32 on ready tensors"],
        "worst_cosine": worst,
    }
    print(json.dumps({name: round(value, 5) for name, value in ratios.items()}))


def draw(folder: Path, count: int) -> None:
    """``count`` different JPEGs of a camera's size and grain."""
    folder.mkdir(parents=True)
    for number in range(count):
        rng = rng_of("benchmark", number)
        picture = photograph(family(str(number % 40), "chordata", "benchmark"), rng)
        picture.resize(SIZE, Image.Resampling.BICUBIC).save(folder / f"{number:05d}.jpg", quality=90)


def coldframe(store: Path, *arguments: str) -> str:
    """Run a command; everything it says."""
    command = [sys.executable, "-P", "-m", "pipeline", *arguments, "--store", str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout + done.stderr


def alone(*arguments: str) -> float:
    """Images a second, measured in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.embed", "--measure", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
    return float(done.stdout.split()[-1])


def bare(name: str, backend: str, count: str) -> float:
    """The network alone, as ``embed`` loads it, on tensors that are ready in memory."""
    from pipeline.embed import embedders

    chosen = embedders.choose_backend(name, backend, "cpu", None)
    network = embedders.load(name, embedders.Options("random", backend=chosen))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8))
    ready = [network.prepare(picture)] * BATCH
    batches = -(-int(count) // BATCH)
    return rate(lambda: network.embed(ready), batches)


def notebook(folder: str) -> float:
    """Keras' image dataset and ``predict``, batches timed without the first, which builds the graph."""
    from pipeline.runtime.frameworks import load_keras

    keras = load_keras("tensorflow")
    dataset = keras.utils.image_dataset_from_directory(
        folder, labels=None, image_size=(380, 380), batch_size=BATCH, shuffle=False, verbose=False
    )
    network = keras.applications.EfficientNetB4(include_top=False, pooling="avg", weights=None)
    network.predict(dataset.take(1), verbose=0)
    count = sum(len(batch) for batch in dataset)
    started = time.monotonic()
    network.predict(dataset, verbose=0)
    return count / (time.monotonic() - started)


def rate(work: Callable[[], object], batches: int) -> float:
    """Images a second of ``work`` on a batch, after one to warm up."""
    work()
    started = time.monotonic()
    for _ in range(batches):
        work()
    return batches * BATCH / (time.monotonic() - started)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure = bare if sys.argv[2] == "bare" else notebook
        print(measure(*sys.argv[3:]))
    else:
        main()
