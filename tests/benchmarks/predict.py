"""How long does `coldframe predict` take for one image, beside the bare cost of the framework, the model and one pass?

    python -m tests.benchmarks.predict [NETWORK [SIZE]]

Each format of artefact, and a fine-tuned run of a store. Random weights, which change no speed; the median of five processes.
The last line is one JSON object: seconds over bare seconds.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.embed import coldframe, draw

TURNS = 5
FORMATS = ("keras", "onnx", "openvino")
# What has to be done at the least: the picture is opened and resized, the model loaded and run.
PICTURE = """
import sys
import numpy as np
from PIL import Image
folder, photo, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
picture = np.asarray(Image.open(photo).convert("RGB").resize((size, size), Image.Resampling.BILINEAR))[None]
"""
BARE = {
    "keras": """
import keras
print(keras.saving.load_model(folder + "/model.keras", compile=False).predict_on_batch(picture).argmax())
""",
    "onnx": """
import onnxruntime
print(onnxruntime.InferenceSession(folder + "/model.onnx").run(None, {"pictures": picture})[0].argmax())
""",
    "openvino": """
import openvino
print(openvino.compile_model(folder + "/model.xml", "CPU")(picture)["probabilities"].argmax())
""",
}


def main() -> None:
    """Make a store and artefacts, measure, print."""
    network, size = (*sys.argv[1:], *("efficientnet-b4", "380")[len(sys.argv) - 1 :])[:2]
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        store, images = folder / "store", folder / "images"
        for label in ("first", "second"):
            draw(images / label, 12)
        photo = images / "first" / "00000.jpg"
        coldframe(store, "ingest", str(images))
        coldframe(store, "embed", network, "--weights", "random", "--size", f"{size}x{size}")
        for split in ("test", "val"):
            coldframe(store, "split", split, "0.2")
        coldframe(store, "train", "--embedder", network)
        coldframe(store, "finetune", "--epochs", "1")
        ratios: dict[str, float] = {}
        for name in FORMATS:
            made = folder / name
            coldframe(store, "export", "finetuned", "--format", name, "--output", str(made))
            bare = seconds([sys.executable, "-c", PICTURE + BARE[name], str(made), str(photo), size])
            ours = seconds([sys.executable, "-P", "-m", "pipeline", "predict", str(made), str(photo)])
            ratios[name] = ours / bare
            print(f"{name}: {ours:.2f} s, bare {bare:.2f} s", flush=True)
            if name == "keras":
                of_run = [
                    sys.executable,
                    "-P",
                    "-m",
                    "pipeline",
                    "predict",
                    "finetuned",
                    str(photo),
                    "--store",
                    str(store),
                ]
                ratios["run"] = seconds(of_run) / bare
                print(f"run: {ratios['run'] * bare:.2f} s, bare {bare:.2f} s", flush=True)
    print(json.dumps({name: round(value, 2) for name, value in ratios.items()}))


def seconds(command: list[str]) -> float:
    """The median of several runs."""
    times = []
    for _ in range(TURNS):
        started = time.monotonic()
        subprocess.run(command, capture_output=True, check=True)
        times.append(time.monotonic() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
