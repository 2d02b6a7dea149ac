"""Pictures read from files, and networks that learn from them.

Whatever trains runs in one process of its own, where Keras may be on either backend; what it found comes back as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.ingest import decoding, pictures
from pipeline.train import networks
from pipeline.train.networks import Settings
from store.errors import ColdframeError
from tests.support.coldframe import REPOSITORY, Catalogue, Coldframe, picture

pytestmark = pytest.mark.slow

SIZE = (20, 32)

# Trains on colours, twice from one seed, and says what came of it.
TRAINING = """
import json, sys
from pathlib import Path
import numpy as np
from pipeline.train import networks
from pipeline.train.networks import Settings
from store.errors import ColdframeError

folder = Path(sys.argv[1])
data = np.load(folder / "data.npz")
pictures, targets = np.load(folder / "pictures.npy", mmap_mode="r"), data["targets"]
held_out = (data["held_out"], data["held_out_targets"])
settings = Settings(size=pictures.shape[1:3], epochs=8, batch=16, early_stopping=0, label_smoothing=0.1, seed=3)

def fit():
    return networks.fit("cnn", pictures, targets, held_out, 4, settings, quiet=True)

first, again = fit(), fit()
(folder / "first.keras").write_bytes(first.file)
(folder / "again.keras").write_bytes(again.file)
given = networks.predict(folder / "first.keras", held_out[0])
order = np.random.default_rng(0).permutation(len(given))
errors = []
for call in (
    lambda: networks.predict(folder / "nosuch.keras", held_out[0]),
    lambda: networks.predict(folder / "first.keras", held_out[0][:, 1:]),
):
    try:
        call()
    except ColdframeError as error:
        errors.append(str(error))
import keras
print(json.dumps({
    "backend": keras.backend.backend(),
    "loaded": [name for name in ("tensorflow", "torch") if name in sys.modules],
    "parameters": first.parameters,
    "stored": keras.saving.load_model(folder / "first.keras", compile=False).count_params(),
    "history": first.history,
    "again": again.history,
    "given": given.tolist(),
    "dtype": str(given.dtype),
    "given_again": networks.predict(folder / "again.keras", held_out[0]).tolist(),
    "same_in_any_order": bool(np.array_equal(networks.predict(folder / "first.keras", held_out[0][order]), given[order])),
    "same_in_parts": all(
        np.array_equal(networks.predict(folder / "first.keras", held_out[0][i : i + 2]), given[i : i + 2]) for i in (0, 5)
    ),
    "none": networks.predict(folder / "first.keras", held_out[0][:0]).shape,
    "errors": errors,
}))
"""


def coloured(per_class: int, seed: int) -> tuple[pictures.Pixels, np.ndarray[Any, np.dtype[np.int64]]]:
    """Noisy patches of three classes' colours, and the class of each; a fourth class has none."""
    labels = ["finch", "heron", "moth"] * per_class
    arrays = [np.asarray(picture(label, seed + at, SIZE[::-1])) for at, label in enumerate(labels)]
    return np.stack(arrays), np.arange(len(labels)) % 3


@pytest.fixture(scope="module", params=["default", pytest.param("torch", marks=pytest.mark.exhaustive)])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the process that trains found, with Keras on the backend."""
    folder = tmp_path_factory.mktemp("from_scratch")
    (array, targets), (held_out, held_out_targets) = coloured(32, 0), coloured(5, 5000)
    np.save(folder / "pictures.npy", array)
    np.savez(folder / "data.npz", targets=targets, held_out=held_out, held_out_targets=held_out_targets)
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    if request.param != "default":
        environment["KERAS_BACKEND"] = request.param
    command = [sys.executable, "-P", "-c", TRAINING, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["loaded"] == ["tensorflow" if request.param == "default" else "torch"]
    return found | {"held_out_targets": held_out_targets}


@pytest.mark.exhaustive
def test_the_network_learns_colours(trained: dict[str, Any]) -> None:
    given = np.array(trained["given"])
    assert given.shape == (15, 4)
    assert trained["dtype"] == "float64"
    assert given.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (given.argmax(axis=1) == trained["held_out_targets"]).mean() > 0.9
    history = trained["history"]
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(history)
    assert {len(values) for values in history.values()} == {8}
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.exhaustive
def test_equal_seeds_give_equal_results(trained: dict[str, Any]) -> None:
    for name, values in trained["history"].items():
        assert trained["again"][name] == pytest.approx(values, abs=1e-4), name
    assert np.allclose(trained["given"], trained["given_again"], atol=1e-4)


@pytest.mark.exhaustive
def test_a_network_is_its_file(trained: dict[str, Any]) -> None:
    convolutions = sum(9 * inward * outward + outward for inward, outward in ((3, 32), (32, 64), (64, 128), (128, 256)))
    assert trained["parameters"] == trained["stored"] == convolutions + 257 * 256 + 257 * 4


@pytest.mark.exhaustive
def test_a_prediction_depends_on_its_picture_alone(trained: dict[str, Any]) -> None:
    assert trained["same_in_any_order"]
    assert trained["same_in_parts"]
    assert trained["none"] == [0, 4]


def fitted(**changed: Any) -> dict[str, list[float]]:
    """The history of a network trained here, on nine pictures, without validation."""
    array, targets = coloured(3, 0)
    settings = replace(Settings(size=SIZE, epochs=1, batch=4, early_stopping=0), **changed)
    return networks.fit("cnn", array, targets, None, 3, settings, quiet=True).history


def test_another_seed_trains_otherwise_and_validation_is_no_must() -> None:
    one, other = (fitted(seed=seed, augmentation=False, class_weights=False) for seed in (3, 4))
    assert one["loss"] != pytest.approx(other["loss"], abs=1e-4)
    assert {"loss", "accuracy"} <= set(one)
    assert not {"val_loss", "val_accuracy"} & set(one)


def test_training_stops_when_nothing_improves() -> None:
    assert len(fitted(epochs=40, early_stopping=1, learning_rate=1e-9)["loss"]) < 40


def test_a_rate_far_too_high_is_said() -> None:
    with pytest.raises(ColdframeError, match=r"training diverged .*try a learning rate below 1e\+30"):
        fitted(optimizer="sgd", learning_rate=1e30, epochs=2)


@pytest.mark.exhaustive
def test_what_is_no_network_of_ours_is_said(trained: dict[str, Any]) -> None:
    missing, wrong = trained["errors"]
    assert "nosuch.keras: not a network that coldframe trained" in missing
    assert "takes pictures of shape (20, 32, 3), got (19, 32, 3): load them at the size it was trained on" in wrong


def test_what_training_needs_is_said() -> None:
    array, targets = coloured(2, 0)
    right = Settings(size=SIZE)

    def said(
        name: str = "cnn", rows: Any = array, classes: Any = targets, validation: Any = None, **changed: Any
    ) -> str:
        with pytest.raises(ColdframeError) as caught:
            networks.fit(name, rows, classes, validation, 3, replace(right, **changed))
        return str(caught.value)

    assert said("nosuch") == "no network 'nosuch'; available: cnn"
    assert said(optimizer="lion") == "train from scratch: optimizer = 'lion', expected one of adagrad, adam, adamw, sgd"
    for name, wrong in (
        ("epochs", 0),
        ("batch", 0),
        ("learning_rate", float("nan")),
        ("early_stopping", -1),
        ("reduce_lr_patience", -1),
        ("reduce_lr_factor", 1.0),
        ("label_smoothing", 1.0),
        ("seed", 2**32),
    ):
        given: dict[str, Any] = {name: wrong}
        assert said(**given).startswith(f"train from scratch: {name} = {wrong}, expected "), name
    assert "cnn: size 8x32, expected at least 16 pixels a side" in said(rows=array[:, :8], size=(8, 32))
    assert "training pictures are uint8 of shape (6, 20, 32, 3), expected uint8 of (n, 64, 64, 3)" in said(
        size=(64, 64)
    )
    assert "validation pictures are float64" in said(validation=(array / 255, targets))
    assert "training: 6 pictures and targets of shape (5,), expected one each" in said(classes=targets[:5])
    assert "training row 2 is of class 3, expected from 0 to 2" in said(classes=targets + (targets == 2))
    assert "cnn: 2 training pictures of 1 classes; expected at least two classes" in said(
        rows=array[::3], classes=targets[::3]
    )
    assert "cnn: 0 training pictures of 0 classes" in said(rows=array[:0], classes=targets[:0])


@pytest.mark.variants
@pytest.mark.parametrize("memory_share", [pictures.MEMORY_SHARE, 0.0])
def test_pictures_are_those_of_the_decoding_rules(cf: Coldframe, catalogue: Catalogue, memory_share: float) -> None:
    cf.ingest(catalogue)
    ids = [row["content_id"] for row in cf.rows("select content_id from images order by path desc")]
    paths = [row["path"] for row in cf.rows("select path from images order by path desc")]
    found = pictures.load_pictures(cf.store.snapshot(), ids, SIZE, memory_share=memory_share, quiet=True)
    assert isinstance(found.array, np.memmap) == (memory_share == 0)
    assert found.array.shape == (24, *SIZE, 3)
    assert found.readable.all()
    assert not found.failed
    for row, path in enumerate(paths):
        image = decoding.decode((catalogue.images / path).read_bytes()).image
        assert np.array_equal(found.array[row], np.asarray(decoding.resize(image, *SIZE))), path


def test_a_file_that_can_no_longer_be_read_is_reported(cf: Coldframe, catalogue: Catalogue) -> None:
    copy = catalogue.add("copy", "moth", picture("moth", 2000))  # as moth-00
    catalogue.write()
    cf.ingest(catalogue)
    by_id = {row["image_id"]: row["content_id"] for row in cf.rows("select image_id, content_id from images")}
    assert by_id["copy"] == by_id["moth-00"]
    (catalogue.images / "moth/moth-00.png").unlink()  # its copy is still there
    (catalogue.images / "finch/finch-03.png").unlink()
    Image.new("RGB", (30, 30), "red").save(catalogue.images / "heron/heron-05.png")
    asked = ["finch-03", "moth-00", "heron-05", "finch-00", "copy"]
    found = pictures.load_pictures(cf.store.snapshot(), [*(by_id[name] for name in asked), "0" * 32], SIZE)
    assert found.readable.tolist() == [False, True, False, True, True, False]
    assert found.failed == {
        by_id["finch-03"]: "missing: no such file",
        by_id["heron-05"]: "changed since it was ingested: run 'coldframe ingest' again",
        "0" * 32: "in no file of the catalogue",
    }
    assert len(found.array) == 3
    assert np.array_equal(found.array[0], found.array[2])
    assert np.array_equal(found.array[0], np.asarray(decoding.resize(Image.open(copy), *SIZE)))


def test_what_loading_pictures_needs_is_said(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    snapshot = cf.store.snapshot()
    with pytest.raises(ColdframeError, match="pictures of 0x9: expected a height and a width of at least 1 pixel"):
        pictures.load_pictures(snapshot, [], (0, 9))
    with pytest.raises(ColdframeError, match=r"memory_share = 1\.5, expected from 0 to 1"):
        pictures.load_pictures(snapshot, [], SIZE, memory_share=1.5)
    assert pictures.load_pictures(snapshot, [], SIZE, memory_share=0).array.shape == (0, *SIZE, 3)
    with pytest.raises(ColdframeError, match=r"no room for .* GB that do not fit into memory .*make room there"):
        pictures.load_pictures(snapshot, ["0" * 32], (1 << 22, 1 << 22))


def test_a_network_is_a_run_like_any_other(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    assert "no plan 'default' has been replayed" in cf("train", "--from-scratch", "cnn", code=1).stderr
    cf("split", "test", 0.25)
    cf("split", "val", 0.2)
    (catalogue.images / cf.value("select path from kept where split = 'train' order by image_id limit 1")).unlink()
    asked = ("--size", "16x16", "--epochs", 2)
    said = cf("train", "--from-scratch", "cnn", *asked).stderr
    assert "1 train rows have a picture that cannot be read and are left out, such as content" in said
    run = cf.rows("select * from runs")[0]
    assert (run["name"], run["kind"], run["head"], run["embedder"], run["embedders"]) == (
        *("cnn", "network", "cnn", "pixels"),
        [],
    )
    cf("evaluate", "cnn", "--mask-by", "phylum")
    rows = cf.rows("select * from evaluations order by evaluation desc")
    assert [row["evaluation"] for row in rows] == ["plain", "masked:phylum"]
    assert rows[0]["rows"] == cf.value("select count(*) from kept where split = 'test'")
    cf("train", "--from", "cnn", "--as", "again")
    first, again = (json.loads(row["history"]) for row in cf.rows("select history from runs order by created_at"))
    assert np.allclose(first["loss"], again["loss"], atol=1e-4)
    Path("coldframe.toml").write_text('[train.small]\nfrom_scratch = "cnn"\nsize = [16, 16]\nepochs = 2\n')
    cf("train", "--as", "small")
    assert "train --as small: up to date" in cf("run", "--dry-run").stderr


def test_options_that_a_network_has_no_use_for(ready: Coldframe) -> None:
    said = ready("train", "--from-scratch", "cnn", "--units", 8, code=2).stderr
    assert "--from-scratch trains no head: leave out --units" in said
    assert "--size needs --from-scratch" in ready("train", "--size", "32x32", code=2).stderr
    said = ready("train", "--from-scratch", "cnn", "--size", "big", code=1).stderr
    assert "size 'big': expected HEIGHTxWIDTH in pixels" in said
