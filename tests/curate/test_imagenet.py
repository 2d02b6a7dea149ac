"""The scorer and the rule ``imagenet``: classes from stored vectors, and only with the network that made them."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.curate import score
from pipeline.curate.scorers import imagenet as imagenet_scorer
from pipeline.curate.scorers.imagenet import MOST_BYTES, NAMES, classes
from pipeline.embed import settings as embed
from pipeline.embed.embedders.keras_applications import backbone, classifier, preprocessing
from pipeline.ingest.decoding import resize
from pipeline.runtime.frameworks import load_keras, set_seed
from tests.support.backbones import VARIANCE
from tests.support.coldframe import Catalogue, Coldframe

NAME, SIDE = "mobilenet", 8  # its top is a convolution; a .keras file of that name may hold a smaller network
NOTOP, WHOLE = "notop.keras", "whole.keras"


def tiny(seed: int = 0, classes: int = 1000, activation: str = "softmax") -> tuple[Any, Any]:
    """A network that averages a feature map, without its top and with it."""
    keras = load_keras()
    set_seed(keras, seed)
    pictures = keras.Input((SIDE, SIDE, 3))
    average = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(5, 3, activation="relu")(pictures))
    top = keras.layers.Dense(classes, activation=activation, kernel_initializer="random_normal")
    whole = keras.Model(pictures, top(keras.layers.Dropout(0.5)(average)))
    top.kernel.assign(top.kernel * 200)
    return keras.Model(pictures, average), whole


@pytest.fixture
def small(ready: Coldframe, tmp_path: Path) -> Coldframe:
    """``coldframe`` on a store with vectors of a tiny network, whose files lie in the working folder."""
    notop, whole = tiny()
    notop.save(tmp_path / NOTOP)
    whole.save(tmp_path / WHOLE)
    ready("embed", NAME, "--weights", NOTOP, "--size", f"{SIDE}x{SIDE}")
    return ready


def predicted(catalogue: Catalogue, network: Any, side: int) -> dict[str, Any]:
    """The probabilities that a whole network gives the pictures of a catalogue, by image."""
    ids = [row["id"] for row in catalogue.rows]
    pictures = [Image.open(catalogue.images / row["file_path"]).convert("RGB") for row in catalogue.rows]
    batch = np.stack([np.asarray(resize(one, side, side), np.float32) for one in pictures])
    return dict(zip(ids, network.predict_on_batch(preprocessing(NAME)(batch)), strict=True))


def scores(cf: Coldframe) -> dict[str, float]:
    rows = cf.rows("from scores where scorer = 'imagenet'")
    return {row["image_id"]: row["value"] for row in rows}


def imagenet(cf: Coldframe, *options: object, code: int = 0) -> str:
    return str(cf("score", "imagenet", "--embedder", NAME, *options, code=code).stderr)


def test_the_sum_is_that_of_the_whole_network(small: Coldframe, catalogue: Catalogue) -> None:
    expected = predicted(catalogue, tiny()[1], SIDE)
    assert "imagenet: 24 images scored" in imagenet(small, "--weights", WHOLE)
    found = scores(small)
    assert np.ptp(list(found.values())) > 0.1
    for image, probabilities in expected.items():
        assert found[image] == pytest.approx(probabilities[:398].sum(), abs=1e-4), image
    threshold = float(np.median(list(found.values())))
    small("filter", "imagenet", "--threshold", threshold)
    out = small.rows("select image_id, value, threshold from exclusions where rule = 'imagenet'")
    assert {row["image_id"]: row["value"] for row in out} == {k: v for k, v in found.items() if v < threshold}
    assert len(out) == 12
    assert {row["threshold"] for row in out} == {threshold}
    small("filter", "imagenet")
    assert small.value("select count(*) from exclusions") == sum(value < 0.3 for value in found.values())


def test_a_file_of_classes_counts_by_its_content(small: Coldframe, catalogue: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "wanted.txt").write_text("# mine\n7\n10-12  # three\nmaillot\nGreat white shark\nn02119789\n")
    recipe = tmp_path / "coldframe.toml"
    recipe.write_text(f'[score.imagenet]\nembedder = "{NAME}"\nweights = "{WHOLE}"\nwanted = "wanted.txt"\n')
    imagenet(small)
    expected = predicted(catalogue, tiny()[1], SIDE)
    chosen = [2, 7, 10, 11, 12, 278, 638, 639]
    assert all(value == pytest.approx(expected[one][chosen].sum(), abs=1e-4) for one, value in scores(small).items())
    assert "everything is up to date" in small("status").stdout
    (tmp_path / "wanted.txt").write_text("8\n")
    assert "the file of wanted" in small("status").stdout
    with (tmp_path / "wanted.txt").open("wb") as hole:
        hole.truncate(1 << 42)
    assert "out of date: score imagenet: imagenet: wanted = " in (said := small("status").stdout)
    assert "larger than 1048576 bytes" in said


@pytest.mark.exhaustive
def test_what_cannot_be_scored(small: Coldframe, catalogue: Catalogue, tmp_path: Path) -> None:
    said = small("score", "imagenet", "--embedder", "mean-colour", "--weights", WHOLE, code=1).stderr
    assert "'mean-colour': mean-colour is no network of Keras Applications" in said
    assert "it was made with weights of its own, so the top has to be named: --weights FILE" in imagenet(small, code=1)
    assert "random weights know no classes" in imagenet(small, "--weights", "random", code=1)
    assert "gives 5 numbers a picture, expected 1000" in imagenet(small, "--weights", NOTOP, code=1)
    cases = {
        "are not those that the vectors were made with": tiny(seed=1)[1],
        "gives no probabilities: expected softmax": tiny(activation="linear")[1],
    }
    keras = load_keras()
    pictures = keras.Input((SIDE, SIDE, 3))
    cases["averages no feature map"] = keras.Model(pictures, keras.layers.Dense(1000)(keras.layers.Flatten()(pictures)))
    shorter = keras.layers.GlobalAveragePooling2D()(pictures)
    cases["takes 3 numbers a picture, and a vector has 5"] = keras.Model(pictures, keras.layers.Dense(1000)(shorter))
    for message, network in cases.items():
        network.save(tmp_path / "other.keras")
        assert message in imagenet(small, "--weights", "other.keras", code=1)
    for text, message in {
        "1000\n": "line 1: 1000, expected numbers from 0 to 999",
        "\n9-3": "line 2: 9-3, expected numbers from 0 to 999",
        "unicorn": "line 1: no ImageNet class is called 'unicorn'",
        "# nothing": "no class in it",
    }.items():
        (tmp_path / "wanted.txt").write_text(text)
        assert message in imagenet(small, "--weights", WHOLE, "--wanted", "wanted.txt", code=1)
    said = imagenet(small, "--weights", WHOLE, "--wanted", "mineral", code=1)
    assert "wanted = 'mineral': expected animal, or a text file of ImageNet classes (No such file" in said
    small("embed", "vgg-16", "--weights", NOTOP, "--size", f"{SIDE}x{SIDE}")
    said = small("score", "imagenet", "--embedder", "vgg-16", "--weights", WHOLE, code=1).stderr
    assert "the top of vgg-16 works on the whole feature map" in said


def beside(pictures: Any, average: Any, feature_map: Any) -> Any:
    """What reads the feature map beside its average."""
    keras = load_keras()
    return keras.layers.Concatenate()([average, keras.layers.Flatten()(feature_map)])


def picture_too(pictures: Any, average: Any, feature_map: Any) -> Any:
    keras = load_keras()
    return keras.layers.Concatenate()([average, keras.layers.Flatten()(pictures)])


def averaged_twice(pictures: Any, average: Any, feature_map: Any) -> Any:
    """What uses the layer that averages a second time."""
    keras = load_keras()
    return keras.layers.Add()([average, average._keras_history.operation(keras.layers.ReLU()(feature_map))])


@pytest.mark.parametrize(
    "more", [beside, *(pytest.param(one, marks=pytest.mark.variants) for one in (picture_too, averaged_twice))]
)
def test_a_top_that_reads_more_than_the_average_is_said(small: Coldframe, tmp_path: Path, more: Any) -> None:
    keras = load_keras()
    below = tiny()[0]
    seen = more(below.inputs[0], below.output, below.layers[-2].output)
    keras.Model(below.input, keras.layers.Dense(1000, activation="softmax")(seen)).save(tmp_path / "more.keras")
    said = imagenet(small, "--weights", "more.keras", code=1)
    assert (
        "more.keras does not work on the average of its last feature map alone, as those of Keras Applications" in said
    )


@pytest.mark.exhaustive
def test_what_keras_cannot_fetch(small: Coldframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", no_network)
    said = imagenet(small, "--weights", "imagenet", code=1)
    assert "its ImageNet weights are not available from Keras Applications (URL fetch failure" in said
    assert "a .weights.h5 or .h5 of MobileNet(include_top=True)" in said
    (tmp_path / "wanted.txt").write_text("tench")
    imagenet(small, "--weights", WHOLE, "--wanted", "wanted.txt")


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--weights", "sparse.h5"),
        pytest.param("--wanted", "sparse.h5", marks=pytest.mark.variants),
        pytest.param("--wanted", "/proc/self/pagemap", marks=pytest.mark.variants),  # it claims to be empty
    ],
)
def test_files_of_any_size_are_refused_before_they_are_read(
    ready: Coldframe, tmp_path: Path, option: str, named: str
) -> None:
    with (tmp_path / "sparse.h5").open("xb") as hole:
        hole.truncate(1 << 42)
    said = ready("score", "imagenet", option, named, code=1).stderr
    assert re.search(rf"imagenet: {option[2:]} = '.*': larger than \d+ bytes; expected a file", said)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("n01440764", [0]),
        pytest.param("crane", [134, 517], marks=pytest.mark.variants),
        pytest.param("Toilet Tissue", [999], marks=pytest.mark.variants),
        pytest.param("0-999", [*range(1000)], marks=pytest.mark.variants),
        pytest.param("n02119789", [278], marks=pytest.mark.variants),
    ],
)
def test_classes_are_known_without_the_network_and_however_often_they_are_named(
    line: str, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*_: object, **__: object) -> None:
        pytest.fail("something is fetched")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fetch)
    file = tmp_path / "wanted.txt"
    file.write_text(f"{line}\n" * (MOST_BYTES // (len(line) + 1)))
    started = time.process_time()
    assert classes(str(file)) == expected
    assert time.process_time() - started < 3
    assert len(NAMES.read_text().split()) == 2000


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_file_of_weights_of_the_whole_network(ready: Coldframe, catalogue: Catalogue, tmp_path: Path) -> None:
    keras = load_keras()
    whole = keras.applications.MobileNet(weights=None)
    for layer in whole.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(np.full(layer.moving_variance.shape, VARIANCE, np.float32))
    top = whole.get_layer("conv_preds")
    top.kernel.assign(top.kernel * 20)
    whole.save_weights(tmp_path / "whole.weights.h5")
    small = backbone(NAME, weights="random", size=(32, 32))
    small.set_weights(whole.get_weights()[:-2])
    small.save_weights(tmp_path / "notop.weights.h5")
    ready("embed", NAME, "--weights", "notop.weights.h5", "--size", "32x32")
    imagenet(ready, "--weights", "whole.weights.h5")
    at_size = keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3))
    at_size.set_weights(classifier(NAME, weights="whole.weights.h5").get_weights())
    expected, found = predicted(catalogue, at_size, 32), scores(ready)
    assert np.ptp(list(found.values())) > 0.01
    assert all(value == pytest.approx(expected[one][:398].sum(), abs=1e-4) for one, value in found.items())
    said = imagenet(ready, "--weights", "notop.weights.h5", code=1)
    assert "does not hold weights of this network with its top" in said
    assert "expected those of MobileNet(include_top=True)" in said


@pytest.mark.variants
@pytest.mark.parametrize("ending", ["/", "", "/.", "//"])
@pytest.mark.parametrize("kind", [imagenet_scorer.Settings, embed.Settings])
def test_however_a_file_is_spelled_it_is_remembered_as_a_path(kind: Any, ending: str) -> None:
    Path("mine.txt").write_text("5")
    Path("imagenet").write_text("5")
    Path("animal").write_text("5")
    name = f"mine.txt{ending}"
    whole = str(Path("mine.txt").resolve())
    if kind is embed.Settings:
        assert embed.resolved(kind(weights=name)).weights == whole
        assert embed.resolved(kind(weights="imagenet")).weights == "imagenet"
        return
    found = score._resolved(kind(wanted=name, weights=name))
    assert (found.wanted, found.weights) == (whole, whole)
    assert set(score._digests("imagenet", kind(wanted=name))) == {"the file of wanted"}
    assert score._resolved(kind(wanted="animal", weights="imagenet")) == kind(wanted="animal", weights="imagenet")
    for nothing in ("nosuch", "x" * 5000, "x\0y"):
        assert score._resolved(kind(wanted=nothing)).wanted == nothing


def test_a_byte_order_mark_belongs_to_no_class() -> None:
    Path("wanted.txt").write_text("5\ngreat_white_shark\n", encoding="utf-8-sig")
    assert classes("wanted.txt") == [2, 5]
