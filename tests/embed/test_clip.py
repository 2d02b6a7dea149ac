"""CLIP: the real loading code and scorer, on a tiny model saved in the Hugging Face format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.embed import embedders
from tests.support import tiny_clip
from tests.support.coldframe import Catalogue, Coldframe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of two one-layer towers, with tokenizer and processor."""
    return tiny_clip.save(tmp_path_factory.mktemp("clip") / "tiny")


def test_zero_shot_takes_the_class_whose_name_is_closest(cf: Coldframe, catalogue: Catalogue, tiny: Path) -> None:
    cf.ingest(catalogue)
    cf("embed", "clip", "--weights", tiny)
    cf("split", "test", 0.25)
    cf("train", "--head", "zero-shot")
    cf("evaluate", "zero-shot")
    run = cf.rows("select * from runs")[0]
    assert (run["embedder"], run["val_rows"], run["epochs"]) == ("clip", 0, 0)
    names = ["finch", "heron", "moth"]
    path_of = {row["id"]: catalogue.images / row["file_path"] for row in catalogue.rows}
    found = cf.rows("select image_id, predicted, probability from predictions order by image_id")
    texts = [f"a photo of a {name}" for name in names]
    logits = tiny_clip.similarities(tiny, texts, [path_of[row["image_id"]] for row in found])
    assert [row["predicted"] for row in found] == [names[best] for best in logits.argmax(axis=1)]
    wanted = np.exp(100 * logits) / np.exp(100 * logits).sum(axis=1, keepdims=True)
    assert [row["probability"] for row in found] == pytest.approx(wanted.max(axis=1).tolist(), abs=1e-3)


@pytest.mark.exhaustive
def test_clip_quality_is_best_good_minus_best_bad(cf: Coldframe, catalogue: Catalogue, tiny: Path) -> None:
    cf.ingest(catalogue)
    cf("embed", "clip", "--weights", tiny)
    good, bad = ["a bird", "wild moth"], ["an xray", "a map", "food"]
    Path("coldframe.toml").write_text(f"[score.clip-quality]\ngood = {json.dumps(good)}\nbad = {json.dumps(bad)}\n")
    cf("score", "clip-quality")
    best = {row["image_id"]: row["value"] for row in cf.rows("select * from scores")}
    cf("score", "clip-quality", "--aggregate", "mean")
    mean = {row["image_id"]: row["value"] for row in cf.rows("select * from scores")}

    paths = [catalogue.images / row["file_path"] for row in catalogue.rows]
    logits = tiny_clip.similarities(tiny, good + bad, paths)
    for row, similarity in zip(catalogue.rows, logits, strict=True):
        assert best[row["id"]] == pytest.approx(similarity[:2].max() - similarity[2:].max(), abs=1e-5)
        assert mean[row["id"]] == pytest.approx(similarity[:2].mean() - similarity[2:].mean(), abs=1e-5)

    middle = float(np.median(list(mean.values())))
    cf("filter", "clip-quality", "--threshold", middle)
    out = {row["image_id"]: row for row in cf.rows("select * from exclusions")}
    assert set(out) == {image_id for image_id, value in mean.items() if value < middle}
    assert {row["threshold"] for row in out.values()} == {middle}


def test_of_a_long_strip_the_middle_is_seen(tiny: Path) -> None:
    network = embedders.load("clip", embedders.Options(str(tiny)))
    strip = Image.new("RGB", (500_000, 10))
    strip.paste("white", (249_990, 0, 250_010, 10))
    seen = network.prepare(strip)
    assert seen.shape == (3, 32, 32)
    assert (seen > 0).all()


def test_weights_that_are_not_whole_or_not_there(cf: Coldframe, catalogue: Catalogue, tiny: Path) -> None:
    cf.ingest(catalogue)
    Path("empty").mkdir()
    said = cf("embed", "clip", "--weights", "empty", code=1).stderr
    assert "empty' are not available from the local folder" in said
    assert "Give a local copy of the model's folder" in said
    said = cf("embed", "clip", "--weights", tiny / "config.json", code=1).stderr
    assert "is a file; expected a folder in Hugging Face format" in said
    import safetensors.numpy

    half = Path("half")
    half.mkdir()
    for file in tiny.iterdir():
        (half / file.name).write_bytes(file.read_bytes())
    arrays = safetensors.numpy.load_file(half / "model.safetensors")
    del arrays["visual_projection.weight"]
    safetensors.numpy.save_file(arrays, half / "model.safetensors", {"format": "pt"})
    said = cf("embed", "clip", "--weights", half, code=1).stderr
    assert "half lacks weights of the network, such as visual_projection.weight" in said


def test_clip_quality_wants_a_set_with_a_text_side_and_its_own_weights(ready: Coldframe, tiny: Path) -> None:
    said = ready("score", "clip-quality", "--embedder", "mean-colour", code=1).stderr
    assert "'mean-colour' is of mean-colour, which reads no text; expected a CLIP set" in said
    said = ready("score", "clip-quality", code=1).stderr
    assert "no feature set 'clip'; the store has: mean-colour; 'coldframe embed" in said


def test_zero_shot_texts_that_are_cut_or_alike_are_named(cf: Coldframe, catalogue: Catalogue, tiny: Path) -> None:
    labels = {"finch": "Red_finch", "heron": "red finch", "moth": "a" * 90}  # a letter is a piece of a word here
    for row in catalogue.rows:
        row["label"] = labels[row["label"]]
    catalogue.rows[0]["label"] = "short one"
    catalogue.write()
    cf.ingest(catalogue)
    cf("embed", "clip", "--weights", tiny)
    cf("split", "test", 0.2)
    said = cf("train", "--head", "zero-shot").stderr
    assert f"1 classes have a text that is cut at the tokenizer's limit: {'a' * 90}" in said
    assert "2 classes have the same text as another, and cannot be told apart: Red_finch = red finch" in said
    said = cf("train", "--head", "zero-shot", "--template", f"{'b' * 90} {{}}").stderr
    assert "4 classes have a text that is cut" in said
    assert "4 classes have the same text as another" in said
