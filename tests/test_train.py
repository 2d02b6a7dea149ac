"""Train and evaluate: heads on cached features, and every figure in the store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Catalogue, Coldframe, drawn, picture


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Coldframe:
    """A store with an mlp and a linear run on easy colours, evaluated plain and masked."""
    folder = tmp_path_factory.mktemp("trained")
    cf = Coldframe(folder / "store")
    cf.ingest(drawn(folder / "catalogue", per_class=20))
    cf("embed", "mean-colour")
    cf("split", "test", 0.25)
    cf("split", "val", 0.2)
    cf("train", "--head", "linear", "--epochs", 5)
    cf("train", "--head", "mlp", "--units", 16)
    cf("evaluate", "mlp", "--mask-by", "phylum")
    return cf


def test_a_run_keeps_everything_that_made_it(trained: Coldframe) -> None:
    run = trained.rows("select * from runs where name = 'mlp'")[0]
    settings, history, versions = (json.loads(run[name]) for name in ("settings", "history", "versions"))
    assert settings["optimizer"] == "adagrad"
    assert settings["units"] == 16
    assert settings["embedder"] == run["embedder"] == "mean-colour"
    assert len(history["loss"]) == len(history["val_loss"]) == run["epochs"]
    assert {"keras", "tensorflow", "numpy", "coldframe"} <= set(versions)
    assert (run["train_rows"], run["val_rows"], run["classes"]) == (36, 9, 3)
    assert len(run["features_digest"]) == 32
    assert trained.store.snapshot().file("models", run["run_id"]).suffix == ".keras"


def test_the_head_learns_colours(trained: Coldframe) -> None:
    row = trained.rows("select * from evaluations where evaluation = 'plain'")[0]
    assert row["rows"] == 15
    assert row["accuracy"] >= 0.9
    assert row["classes"] == 3
    predictions = trained.rows("select * from predictions where evaluation = 'plain'")
    assert np.mean([one["label"] == one["predicted"] for one in predictions]) == pytest.approx(row["accuracy"])
    assert all((one["rank"] == 1) == (one["label"] == one["predicted"]) for one in predictions)
    assert trained.value("select test_accuracy from runs where name = 'mlp'") == row["accuracy"]
    assert trained.value("select sum(images) from confusion where evaluation = 'plain'") == 15


def test_the_mask_leaves_a_phylum_of_one_class_no_choice(trained: Coldframe) -> None:
    moths = trained.rows("select * from predictions where evaluation = 'masked:phylum' and label = 'moth'")
    assert moths
    assert all(one["predicted"] == "moth" and one["probability"] == pytest.approx(1) for one in moths)
    birds = trained.rows("select * from predictions where evaluation = 'masked:phylum' and label <> 'moth'")
    assert all(one["predicted"] != "moth" for one in birds)


def test_evaluate_prints_and_states_the_label_set(trained: Coldframe) -> None:
    result = trained("evaluate", "linear", "--split", "val")
    assert "val" in result.stdout
    assert "plain: F1 is over the 3 classes present in the 9 rows evaluated" in result.stderr
    assert "validation rows were carved out after filtering" in result.stderr
    assert "precision" in trained("evaluate", "mlp", "--per-class").stdout
    assert "predicted" in trained("evaluate", "mlp", "--confusion").stdout
    assert "test_accuracy" in trained("runs").stdout
    assert "ask for one at a time" in trained("evaluate", "--per-class", "--confusion", code=2).stderr


def test_runs_are_found_by_id_name_and_start_of_id(trained: Coldframe) -> None:
    run_id = trained.value("select run_id from runs where name = 'linear'")
    for given in (run_id, "linear", run_id[:15] + run_id[15:-1]):
        rows = json.loads(trained("evaluate", given, "--format", "json").stdout)
        assert rows[0]["run_id"] == run_id
    assert "no run 'nosuch'; the newest are: " in trained("evaluate", "nosuch", code=1).stderr


def test_equal_seeds_train_equally(trained: Coldframe) -> None:
    for name in ("one", "two"):
        trained("train", "--head", "mlp", "--units", 8, "--epochs", 3, "--as", name)
    one, two = (
        json.loads(row["history"]) for row in trained.rows("select history from runs where name in ('one', 'two')")
    )
    assert np.allclose(one["val_loss"], two["val_loss"], atol=1e-5)
    digests = trained.rows("select distinct features_digest from runs where name in ('one', 'two')")
    assert len(digests) == 1


def test_labels_and_groups_that_training_has_not_seen(tmp_path: Path) -> None:
    catalogue = drawn(tmp_path / "catalogue", per_class=10)
    cf = Coldframe(tmp_path / "store")
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    cf("split", "test", 0.3)
    cf("train", "--head", "linear", "--epochs", 2)
    test_rows = {row["image_id"] for row in cf.rows("select image_id from kept where split = 'test'")}
    changed = [row for row in catalogue.rows if row["id"] in test_rows]
    changed[0]["label"] = "owl"  # a class without a training row
    changed[1]["phylum"] = "mollusca"  # a group training has not seen
    moth = next(row for row in changed[2:] if row["label"] == "moth")
    moth["phylum"] = "chordata"  # its label never occurs there in training
    catalogue.write()
    cf.ingest(catalogue)
    said = cf("evaluate", "--mask-by", "phylum", "--split", "test").stderr
    assert "masked:phylum: 1 rows are of classes without a training row: counted as errors" in said
    assert "masked:phylum: 1 rows have a label that the mask rules out: counted as errors, loss capped" in said
    assert "masked:phylum: 1 rows have a value not seen in training: left unmasked" in said
    row = cf.rows("select * from evaluations where evaluation = 'masked:phylum'")[0]
    assert (row["label_unseen"], row["label_masked"], row["rows_unmasked"], row["loss_capped"]) == (1, 1, 1, 2)
    one = cf.rows(f"select * from predictions where evaluation = 'masked:phylum' and image_id = '{moth['id']}'")[0]
    assert one["label_probability"] == 0
    assert one["predicted"] != "moth"
    assert "no column 'order' to mask by; columns: image_id" in cf("evaluate", "--mask-by", "order", code=1).stderr


def test_rows_the_run_was_trained_on_are_counted(tmp_path: Path) -> None:
    cf = Coldframe(tmp_path / "store")
    cf.ingest(drawn(tmp_path / "catalogue", per_class=10))
    cf("embed", "mean-colour")
    cf("split", "test", 0.3)
    cf("train", "--head", "linear", "--epochs", 1)
    cf("split", "test", 0.3, "--seed", 5)
    assert "have the bytes of an image this run was trained on: the figures flatter" in cf("evaluate").stderr


def test_what_training_needs_is_said(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    assert "which feature set? Name it with --embedder; the store has none" in cf("train", code=1).stderr
    cf("embed", "mean-colour")
    assert "no plan 'default' has been replayed" in cf("train", code=1).stderr
    cf("split", "test", 0.2)
    assert "no head 'nosuch'; available: linear, mlp" in cf("train", "--head", "nosuch", code=1).stderr
    assert "no optimiser 'lion'; available: adagrad" in cf("train", "--optimizer", "lion", code=1).stderr
    assert "train: seed = -1, expected from 0" in cf("train", "--seed", -1, code=1).stderr
    assert "no run yet; 'coldframe train --head mlp' makes one" in cf("evaluate", code=1).stderr
    said = cf("train", "--head", "linear", "--epochs", 1).stderr
    assert "no validation split: training stops by the training loss" in said
    assert (
        "no labelled rows with vectors in split 'val'; splits: test, train"
        in cf("evaluate", "--split", "val", code=1).stderr
    )
    for row in catalogue.rows:
        row["label"] = "finch"
    catalogue.write()
    cf.ingest(catalogue)
    assert "of 1 classes with vectors in mean-colour; expected at least two classes" in cf("train", code=1).stderr


def test_rows_without_a_vector_are_left_out_and_counted(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    catalogue.add("late", "moth", picture("moth", 700))
    catalogue.write()
    cf.ingest(catalogue)
    cf("split", "test", 0.2)
    assert (
        "1 rows have no vector in mean-colour and are left out" in cf("train", "--head", "linear", "--epochs", 1).stderr
    )


def test_a_learning_rate_far_too_high_is_said(ready: Coldframe) -> None:
    ready("split", "test", 0.2)
    said = ready("train", "--optimizer", "sgd", "--learning-rate", 1e30, "--head", "linear", code=1).stderr
    assert "training diverged (the loss is not finite): try a learning rate below 1e+30" in said
