"""Embed: once for each content, continued after a stop, never mixing vectors of different making."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.embed import embedders
from pipeline.embed.embedders import Options, mean_colour
from pipeline.embed.feature_sets import vectors
from pipeline.steps.settings import parse_size
from store.errors import ColdframeError
from store.matrices import from_matrix
from tests.support.coldframe import Catalogue, Coldframe, drawn, picture

pytestmark = pytest.mark.slow


def test_each_content_is_embedded_once(cf: Coldframe, catalogue: Catalogue) -> None:
    for number in range(3):
        catalogue.add(f"copy-{number}", "finch", picture("finch", 0))
    catalogue.write()
    cf.ingest(catalogue)
    assert "0 cached, 24 embedded, 0 failed, 0 left" in cf("embed", "mean-colour").stderr
    assert "24 cached, 0 embedded" in cf("embed", "mean-colour").stderr
    assert cf.value("select count(*) from embeddings") == 27
    assert cf.value("select count(distinct content_id) from embeddings") == 24


def test_vectors_are_what_the_embedder_says(ready: Coldframe, catalogue: Catalogue) -> None:
    embedder = embedders.load("mean-colour", Options())
    row = catalogue.rows[3]
    wanted = embedder.embed([embedder.prepare(Image.open(catalogue.images / row["file_path"]))])[0]
    got = ready.rows(f"select vector from embeddings where image_id = '{row['id']}'")[0]["vector"]
    assert np.allclose(got, wanted, atol=1e-6)


def test_limit_then_the_rest_gives_the_same_vectors(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    cf("embed", "mean-colour", "--as", "parts", "--limit", 10, "--batch", 4)
    assert cf.value("select count(*) from embeddings where embedder = 'parts'") == 10
    assert (
        "10 cached, 14 embedded, 0 failed, 0 left" in cf("embed", "mean-colour", "--as", "parts", "--batch", 7).stderr
    )
    snapshot = cf.store.snapshot()
    assert np.allclose(vectors(snapshot, "parts").matrix, vectors(snapshot, "mean-colour").matrix, atol=1e-5)


def test_a_set_of_another_making_is_refused(ready: Coldframe) -> None:
    said = ready("embed", "mean-colour", "--size", "2x3", code=1).stderr
    assert "'mean-colour' was made with other settings" in said
    assert "size was [4, 4], is now [2, 3]" in said
    assert "--as NAME" in said
    ready("embed", "mean-colour", "--size", "2x3", "--as", "coarse")
    assert ready.value("select len(vector) from embeddings where embedder = 'coarse' limit 1") == 18


def test_float16_on_disk_reads_as_float(ready: Coldframe) -> None:
    ready("embed", "mean-colour", "--as", "half", "--store-as", "float16")
    part = ready.store.snapshot().manifest.parts("embeddings", "half")[0]
    assert pq.read_schema(ready.path / part.path).field("vector").type.value_type == "halffloat"
    query = "select min(similarity(a.vector, b.vector)) from embeddings a join embeddings b using (image_id)"
    assert ready.value(f"{query} where a.embedder = 'half' and b.embedder = 'mean-colour'") > 0.9999


def test_a_file_that_changed_or_went_away_fails_alone(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    picture("finch", 500).save(catalogue.images / catalogue.rows[0]["file_path"])
    (catalogue.images / catalogue.rows[1]["file_path"]).unlink()
    assert "22 embedded, 2 failed" in cf("embed", "mean-colour", code=3).stderr
    reasons = [row["reason"] for row in cf.rows("select * from failures where step = 'embed' order by image_id")]
    assert reasons == ["changed since it was ingested: run 'coldframe ingest' again", "missing: no such file"]
    assert cf.value("select phylum from failures limit 1") == "chordata"


@pytest.mark.exhaustive
def test_any_of_equal_files_will_do(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("a-copy", "moth", picture("moth", 2000), "a.png")
    catalogue.write()
    cf.ingest(catalogue)
    (catalogue.images / "a.png").unlink()
    assert "24 embedded, 0 failed" in cf("embed", "mean-colour").stderr


def test_embed_waits_for_a_catalogue(cf: Coldframe, catalogue: Catalogue) -> None:
    assert "no store here; make one with" in cf("embed", "mean-colour", code=1).stderr
    cf.ingest(catalogue)
    catalogue.images.rename(catalogue.folder / "moved")
    said = cf("embed", "mean-colour", code=1).stderr
    assert "the image folder is not there any more; run 'coldframe ingest" in said


def test_two_embeds_of_one_set_do_not_run_at_once(ready: Coldframe) -> None:
    with ready.store.lock("embed-mean-colour"):
        assert (
            "another coldframe process is writing 'embed mean-colour'" in ready("embed", "mean-colour", code=5).stderr
        )
        ready("keep", "finch-00", "--why", "the lock of a set is no lock on the store")


def test_errors_of_options(ready: Coldframe) -> None:
    assert "no embedder 'nosuch'; available: clip, " in ready("embed", "nosuch", code=1).stderr
    assert "mean-colour has no weights" in ready("embed", "mean-colour", "--as", "x", "--weights", "y", code=1).stderr
    assert "0 is not in the range x>=1" in ready("embed", "mean-colour", "--max-pixels", 0, code=2).stderr
    assert "size 'banana': expected HEIGHTxWIDTH" in ready("embed", "mean-colour", "--size", "banana", code=1).stderr
    assert "--as names one set" in ready("embed", "mean-colour", "clip", "--as", "x", code=2).stderr


@pytest.mark.parametrize(("text", "size"), [("380", (380, 380)), ("375x500", (375, 500)), ("8X9", (8, 9))])
def test_sizes(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0x5", "ax3", "1x2x3", "-4"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ColdframeError, match="expected HEIGHTxWIDTH in pixels"):
        parse_size(text)


@pytest.mark.exhaustive
def test_a_keras_application_from_random_and_from_its_own_file(ready: Coldframe, tmp_path: Path) -> None:
    name, size = "mobilenet-v3-small", ("--size", "48x64")
    ready("embed", name, "--weights", "random", *size)
    from pipeline.embed.embedders.keras_applications import backbone

    network = backbone(name, weights="random", size=(48, 64))
    network.save_weights(tmp_path / "own.weights.h5")
    network.save(tmp_path / "own.keras")
    for number, file in enumerate(("own.weights.h5", "own.keras")):
        ready("embed", name, "--as", f"file{number}", "--weights", tmp_path / file, *size)
    snapshot = ready.store.snapshot()
    matrix = vectors(snapshot, name).matrix
    assert matrix.shape == (24, 576)
    for number in range(2):
        assert np.allclose(vectors(snapshot, f"file{number}").matrix, matrix, atol=1e-5)
    digests = ready.rows(
        "select distinct settings->>'weights' as w from feature_sets where network = 'mobilenet-v3-small'"
    )
    assert len(digests) == 1, "equal weights have one digest, whatever file they are in"
    said = ready("embed", "efficientnet-b0", "--weights", tmp_path / "own.weights.h5", *size, code=1).stderr
    assert "own.weights.h5 does not hold weights of this network" in said
    said = ready("embed", name, "--as", "other", "--weights", tmp_path / "own.keras", "--size", "32x32", code=1).stderr
    assert "takes pictures of (48, 64), asked for (32, 32)" in said


@pytest.mark.exhaustive
def test_weights_that_cannot_be_had(ready: Coldframe, monkeypatch: pytest.MonkeyPatch) -> None:
    said = ready("embed", "efficientnet-b0", "--weights", "gone.h5", code=1).stderr
    assert "no weights at 'gone.h5'; expected a local .h5 or .keras file, 'imagenet'" in said
    import keras

    def no_network(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", no_network)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", no_network)
    said = ready("embed", "efficientnet-b4", code=1).stderr
    assert "efficientnet-b4: its ImageNet weights are not available from Keras Applications (URL fetch failure" in said
    assert "Give a local copy: --weights FILE" in said
    assert ready.value("select count(*) from feature_sets where embedder = 'efficientnet-b4'") == 0


def test_what_failed_is_tried_again_when_asked_or_after_an_ingest(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    gone = catalogue.images / catalogue.rows[1]["file_path"]
    content = gone.read_bytes()
    gone.unlink()
    assert "23 embedded, 1 failed" in cf("embed", "mean-colour", code=3).stderr
    gone.write_bytes(content)
    said = cf("embed", "mean-colour", code=3).stderr
    assert "23 cached, 0 embedded, 0 failed, 0 left" in said
    assert "1 failed before and were not tried: --retry takes them again" in said
    assert cf.value("select count(*) from failures where step = 'embed'") == 1
    assert "1 embedded, 0 failed" in cf("embed", "mean-colour", "--retry").stderr
    assert cf.value("select count(*) from failures where step = 'embed'") == 0


@pytest.mark.exhaustive
def test_too_many_failures_stop_early_and_keep_what_is_done(cf: Coldframe, tmp_path: Path) -> None:
    catalogue = drawn(tmp_path / "many", per_class=40)
    cf.ingest(catalogue)
    for row in catalogue.rows[::3]:
        (catalogue.images / row["file_path"]).unlink()
    said = cf("embed", "mean-colour", "--batch", 10, "--max-failure-rate", 0.2, code=1).stderr
    assert "pictures failed, more than --max-failure-rate 0.2 allows: stopped" in said
    done = cf.value("select count(*) from embeddings")
    failed = cf.value("select count(*) from failures where step = 'embed'")
    assert 50 <= done + failed <= 80
    assert "40 failed" in cf("embed", "mean-colour", code=3).stderr
    assert "max_failure_rate = 2.0, expected from 0 to 1" in _misconfigured(cf, "max_failure_rate = 2.0")
    assert "device = 'tpu', expected one of auto, cpu, gpu" in _misconfigured(cf, "device = 'tpu'")


def _misconfigured(cf: Coldframe, line: str) -> str:
    Path("coldframe.toml").write_text(f"[embed.mean-colour]\n{line}\n")
    return cf("embed", "mean-colour", code=1).stderr


def test_a_picture_that_the_network_cannot_take_fails_alone(
    ready: Coldframe, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.add("strip", "moth", picture("moth", 1).resize((300, 2)))
    catalogue.add("huge", "moth", picture("moth", 2).resize((30, 20)))
    catalogue.add("odd", "moth", picture("moth", 3).resize((31, 20)))
    catalogue.write()
    ready.ingest(catalogue)

    class Choosy(mean_colour.MeanColour):
        def prepare(self, image: Image.Image) -> npt.NDArray[Any]:
            if image.height == 2:
                raise MemoryError("300 times as wide")
            scale = {(30, 20): 1e9, (31, 20): np.nan}.get(image.size, 1.0)
            return super().prepare(image) * np.float32(scale)

    monkeypatch.setattr(mean_colour, "MeanColour", Choosy)
    assert "24 embedded, 3 failed" in ready("embed", "mean-colour", "--as", "x", "--store-as", "float16", code=3).stderr
    reasons = ready.rows("select image_id, reason from failures where name = 'x' order by image_id")
    assert [row["reason"] for row in reasons] == [
        "its vector has values beyond float16: store it as float32",
        "the network gave a vector that is not finite",
        "cannot be prepared for the network (MemoryError: 300 times as wide)",
    ]


@pytest.mark.exhaustive
def test_pictures_as_large_as_ingest_took_are_embedded(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("large", "moth", picture("moth", 1).resize((400, 300)))
    catalogue.write()
    cf.ingest(catalogue, "--max-pixels", 200_000)
    assert "25 embedded, 0 failed" in cf("embed", "mean-colour").stderr
    assert "24 embedded, 1 failed" in cf("embed", "mean-colour", "--as", "low", "--max-pixels", 10_000, code=3).stderr


@pytest.mark.exhaustive
def test_vectors_of_nothing_but_zeros_are_the_same(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("black", "moth", Image.new("RGB", (40, 30)))
    catalogue.write()
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    assert "worst cosine to the reference in float32 1.000000" in cf("verify", "--recompute", 25).stdout


def test_a_set_whose_weights_are_not_named_again_says_what_they_were(ready: Coldframe) -> None:
    ready("embed", "mean-colour", "--as", "grid", "--size", "3x4")
    said = ready("embed", "mean-colour", "--as", "grid", "--weights", "none", code=1).stderr
    assert "The feature set 'grid' was made with weights = None, size = [3, 4], seed = 0: give the same" in said


def test_a_dry_run_says_what_there_is_to_do_and_stores_nothing(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    cf("embed", "mean-colour", "--limit", 10)
    before = cf.store.snapshot().manifest.number
    said = cf("embed", "mean-colour", "--dry-run").stdout
    assert "mean-colour: 10 cached, 14 to do, 0 failed before" in said
    assert "(measured on 14)" in said
    assert cf.store.snapshot().manifest.number == before


@pytest.mark.exhaustive
def test_recomputed_vectors_are_compared_with_the_stored_ones(ready: Coldframe, catalogue: Catalogue) -> None:
    said = ready("verify", "--recompute", 10, "--embedder", "mean-colour").stdout
    assert "worst cosine to the reference in float32 1.000000 of 10 images" in said
    assert "files-deep" not in said
    both = ready("verify", "--deep", "--recompute", 10).stdout
    assert "ok     files-deep" in both
    assert "worst cosine" in both
    assert "--embedder needs --recompute" in ready("verify", "--embedder", "mean-colour", code=2).stderr
    known = vectors(ready.store.snapshot(), "mean-colour")
    for added in (9.0, float("nan")):
        matrix = known.matrix.copy()
        matrix[:, 0] += added
        table = pa.table({"content_id": known.content_ids, "vector": from_matrix(matrix)})
        table = table.append_column("embedder", pa.array(["mean-colour"] * len(table)))
        table = table.append_column("view", pa.array([0] * len(table), pa.int32()))
        with ready.store.commit("test") as commit:
            commit.replace("embeddings", table, key="mean-colour")
        assert "vectors are not what its network gives" in ready("verify", "--recompute", 10, code=4).stderr
    for row in catalogue.rows:
        (catalogue.images / row["file_path"]).unlink()
    assert "none of 10 files of the set can be read again" in ready("verify", "--recompute", 10, code=1).stderr
