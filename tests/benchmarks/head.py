"""How fast is a head trained, beside Keras' `fit`, a plain torch loop, and the arithmetic alone?

    python -m tests.benchmarks.head

A synthetic matrix of the reference's shape: 7,780 training and 865 validation rows of 1,792 numbers, 202 classes, on which the
reference head reaches a validation accuracy of 0.80 to 0.90. 20 epochs, batch 32, no early stop. Each figure is measured in a
process of its own, ours and the floor in turns. The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROWS, VALIDATION, HELD_OUT, DIMENSIONS, CLASSES = 7780, 865, 20_000, 1792, 202
UNITS, DROPOUT, BATCH, EPOCHS, RATE = 600, 0.4, 32, 20, 0.01
SEEDS = 5
TURNS = 3
NOTEBOOK_IMAGES = 96

Arrays = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def main() -> None:
    """Measure and print."""
    seconds: dict[str, list[float]] = {}
    accuracies: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        for way in ("ours", "floor", "keras") if seed < TURNS else ("ours", "keras"):
            found = alone(way, str(seed))
            seconds.setdefault(way, []).append(found["seconds"])
            if "accuracy" in found:
                accuracies.setdefault(way, []).append(found["accuracy"])
            print(f"{way:6s} seed {seed}: {found['seconds']:.2f} s an epoch {found.get('accuracy', '')}", flush=True)
    seconds["torch"] = [alone("torch", "0")["seconds"]]
    print(f"torch  seed 0: {seconds['torch'][0]:.2f} s an epoch", flush=True)
    middle = {way: statistics.median(values) for way, values in seconds.items()}
    notebook = alone("notebook", str(NOTEBOOK_IMAGES))["seconds"] * ROWS / NOTEBOOK_IMAGES
    print(
        f"the notebook way, frozen EfficientNetB4 380x380 in the graph, JPEGs of 500x375 decoded each epoch: {notebook:.0f} s an "
        f"epoch of {ROWS}, from {NOTEBOOK_IMAGES} images",
        flush=True,
    )
    minutes = tune()
    gap = 100 * (statistics.mean(accuracies["ours"]) - statistics.mean(accuracies["keras"]))
    print(f"accuracy over {SEEDS} seeds: ours {accuracies['ours']}, Keras {accuracies['keras']}")
    ratios = {
        "ours_over_keras_fit": middle["ours"] / middle["keras"],
        "ours_over_torch": middle["ours"] / middle["torch"],
        "ours_over_floor": middle["ours"] / middle["floor"],
        "val_accuracy_gap_points": gap,
        "cached_over_notebook_epoch": notebook / middle["ours"],
        "tune_minutes": minutes,
    }
    print(json.dumps({name: round(value, 3) for name, value in ratios.items()}))


def alone(*arguments: str) -> dict[str, float]:
    """What a process of its own measured."""
    command = [sys.executable, "-m", "tests.benchmarks.head", "--measure", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def synthetic() -> tuple[Arrays, Arrays, Arrays]:
    """Training, validation and held-out rows: a direction a class, some of them close to each other, in noise, rectified.

    Two equal networks disagree on so many of the 865 validation rows that their accuracies differ by a point; so accuracy is
    measured on 20,000 rows of the same kind.
    """
    random = np.random.default_rng(0)
    families = random.normal(size=(CLASSES // 4 + 1, DIMENSIONS))
    centres = families[np.arange(CLASSES) // 4] + 0.55 * random.normal(size=(CLASSES, DIMENSIONS))

    def draw(count: int) -> Arrays:
        targets = random.integers(0, CLASSES, count)
        matrix = np.maximum(0.43 * centres[targets] + 1.35 * random.normal(size=(count, DIMENSIONS)), 0)
        return matrix.astype(np.float32), targets

    return draw(ROWS), draw(VALIDATION), draw(HELD_OUT)


def ours(seed: str) -> dict[str, float]:
    """The loop of coldframe."""
    from pipeline.train import heads, loop
    from pipeline.train.loop import Labelled, Task

    (matrix, targets), (val_matrix, val_targets), held_out = synthetic()
    settings = heads.resolve(
        "mlp",
        heads.Settings(seed=int(seed), epochs=EPOCHS, early_stopping=0, reduce_lr_patience=0, class_weights=False),
    )
    task = Task(Labelled(matrix, targets), Labelled(val_matrix, val_targets), np.arange(CLASSES).astype(str))
    layers = heads.module("mlp").layers(CLASSES, (UNITS,), DROPOUT)
    loop.fit(layers, task, loop.Schedule.of(heads.resolve("mlp", heads.Settings(epochs=1))))  # to warm up
    started = time.monotonic()
    fitted = heads.fit("mlp", task, settings)
    seconds = (time.monotonic() - started) / EPOCHS
    predicted = heads.module("mlp").predict(fitted.arrays, held_out[0]).argmax(axis=1)
    return {"seconds": seconds, "accuracy": float(np.mean(predicted == held_out[1]))}


def keras(seed: str) -> dict[str, float]:
    """What a notebook has: ``fit`` on TensorFlow.

    Seeded layer by layer: ``set_random_seed`` would have tf.data shuffle each epoch into the same order, and fit then learns
    the training rows faster and the others worse.
    """
    from pipeline.runtime.frameworks import load_keras

    library = load_keras("tensorflow")
    start = [library.initializers.GlorotUniform(seed=2 * int(seed) + layer) for layer in range(2)]
    (matrix, targets), validation, held_out = synthetic()
    model = library.Sequential(
        [
            library.Input((DIMENSIONS,)),
            library.layers.BatchNormalization(),
            library.layers.Dense(UNITS, activation="relu", kernel_initializer=start[0]),
            library.layers.Dropout(DROPOUT, seed=int(seed)),
            library.layers.Dense(CLASSES, activation="softmax", kernel_initializer=start[1]),
        ]
    )
    model.compile(library.optimizers.Adagrad(RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    weights = [weight.numpy() for weight in model.weights]
    model.fit(matrix, targets, batch_size=BATCH, epochs=1, validation_data=validation, verbose=0)  # builds the graph
    for weight, value in zip(model.weights, weights, strict=True):
        weight.assign(value)
    model.optimizer.build(model.trainable_variables)
    for variable in model.optimizer.variables[2:]:
        variable.assign(np.full(variable.shape, 0.1))
    started = time.monotonic()
    model.fit(matrix, targets, batch_size=BATCH, epochs=EPOCHS, validation_data=validation, verbose=0)
    seconds = (time.monotonic() - started) / EPOCHS
    return {"seconds": seconds, "accuracy": float(model.evaluate(*held_out, batch_size=1024, verbose=0)[1])}


def torch(seed: str) -> dict[str, float]:
    """What somebody would write in torch: modules, autograd, a DataLoader's batches by index, Adagrad."""
    import torch as library

    library.manual_seed(int(seed))
    (matrix, targets), (val_matrix, val_targets), _ = synthetic()
    x, y, val_x, val_y = (library.from_numpy(array) for array in (matrix, targets, val_matrix, val_targets))
    model = library.nn.Sequential(
        library.nn.BatchNorm1d(DIMENSIONS),
        library.nn.Linear(DIMENSIONS, UNITS),
        library.nn.ReLU(),
        library.nn.Dropout(DROPOUT),
        library.nn.Linear(UNITS, CLASSES),
    )
    optimizer = library.optim.Adagrad(model.parameters(), lr=RATE, initial_accumulator_value=0.1)
    loss_of = library.nn.CrossEntropyLoss()

    def epoch() -> float:
        model.train()
        for rows in library.randperm(ROWS).split(BATCH):
            optimizer.zero_grad()
            loss_of(model(x[rows]), y[rows]).backward()
            optimizer.step()
        model.eval()
        with library.no_grad():
            return float((model(val_x).argmax(1) == val_y).float().mean())

    epoch()
    started = time.monotonic()
    for _ in range(3):
        accuracy = epoch()
    return {"seconds": (time.monotonic() - started) / 3, "accuracy": accuracy}


def floor(seed: str) -> dict[str, float]:
    """The matrix products of an epoch and the optimiser's update on ready arrays; nothing else of a step."""
    import torch as library

    random = library.Generator().manual_seed(int(seed))
    shapes = [(DIMENSIONS, UNITS), (UNITS, CLASSES)]
    kernels = [library.randn(shape, generator=random) for shape in shapes]
    small = DIMENSIONS * 2 + UNITS + CLASSES  # gamma, beta and the biases have gradients as well
    weights = library.zeros(sum(kernel.numel() for kernel in kernels) + small)
    weights.grad = library.full_like(weights, 1e-3)
    optimizer = library.optim.Adagrad([weights], lr=RATE, initial_accumulator_value=0.1, fused=True)
    gradients = [library.empty(shape) for shape in shapes]
    steps = -(-ROWS // BATCH)
    inputs, hidden = library.randn(BATCH, DIMENSIONS), library.empty(BATCH, UNITS)
    outputs, back, first = library.randn(BATCH, CLASSES), library.empty(BATCH, UNITS), library.empty(BATCH, DIMENSIONS)

    def epoch() -> None:
        for _ in range(steps):
            library.mm(inputs, kernels[0], out=hidden)
            library.mm(hidden, kernels[1], out=outputs)
            library.mm(hidden.T, outputs, out=gradients[1])
            library.mm(outputs, kernels[1].T, out=back)
            library.mm(inputs.T, back, out=gradients[0])
            library.mm(back, kernels[0].T, out=first)
            optimizer.step()

    with library.no_grad():
        epoch()
        started = time.monotonic()
        for _ in range(EPOCHS):
            epoch()
    return {"seconds": (time.monotonic() - started) / EPOCHS}


def notebook(count: str) -> dict[str, float]:
    """Seconds of an epoch over ``count`` JPEGs with the frozen backbone in the graph; batches timed without the first, which
    builds the graph."""
    from pipeline.runtime.frameworks import load_keras
    from tests.benchmarks.embed import draw

    library = load_keras("tensorflow")
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder) / "all", int(count))
        dataset = library.utils.image_dataset_from_directory(
            folder, labels=None, image_size=(380, 380), batch_size=BATCH, verbose=False
        ).map(lambda pictures: (pictures, np.zeros(BATCH, np.int64)))
        backbone = library.applications.EfficientNetB4(include_top=False, pooling="avg", weights=None)
        backbone.trainable = False
        pictures = library.Input((380, 380, 3))
        vectors = backbone(pictures, training=False)
        made = [
            library.layers.BatchNormalization(),
            library.layers.Dense(UNITS, activation="relu"),
            library.layers.Dropout(DROPOUT),
            library.layers.Dense(CLASSES, activation="softmax"),
        ]
        for layer in made:
            vectors = layer(vectors)
        model = library.Model(pictures, vectors)
        model.compile(library.optimizers.Adagrad(RATE), "sparse_categorical_crossentropy")
        times: list[float] = []
        mark = library.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: times.append(time.monotonic()))
        model.fit(dataset, epochs=1, callbacks=[mark], verbose=0)
    batches = len(times) - 1
    return {"seconds": (times[-1] - times[0]) / batches * int(count) / BATCH}


def tune() -> float:
    """Minutes of a whole search over the matrix; it is killed once on its way, and started again."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        make_store(store)
        command = [sys.executable, "-P", "-m", "pipeline", "--store", str(store), "tune", "--embedder", "synthetic"]
        started = time.monotonic()
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while len(list(store.glob("tuning/*/*.json"))) < 8 and first.poll() is None:
            time.sleep(0.2)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        minutes = (time.monotonic() - started) / 60
        print(f"tune, killed after 8 trials and started again: {said.strip().splitlines()[-2]}", flush=True)
    return minutes


def make_store(root: Path) -> None:
    """A store that holds the matrix as a feature set, its rows split as they are."""
    import pyarrow as pa

    from store.matrices import from_matrix
    from store.schemas import SCHEMAS
    from store.store import Store
    from tests.support.synthetic import FACTS

    store = Store.create(root)
    (matrix, targets), (val_matrix, val_targets), _ = synthetic()
    count = ROWS + VALIDATION
    ids = [f"{number:08d}" for number in range(count)]
    labels = [f"class-{target:03d}" for target in (*targets, *val_targets)]
    splits = ["train"] * ROWS + ["val"] * VALIDATION
    made: dict[str, Any] = {"embedder": "synthetic", "network": "synthetic", "dimensions": DIMENSIONS, "digest": "d"}
    facts = {name: [value] * count for name, value in FACTS.items()}
    from datetime import UTC, datetime

    with store.commit("synthetic") as commit:
        commit.append("images", pa.table({"image_id": ids, "content_id": ids, "path": ids, "label": labels, **facts}))
        row = made | {"settings": "{}", "source": "{}", "created_at": datetime.now(UTC)}
        commit.append("feature_sets", pa.Table.from_pylist([row], SCHEMAS["feature_sets"]), key="synthetic")
        vectors = from_matrix(np.concatenate([matrix, val_matrix]))
        columns = {"content_id": ids, "embedder": ["synthetic"] * count, "view": pa.array([0] * count, pa.int32())}
        commit.append("embeddings", pa.table(columns | {"vector": vectors}), key="synthetic")
        stage = {"plan": "default", "position": 1, "kind": "split", "name": "val", "settings": "{}", "rows_in": count}
        commit.append("stages", pa.Table.from_pylist([stage | {"rows_out": count}], SCHEMAS["stages"]), key="default")
        nothing = {name: [None] * count for name in ("rule", "pass", "value", "threshold")}
        curation = {"plan": ["default"] * count, "image_id": ids, "split": splits} | nothing
        commit.append("curation", pa.table(curation), key="default")


WAYS = {"ours": ours, "keras": keras, "torch": torch, "floor": floor, "notebook": notebook}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(WAYS[sys.argv[2]](sys.argv[3])))
    else:
        main()
