"""Backends: what computes a network is part of its feature set, and a set goes on in what it was made with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.embed.feature_sets import vectors
from pipeline.runtime import openvino
from tests.support import backbones, tiny_clip
from tests.support.coldframe import REPOSITORY, Coldframe

pytestmark = pytest.mark.slow

needs_openvino = pytest.mark.skipif(not openvino.installed(), reason="openvino is not installed")
NAME, SIZE = backbones.NAME, (48, 64)
SMALL = ("--weights", "random", "--size", "48x64")
AUTO = ("--backend", "auto")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of them: OpenVINO's come by way of TensorFlow, and here Keras is on torch."""
    return backbones.save_weights(tmp_path_factory.mktemp("weights"), SIZE)


@pytest.mark.exhaustive
@needs_openvino
def test_a_set_goes_on_in_what_it_was_made_with(ready: Coldframe, weights: Path) -> None:
    small = ("--weights", weights, "--size", "48x64")
    said = ready("embed", NAME, *small, *AUTO, "--limit", 10).stderr
    assert "(openvino, float32)" in said.replace("bfloat16", "float32")
    close = 0.99 if "bfloat16" in said else 0.999
    said = ready("embed", NAME, *small, "--backend", "torch", code=1).stderr
    assert "backend was openvino, is now torch" in said
    ready("embed", NAME, "--as", "reference", *small, "--backend", "torch", "--limit", 10)
    assert "(torch, float32)" in ready("embed", NAME, "--as", "reference", *small, *AUTO).stderr
    ready("embed", NAME, *small, *AUTO)
    snapshot = ready.store.snapshot()
    fast, reference = vectors(snapshot, NAME).matrix, vectors(snapshot, "reference").matrix
    assert fast.shape == (24, 1024)
    cosines = (fast * reference).sum(1) / np.linalg.norm(fast, axis=1) / np.linalg.norm(reference, axis=1)
    assert cosines.min() > close
    assert "worst cosine" in ready("verify", "--recompute", 8, "--embedder", NAME).stdout


@needs_openvino
def test_a_converted_network_needs_no_framework(ready: Coldframe) -> None:
    ready("embed", NAME, "--as", "first", *SMALL, *AUTO)
    code = (
        "import sys; from pipeline.embed import embedders; "
        f"embedders.load('{NAME}', embedders.Options('random', (48, 64), backend='openvino')); "
        "assert not {'tensorflow', 'torch', 'keras'} & set(sys.modules), 'a framework was loaded'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


@pytest.mark.exhaustive
@needs_openvino
def test_bfloat16_is_asked_for_and_close(weights: Path) -> None:
    from pipeline.embed import embedders

    options = embedders.Options(str(weights), SIZE, backend="openvino", precision="bfloat16")
    try:
        network = embedders.load(NAME, options)
    except Exception as error:
        assert "which this processor cannot compute" in str(error)  # noqa: PT017
        pytest.skip("this processor cannot compute in bfloat16, not even as if")
    exact = embedders.load(NAME, embedders.Options(str(weights), SIZE, backend="openvino", precision="float32"))
    batch = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), np.uint8)
    one, other = network.embed(list(batch)), exact.embed(list(batch))
    cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosines.min() > 0.99
    assert network.settings["precision"] == "bfloat16"


@pytest.mark.exhaustive
@needs_openvino
def test_clip_through_openvino_is_the_same_clip(ready: Coldframe, tmp_path: Path) -> None:
    folder = tiny_clip.save(tmp_path / "tiny")
    ready("embed", "clip", "--weights", folder, "--backend", "openvino")
    ready("embed", "clip", "--as", "reference", "--weights", folder, "--backend", "torch")
    query = "select min(similarity(a.vector, b.vector)) from embeddings a join embeddings b using (image_id)"
    assert ready.value(f"{query} where a.embedder = 'clip' and b.embedder = 'reference'") > 0.999
    ready("score", "clip-quality")
    assert ready.value("select count(*) from scores") == 24


@pytest.mark.exhaustive
def test_keras_on_torch_leaves_tensorflow_alone(ready: Coldframe) -> None:
    code = (
        "import sys, numpy as np; from pipeline.embed import embedders; "
        f"network = embedders.load('{NAME}', embedders.Options('random', (48, 64), backend='torch', device='auto')); "
        "network.embed([np.zeros((48, 64, 3), np.uint8)]); "
        "assert 'tensorflow' not in sys.modules, 'TensorFlow was loaded beside torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
    assert "(torch, float32)" in ready("embed", NAME, *SMALL, "--backend", "torch", "--device", "cpu").stderr
    said = ready("embed", NAME, "--as", "other", *SMALL, "--backend", "torch", "--device", "gpu", code=1).stderr
    assert "--device gpu: Keras on torch sees none here; leave it out" in said


@pytest.mark.exhaustive
@needs_openvino
def test_a_converted_network_that_is_not_whole_is_made_again(ready: Coldframe, tmp_path: Path) -> None:
    cache = Path(os.environ["COLDFRAME_CACHE"])
    ready("embed", NAME, "--as", "first", *SMALL, *AUTO)
    networks = sorted(cache.glob("networks/*/network.bin"))
    assert networks
    for file in networks:
        whole = file.read_bytes()
        file.write_bytes(whole[:1000] + bytes(1000) + whole[2000:])
    for file in cache.glob("sources/*.json"):
        file.write_text("{")
    ready("embed", NAME, "--as", "second", *SMALL, *AUTO)
    snapshot = ready.store.snapshot()
    assert np.array_equal(vectors(snapshot, "first").matrix, vectors(snapshot, "second").matrix)


def test_what_openvino_cannot_convert_falls_back_only_where_nothing_else_was_asked(
    ready: Coldframe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object, **more: object) -> None:
        raise openvino.NotConverted("OpenVINO cannot convert this network (ValueError: no translator)")

    monkeypatch.setattr(openvino, "installed", lambda: True)
    monkeypatch.setattr(openvino, "converted", refuse)
    said = ready("embed", NAME, *SMALL, "--backend", "openvino", code=1).stderr
    assert "(ValueError: no translator): choose another --backend" in said
    said = ready("embed", NAME, *SMALL, *AUTO).stderr
    assert "(torch, float32)" in said  # which Keras runs on in this process
    assert "(ValueError: no translator): torch computes it" in said


def test_backends_that_cannot_be(ready: Coldframe, monkeypatch: pytest.MonkeyPatch) -> None:
    said = ready("embed", NAME, "--weights", "random", "--size", "1x1", code=1).stderr
    assert f"{NAME}: it cannot be built for pictures of 1x1 (Input size must be at least" in said
    said = ready("embed", "clip", "--backend", "tensorflow", code=1).stderr
    assert "--backend tensorflow: clip is computed by torch or openvino" in said
    said = ready("embed", "mean-colour", "--as", "x", "--backend", "torch", code=1).stderr
    assert "mean-colour is computed by no backend at all" in said
    if openvino.installed():
        said = ready("embed", NAME, *SMALL, "--backend", "openvino", "--device", "gpu", code=1).stderr
        assert "--device gpu: the backend openvino computes on the processor" in said
    monkeypatch.setattr(openvino, "installed", lambda: False)
    said = ready("embed", NAME, *SMALL, "--backend", "openvino", code=1).stderr
    assert "pip install 'coldframe[fast]'" in said


def test_an_efficientnet_on_torch(ready: Coldframe) -> None:
    """Its Normalization counts in whole numbers, which Keras on torch cannot make on a device that is named."""
    said = ready("embed", "efficientnet-b0", "--weights", "random", "--size", "32x32", "--limit", 4).stderr
    assert "4 embedded, 0 failed" in said
    assert "(torch, float32)" in said
