"""Artefacts: written, checked in a fresh process, asked by their users; and runs asked for pictures of their own."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.deploy import artefact, cards, export, formats
from pipeline.deploy.predict import open_model
from store import files
from store.errors import ColdframeError
from tests.support import backbones
from tests.support.coldframe import Catalogue, Coldframe, drawn, environment, parts_of, picture

pytestmark = pytest.mark.slow

SET = backbones.NAME
FORMATS = ("keras", "onnx", "openvino")


@pytest.fixture(scope="module")
def catalogue_(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Pictures of three classes."""
    return drawn(tmp_path_factory.mktemp("export") / "catalogue", per_class=10)


@pytest.fixture(scope="module")
def exported(catalogue_: Catalogue) -> Coldframe:
    """A store with a head and a fine-tuned run, and artefacts of the latter in every format beside it."""
    folder = catalogue_.folder.parent
    cf = Coldframe(folder / "store")
    cf.ingest(catalogue_)
    cf("embed", SET, "--weights", backbones.save_weights(folder, (64, 64)), "--size", "64x64")
    cf("split", "test", "0.3")
    cf("split", "val", "0.2")
    cf("train", "--head", "mlp", "--units", "16", "--epochs", "5", "--embedder", SET)
    cf("finetune", "mlp", "--lr", "1e-3", "--epochs", "2", "--batch", "8")
    for one in FORMATS:
        cf.forked("export", "finetuned", "--format", one, "--output", folder / one)
    return cf


def of(exported: Coldframe, name: str) -> Path:
    return exported.path.parent / name


@pytest.mark.variants
@pytest.mark.parametrize("name", FORMATS)
def test_an_artefact_gives_what_the_run_gives(exported: Coldframe, catalogue_: Catalogue, name: str) -> None:
    card = json.loads((of(exported, name) / "card.json").read_text())
    assert card["largest_difference"] < 1e-3
    assert card["compared_images"] == 30
    assert card["taxonomy"]["phylum"] == {"arthropoda": ["moth"], "chordata": ["finch", "heron"]}
    row = exported.rows(f"select accuracy, rows from evaluations where evaluation = 'export:{name}'")[0]
    assert (card["artefact"]["accuracy"], card["artefact"]["rows"]) == (row["accuracy"], row["rows"])
    said = exported.forked("predict", of(exported, name), catalogue_.images, "--format", "ndjson", "--top", 1).stdout
    labels = {Path(one["path"]).stem: one["label"] for one in map(json.loads, said.splitlines())}
    predicted = exported.rows(f"select image_id, predicted from predictions where evaluation = 'export:{name}'")
    assert {one["image_id"]: labels[one["image_id"]] for one in predicted} == {
        one["image_id"]: one["predicted"] for one in predicted
    }
    text = (of(exported, name) / "MODEL_CARD.md").read_text()
    assert f"accuracy {row['accuracy']:.4f}" in text


def test_the_card_says_how_the_run_itself_answers(exported: Coldframe, catalogue_: Catalogue, tmp_path: Path) -> None:
    """Stored vectors may be of another precision than the artefact computes in."""
    cf = Coldframe(tmp_path / "store")
    shutil.copytree(exported.path, cf.path)
    with cf.store.commit("test") as commit:
        for part in parts_of(cf, "embeddings"):
            table = pq.read_table(cf.path / part.path)
            vectors = np.stack(table["vector"].to_numpy())
            noisy = vectors * np.random.default_rng(0).normal(1, 0.05, vectors.shape)
            column = pa.array(list(noisy.astype(np.float32)), table.schema.field("vector").type)
            at = table.column_names.index("vector")
            commit.replace("embeddings", table.set_column(at, table.schema.field(at), column), key=part.key)
    cf("train", "--head", "logistic")
    cf("evaluate", "logistic")
    said = cf.forked("export", "logistic", "--format", "openvino", "--output", tmp_path / "made").stderr

    def answers(model: object) -> dict[tuple[str, str], float]:
        told = cf.forked(
            "predict", model, catalogue_.images, "--format", "ndjson", "--top", 3, "--neighbours", 0
        ).stdout
        rows = map(json.loads, told.splitlines())
        return {(Path(one["path"]).stem, one["label"]): one["probability"] for one in rows}

    run, artefact_ = answers("logistic"), answers(tmp_path / "made")
    card = json.loads((tmp_path / "made" / "card.json").read_text())
    agreement = card["agreement"]
    assert card["largest_difference"] < 1e-3 < agreement["largest_difference"]
    assert agreement["largest_difference"] == pytest.approx(
        max(abs(run[one] - artefact_[one]) for one in run), abs=1e-5
    )
    best = [
        {image: label for (image, label), _ in sorted(given.items(), key=lambda one: one[1])}
        for given in (run, artefact_)
    ]
    assert agreement["other_class"] == sum(best[0][image] != best[1][image] for image in best[0])
    accuracy = "select accuracy from evaluations where evaluation = '{}' and run_id like '%logistic%'"
    assert agreement["run_accuracy"] == cf.value(accuracy.format("plain"))
    assert agreement["artefact_accuracy"] == cf.value(accuracy.format("export:openvino"))
    shown = f"differ by at most {agreement['largest_difference']:.2g}"
    assert shown in said
    assert shown in (tmp_path / "made" / "MODEL_CARD.md").read_text()


@pytest.mark.variants
@pytest.mark.parametrize("name", FORMATS[::-1])
def test_the_lines_of_the_card_work_without_coldframe(
    exported: Coldframe, catalogue_: Catalogue, tmp_path: Path, name: str
) -> None:
    folder = of(exported, name)
    before = set(os.listdir(folder))
    text = (folder / "MODEL_CARD.md").read_text()
    lines = text.split("```python\n")[1].split("\n```")[0]  # as printed
    assert lines == formats.use(name, (64, 64))
    assert len(lines.splitlines()) <= 6
    photo = catalogue_.images / "finch" / "finch-00.png"
    program = lines.replace("photo.jpg", str(photo)).replace("/full/path/to/this/folder", str(folder))
    (tmp_path / "sample.py").write_text(program + "\nprint(probabilities.tolist())")
    done = subprocess.run(
        [sys.executable, "-P", "sample.py"], env=environment(), capture_output=True, text=True, check=True
    )
    assert set(os.listdir(folder)) == before
    given = exported.forked("predict", folder, photo, "--format", "json", "--neighbours", 0).stdout
    classes = artefact.read(folder).classes.tolist()
    by_label = {one["label"]: one["probability"] for one in json.loads(given)}
    assert np.allclose(json.loads(done.stdout.splitlines()[-1]), [by_label[one] for one in classes], atol=1e-5)


def test_an_openvino_artefact_needs_no_framework(exported: Coldframe, catalogue_: Catalogue) -> None:
    program = (
        "import sys\n"
        "for name in ('tensorflow', 'torch', 'keras', 'transformers'): sys.modules[name] = None\n"
        "from pipeline.deploy.predict import open_model\n"
        f"model = open_model({str(of(exported, 'openvino'))!r})\n"
        f"print(*(one.labels[0] for one in model.predict([{str(catalogue_.images / 'moth' / 'moth-00.png')!r}])))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("finch", "heron", "moth")


@pytest.mark.exhaustive
def test_a_run_is_asked_as_its_artefact_is(exported: Coldframe, catalogue_: Catalogue, tmp_path: Path) -> None:
    new = tmp_path / "new.png"
    picture("heron", 77).save(new)
    by_artefact, by_run = (
        json.loads(exported.forked("predict", model, new, "--format", "json").stdout)
        for model in (of(exported, "keras"), "finetuned")
    )
    assert [one["label"] for one in by_artefact] == [one["label"] for one in by_run]
    assert [one["nearest"] for one in by_artefact] == [one["nearest"] for one in by_run]
    assert np.allclose([one["probability"] for one in by_artefact], [one["probability"] for one in by_run], atol=1e-4)
    assert by_artefact[0]["distance"] == pytest.approx(by_run[0]["distance"], rel=1e-2)


def test_a_head_is_asked_through_the_cache(exported: Coldframe, catalogue_: Catalogue, tmp_path: Path) -> None:
    known = catalogue_.images / "moth" / "moth-03.png"
    copy = tmp_path / "another-name.png"
    shutil.copyfile(known, copy)
    # a process without any framework: the vector of these bytes is in the store
    program = (
        "import sys\n"
        "for name in ('tensorflow', 'torch', 'keras'): sys.modules[name] = None\n"
        "from pipeline.deploy.predict import open_model\n"
        f"one = next(iter(open_model('mlp', store={str(exported.path)!r}).predict([{str(copy)!r}])))\n"
        "print(one.nearest[0], one.distance, one.labels[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    nearest, distance, label = done.stdout.split()
    trained_on = {one["image_id"] for one in exported.rows("select image_id from splits where split = 'train'")}
    if "moth-03" in trained_on:
        assert (nearest, float(distance)) == ("moth-03", 0.0)
    stored = exported("evaluate", "mlp", "--split", "train", "--format", "json")
    assert json.loads(stored.stdout)[0]["rows"] == len(trained_on)
    row = exported.rows("select predicted from predictions where image_id = 'moth-03' and evaluation = 'plain'")
    assert not row or row[0]["predicted"] == label


@pytest.mark.exhaustive
def test_answers_in_every_format_and_from_everywhere(
    exported: Coldframe, catalogue_: Catalogue, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture("finch", 5).save(folder / "a.png")
    (folder / "b.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either, and none by its name")
    done = exported.forked("predict", "mlp", folder, "--format", "csv", "--top", 2, code=3)
    header, *lines = done.stdout.splitlines()
    assert header == "path,rank,label,probability,distance,nearest,nearest_labels,failed"
    assert len(lines) == 3
    assert lines[2].startswith(f"{folder / 'b.jpg'},,,,,,,")
    assert f"{folder / 'b.jpg'}: not an image, or of a format that Pillow does not know" in done.stderr
    raw = subprocess.run(
        exported.command("predict", "mlp", folder / "a.png", "--format", "parquet"),
        env=environment(),
        capture_output=True,
        check=True,
    )
    assert pq.read_table(io.BytesIO(raw.stdout)).num_rows == 3
    latin = os.fsencode(folder / "a.png").replace(b"a.png", b"\xe4.png")
    shutil.copyfile(folder / "a.png", latin)
    for given in (
        (folder / "a.png").read_bytes(),
        f"{folder / 'a.png'}\n".encode(),
        b"\xef\xbb\xbf" + latin + b"\r\n",
        latin + b"\0",
    ):
        piped = subprocess.run(
            exported.command("predict", "mlp", "-", "--format", "json"),
            input=given,
            env=environment(),
            capture_output=True,
            check=True,
        )
        assert len(json.loads(piped.stdout)) == 3


def test_what_is_known_of_a_picture_rules_classes_out(exported: Coldframe, catalogue_: Catalogue) -> None:
    photo = catalogue_.images / "moth" / "moth-00.png"
    for model in (of(exported, "openvino"), "mlp"):
        asked = json.loads(
            exported.forked("predict", model, photo, "--where", "Phylum=CHORDATA", "--format", "json").stdout
        )
        assert {one["label"] for one in asked} == {"finch", "heron"}
        assert sum(one["probability"] for one in asked) == pytest.approx(1)
        for where, said in (
            (
                "phylum=plantae",
                "--where phylum=plantae: not among the training rows, whose values are: arthropoda, chordata",
            ),
            ("order=moths", "--where order=moths: no such column; columns: "),
        ):
            assert said in exported.forked("predict", model, photo, "--where", where, code=1).stderr


def test_bad_requests_are_said(exported: Coldframe, catalogue_: Catalogue, tmp_path: Path) -> None:
    there = of(exported, "onnx")
    assert (
        "there already: name another place with --output, or replace it with --force"
        in exported("export", "finetuned", "--format", "onnx", "--output", there, code=1).stderr
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "other").mkdir()
    for name in (cards.CARD, cards.DRAFT, "thesis.txt"):
        (tmp_path / "other" / name).write_text("{}")
    said = exported("export", "finetuned", "--output", tmp_path / "other", "--force", code=1).stderr
    assert "there already, and no artefact or not that alone (its card.json is not one that an export writes)" in said
    assert (tmp_path / "other" / "thesis.txt").exists()
    assert (
        "there already, and no artefact"
        in exported("export", "finetuned", "--format", "onnx", "--output", tmp_path / "mine", "--force", code=1).stderr
    )
    assert "no such folder to put" in exported("export", "mlp", "--output", tmp_path / "a" / "b", code=1).stderr
    assert "no picture in this folder" in exported("predict", "mlp", tmp_path / "mine", code=1).stderr
    assert "an empty name among the pictures" in exported("predict", "mlp", "", code=1).stderr
    assert (
        "card.json: a file; expected a run"
        in exported("predict", there / "card.json", there / "card.json", code=1).stderr
    )
    assert "no split 'tset' in plan 'default'" in exported("export", "mlp", "--split", "tset", code=1).stderr
    assert "no run 'none'" in exported("predict", "none", tmp_path / "x.jpg", code=1).stderr
    missing = exported("predict", "mlp", tmp_path / "x.jpg", code=3)
    assert "x.jpg: missing: no such file" in missing.stderr
    with pytest.raises(ColdframeError, match=r"no artefact: it has no card\.json; 'coldframe export RUN' makes one"):
        open_model(tmp_path)
    with pytest.raises(ColdframeError, match="mlp: no artefact there; a run needs its store"):
        open_model("mlp")


def test_a_damaged_artefact_is_said(exported: Coldframe, tmp_path: Path) -> None:
    for name, damage, said in (
        ("model.bin", b"other bytes", "model.bin: damaged: export the run again"),
        ("neighbours.npz", None, "neighbours.npz: missing: export the run again"),
        ("card.json", b"{", "card.json: not a model card"),
        ("card.json", json.dumps({"card_version": 99}).encode(), "version 99, this coldframe reads 1"),
    ):
        copy = tmp_path / "copy"
        shutil.copytree(of(exported, "openvino"), copy)
        (copy / name).unlink()
        if damage is not None:
            (copy / name).write_bytes(damage)
        with pytest.raises(ColdframeError, match=said):
            artefact.read(copy)
        shutil.rmtree(copy)


@pytest.mark.exhaustive
def test_a_model_that_gives_something_else_once_written_is_not_kept(
    exported: Coldframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "LARGEST_DIFFERENCE", -1.0)
    said = exported("export", "mlp", "--format", "keras", "--output", tmp_path / "other", code=1).stderr
    assert "the model written as keras does not give what the run gives" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.exhaustive
def test_an_export_cut_short_leaves_nothing_that_loads(exported: Coldframe, tmp_path: Path) -> None:
    """Killed as soon as the fresh process has said what the written model says."""
    command = exported.command("export", "mlp", "--format", "openvino", "--output", tmp_path / "artefact")
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob(".artefact-*/rehearsal.npz")):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not [folder for folder in tmp_path.iterdir() if artefact.is_one(folder)]
    exported.forked("export", "mlp", "--format", "openvino", "--output", tmp_path / "artefact")
    assert [path.name for path in tmp_path.iterdir()] == ["artefact"]
    assert artefact.is_one(tmp_path / "artefact")


def stopping(function: Callable[..., Any], counted: Iterator[int], point: int) -> Callable[..., Any]:
    """The function, but for the call of all those counted together at which it stops."""

    def instead(*arguments: Any) -> Any:
        if next(counted) == point:
            raise KeyboardInterrupt
        return function(*arguments)

    return instead


@pytest.mark.exhaustive
def test_publishing_cut_short_at_any_of_its_operations_leaves_the_old_or_the_new(
    exported: Coldframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations = ("sync", "sync_folder", "rename")
    for point in range(100):
        made, final = tmp_path / "made", tmp_path / "final"
        shutil.copytree(of(exported, "openvino"), made)
        (made / cards.CARD).rename(made / cards.DRAFT)
        counted = itertools.count()
        with monkeypatch.context() as patched:
            for name in operations:
                patched.setattr(files, name, stopping(getattr(files, name), counted, point))
            try:
                artefact.publish(made, final)
            except KeyboardInterrupt:
                assert not artefact.is_one(made)
                if artefact.is_one(final):  # all but the last sync
                    artefact.read(final).load()
            else:
                break
        for folder in (made, final):
            shutil.rmtree(folder, ignore_errors=True)
    assert point > len(list(final.iterdir()))
    assert artefact.is_one(final)
