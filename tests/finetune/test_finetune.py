"""Fine-tuning: the cut against the whole network, what changes and what must not, and what is kept of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline import recipe
from pipeline.embed.embedders.keras_applications import backbone
from pipeline.finetune import cut as cutting
from pipeline.finetune import loop
from pipeline.finetune.inputs import CutInputs, Inputs, WholeInputs
from pipeline.finetune.loop import Examples, Fit, Network, Schedule
from pipeline.runs.runs import Run
from pipeline.steps import config
from pipeline.train import classifier
from tests.support import backbones
from tests.support.coldframe import REPOSITORY, Coldframe, drawn

pytestmark = pytest.mark.slow

SET = backbones.NAME
SIZE = 64
LAST = "conv_pw_13"  # its last layer with weights that are trained
STEPS = Schedule("adam", 1e-3, 8, 2, 0, 0.1, 3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Coldframe:
    """A store with an mlp head on a small network of random weights."""
    folder = tmp_path_factory.mktemp("finetune")
    catalogue = drawn(folder / "catalogue", per_class=10)
    cf = Coldframe(folder / "store")
    cf.ingest(catalogue)
    cf("embed", SET, "--weights", backbones.save_weights(folder, (SIZE, SIZE)), "--size", f"{SIZE}x{SIZE}")
    cf("split", "test", "0.2")
    cf("split", "val", "0.2")
    cf("train", "--head", "mlp", "--units", "16", "--epochs", "3", "--embedder", SET)
    return cf


def weights_of(backbone_: Any) -> dict[str, npt.NDArray[Any]]:
    """By the layer's place, and its name where it has one of its own: some names are numbered anew for each network."""
    return {
        f"{layer.name if layer.name == LAST else place}/{weight.name}": array
        for place, layer in enumerate(backbone_.layers)
        for weight, array in zip(layer.weights, layer.get_weights(), strict=True)
    }


def tuned(cf: Coldframe, mode: str, kind: str = "float32") -> tuple[Fit, dict[str, Any], dict[str, Any], list[str]]:
    """Training by one way: how it went, the weights before and after, and the layers trained."""
    snapshot = cf.store.snapshot()
    run = Run.find(snapshot, "mlp")
    parts = classifier.parts(snapshot, run)
    layers = cutting.unfreeze(parts.backbone, 5)
    inputs: Inputs
    if mode == "cut":
        at = cutting.cut(parts.backbone, layers)
        assert at is not None
        inputs = CutInputs(cf.store, snapshot, parts, at, layers[0], cache_as=kind, max_disk=10**9, quiet=True)
    else:
        inputs = WholeInputs(snapshot, parts, "as asked", augment=None, memory_share=1.0, quiet=True)
    contents = np.array(sorted(set(snapshot.select("images", "content_id")["content_id"].to_pylist())))
    assert not inputs.prepare(contents.tolist())
    network = Network(inputs.body, parts.head, seed=3)
    before = weights_of(parts.backbone) | of_head(parts.head.arrays)
    targets = np.arange(len(contents)) % 3
    rows = Examples(
        lambda places, epoch: inputs.take(contents[places], epoch), targets, (1 + targets % 2).astype(np.float32)
    )
    fitted = loop.fit(network, rows, None, 3, STEPS)
    return fitted, before, weights_of(parts.backbone) | of_head(network.head_arrays(parts.head)), layers


def of_head(arrays: dict[str, Any]) -> dict[str, Any]:
    return {f"head {name}": array for name, array in arrays.items() if name != "layers"}


def difference(before: dict[str, Any], after: dict[str, Any]) -> npt.NDArray[np.float64]:
    """All that changed, in one vector."""
    return np.concatenate([(after[name] - before[name]).astype(np.float64).ravel() for name in before])


def assert_agreement(cf: Coldframe) -> None:
    whole, before, whole_after, layers = tuned(cf, "whole")
    cut, _, cut_after, _ = tuned(cf, "cut")
    assert layers == [LAST]
    assert np.allclose(cut.step_losses, whole.step_losses, rtol=1e-3)
    moved = difference(before, whole_after)
    assert np.linalg.norm(moved) > 0
    assert np.linalg.norm(difference(before, cut_after) - moved) <= 1e-2 * np.linalg.norm(moved)
    for after in (whole_after, cut_after):
        changed = {name for name in before if not np.array_equal(before[name], after[name])}
        # of the head the Dense layers at 1 and 3, not BatchNormalization at 0; and no statistic of any BatchNormalization
        assert changed == {
            f"{LAST}/kernel",
            *(f"head {place}/{name}" for place in (1, 3) for name in ("kernel", "bias")),
        }


def test_the_cut_trains_as_the_whole_network_does(trained: Coldframe) -> None:
    assert_agreement(trained)


@pytest.mark.exhaustive
def test_it_does_so_on_tensorflow_too(trained: Coldframe) -> None:
    """Where OpenVINO computes the activations."""
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom tests.support.coldframe import Coldframe\n"
        "os.environ['KERAS_BACKEND'] = 'tensorflow'\nfrom tests.finetune import test_finetune\n"
        "test_finetune.assert_agreement(Coldframe(Path(sys.argv[1])))\nassert {'tensorflow', 'openvino'} <= set(sys.modules)"
    )
    command = [sys.executable, "-c", program, str(trained.path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


@pytest.mark.exhaustive
def test_a_cache_in_float16_changes_little(trained: Coldframe) -> None:
    _, before, exact, _ = tuned(trained, "cut")
    _, _, short, _ = tuned(trained, "cut", "float16")
    moved = difference(before, exact)
    error = np.linalg.norm(difference(before, short) - moved) / np.linalg.norm(moved)
    print(f"a cache in float16 changes what training does by {error:.2%}")
    assert error <= 0.05


@pytest.mark.variants
@pytest.mark.parametrize("name", ["efficientnet-b4", "efficientnet-v2-b0", "resnet-50", "mobilenet-v3-small", "vgg-16"])
def test_networks_are_cut_where_one_tensor_goes_up(name: str) -> None:
    network = backbone(name, weights="random", size=(64, 64))
    layers = cutting.unfreeze(network, 5)
    place = cutting.cut(network, layers)
    assert place is not None
    pictures = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    between = np.asarray(place.below.predict_on_batch(pictures))
    assert between.shape[1:] == place.shape
    assert np.allclose(
        np.asarray(place.above.predict_on_batch(between)), np.asarray(network.predict_on_batch(pictures)), atol=1e-4
    )
    assert {one.name for one in place.above.layers if one.trainable_weights} == set(layers)


def test_a_run_is_tuned_kept_and_evaluated(trained: Coldframe) -> None:
    shutil.rmtree(trained.path / "activations", ignore_errors=True)  # those of other tests
    options = ("--layers", "5", "--lr", "1e-3", "--epochs", "2", "--batch", "8")
    done = trained("finetune", "mlp", *options)
    run = trained.rows("select * from runs where kind = 'finetuned' order by created_at desc limit 1")[0]
    assert done.stdout.strip() == run["run_id"]
    assert f"cut at conv_dw_13_relu: all below {LAST} is frozen" in done.stderr
    assert run["finetuned_from"] == Run.find(trained.store.snapshot(), "mlp").run_id
    gain = run["val_loss_before"] - run["val_loss_after"]
    better = (run["val_accuracy_after"], gain) > (run["val_accuracy_before"], 1e-4)
    assert run["helped"] == better
    assert ("did not help" in done.stderr) == (not better)
    folder = next((trained.path / "activations").iterdir())
    assert (
        sum(len(json.loads(path.read_text())) for path in folder.glob("*.json")) == run["train_rows"] + run["val_rows"]
    )
    trained("evaluate", run["run_id"], "--split", "val")
    row = trained.rows(f"select accuracy, loss from evaluations where run_id = '{run['run_id']}' and split = 'val'")[0]
    assert row["accuracy"] == pytest.approx(run["val_accuracy_after"], abs=1e-9)
    assert row["loss"] == pytest.approx(run["val_loss_after"], rel=1e-2)
    trained("evaluate", "mlp", "--split", "val")
    head = trained.rows(f"select loss from evaluations where run_id = '{run['finetuned_from']}' and split = 'val'")[0]
    assert head["loss"] == pytest.approx(run["val_loss_before"], rel=1e-2)


@pytest.mark.exhaustive
def test_the_whole_network_with_augmentation(trained: Coldframe) -> None:
    done = trained("finetune", "mlp", "--augment", "--epochs", "1", "--batch", "8", "--lr", "1e-4", "--as", "augmented")
    assert "whole, since --augment shows other pictures in every epoch" in done.stderr
    assert trained.rows("select epochs from runs where name = 'augmented'") == [{"epochs": 1}]


@pytest.mark.exhaustive
def test_activations_are_kept_within_bounds_and_collected(trained: Coldframe) -> None:
    shutil.rmtree(trained.path / "activations", ignore_errors=True)  # those of other tests
    options = ("finetune", "mlp", "--epochs", "1", "--batch", "8")
    refused = trained(*options, "--cache-as", "float32", "--max-disk", "10kB", code=1)
    assert (
        "more pictures would take 0.4 MB beside 0.0 MB that are there, and 0.0 MB are allowed: allow more with --max-disk"
        in refused.stderr
    )
    trained(*options, "--layers", "12", "--max-disk", "1MB")
    folders = {path.name for path in (trained.path / "activations").iterdir() if list(path.iterdir())}
    trained(*options, "--cache-as", "float32", "--max-disk", "450kB")
    left = {path.name for path in (trained.path / "activations").iterdir()}
    assert len(left - folders) == 1
    assert not folders & left
    assert "1 caches of activations" in trained("gc", "--grace", "0s", "--dry-run").output
    trained("gc", "--grace", "0s")
    assert not list((trained.path / "activations").iterdir())


@pytest.mark.exhaustive
def test_a_recipe_knows_when_it_is_out_of_date(trained: Coldframe, tmp_path: Path) -> None:
    file = tmp_path / "coldframe.toml"

    def reasons(text: str) -> dict[str, str]:
        file.write_text(text)
        found = recipe.stale(trained.store.snapshot(), config.load(file))
        return {step: reason for step, reason in found if "better" in step}

    asked = '[finetune.better]\nrun = "mlp"\nepochs = 1\n'
    assert reasons(asked) == {"finetune --as better": "never run", "evaluate better": "never run"}
    trained("finetune", "--as", "better", "--config", file)
    trained("evaluate", "better", "--config", file)
    assert not reasons(asked)
    assert reasons(asked + "layers = 8\n") == {"finetune --as better": "settings changed: layers"}


@pytest.mark.exhaustive
def test_a_lost_model_is_tuned_again_by_the_command_that_repair_names(trained: Coldframe, tmp_path: Path) -> None:
    cf = Coldframe(tmp_path / "store")
    shutil.copytree(trained.path, cf.path)
    cf("finetune", "mlp", "--epochs", "1", "--batch", "4", "--as", "lost")
    run = Run.find(cf.store.snapshot(), "lost")
    cf.store.snapshot().file("models", run.run_id).unlink()
    said = cf("repair").output
    command = f"finetune {run.finetuned_from} --as lost --epochs 1 --batch 4 --mode cut"
    assert command in said
    cf(*command.split())
    cf("evaluate", "lost")


def test_what_cannot_be_tuned_is_said(trained: Coldframe) -> None:
    for arguments, said in (
        (("mlp", "--layers", "1"), "the last 1 layers of mobilenet_1.00_64 have no weights to train"),
        (("mlp", "--layers", "9999"), "layers = 9999, expected from 1 to"),
        (("mlp", "--max-disk", "much"), "max_disk = 'much', expected a size such as 500MB or 20GB"),
        (("mlp", "--augment", "--mode", "cut"), "--augment needs --mode whole"),
    ):
        assert said in trained("finetune", *arguments, code=1).stderr
    assert "0.0 is not in the range x>0" in trained("finetune", "mlp", "--lr", "0", code=2).stderr
    trained("train", "--head", "knn", "--embedder", SET)
    assert "the head knn is no network, expected mlp, linear or logistic" in trained("finetune", "knn", code=1).stderr
    run = trained("finetune", "mlp", "--epochs", "1").stdout.strip()
    assert "is fine-tuned already: name the head it began with" in trained("finetune", run, code=1).stderr
    assert "looks at pictures, not at cached vectors" in trained("evaluate", run, "--tta", code=1).stderr
    assert "fine-tuned; name the head it began with" in trained("train", "--from", run, code=2).stderr
