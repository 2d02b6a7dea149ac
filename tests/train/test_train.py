"""Train and evaluate: heads on cached features, and every figure in the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli.app import cli
from pipeline.train import fitting
from tests.support.coldframe import Catalogue, Coldframe, drawn, picture

pytestmark = pytest.mark.slow


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
    cf("train", "--head", "mlp", "--units", 16, "--batch", 8)
    cf("evaluate", "mlp", "--mask-by", "phylum")
    return cf


def test_a_run_keeps_everything_that_made_it(trained: Coldframe) -> None:
    run = trained.rows("select * from runs where name = 'mlp'")[0]
    settings, history, versions = (json.loads(run[name]) for name in ("settings", "history", "versions"))
    assert settings["optimizer"] == "adagrad"
    assert settings["units"] == [16]
    assert settings["embedder"] == run["embedders"] == ["mean-colour"]
    assert (run["embedder"], run["kind"], run["seed"], run["views"]) == ("mean-colour", "head", 0, 0)
    assert len(history["loss"]) == len(history["val_loss"]) == run["epochs"]
    assert {"keras", "tensorflow", "numpy", "coldframe"} <= set(versions)
    assert (run["train_rows"], run["val_rows"], run["classes"]) == (36, 9, 3)
    assert len(run["features_digest"]) == 32
    assert trained.store.snapshot().file("models", run["run_id"]).suffix == ".npz"


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
    assert "f1_macro" in trained("runs").stdout
    assert "ask for one at a time" in trained("evaluate", "--per-class", "--confusion", code=2).stderr


def test_runs_are_found_by_id_name_and_start_of_id(trained: Coldframe) -> None:
    run_id = trained.value("select run_id from runs where name = 'linear'")
    for given in (run_id, "linear", run_id[:15] + run_id[15:-1]):
        rows = json.loads(trained("evaluate", given, "--format", "json").stdout)
        assert rows[0]["run_id"] == run_id
    assert "no run 'nosuch'; the newest are: " in trained("evaluate", "nosuch", code=1).stderr
    assert f"'{run_id[:4]}' may be any of " in trained("evaluate", run_id[:4], code=1).stderr


def test_equal_seeds_train_equally(trained: Coldframe) -> None:
    for name in ("one", "two"):
        trained("train", "--head", "mlp", "--units", 8, "--epochs", 3, "--as", name)
    one, two = (
        json.loads(row["history"]) for row in trained.rows("select history from runs where name in ('one', 'two')")
    )
    assert np.allclose(one["val_loss"], two["val_loss"], atol=1e-5)
    digests = trained.rows("select distinct features_digest from runs where name in ('one', 'two')")
    assert len(digests) == 1


@pytest.mark.exhaustive
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
    assert "masked:phylum: 1 rows are of classes without a training row, counted as errors: owl" in said
    assert "masked:phylum: 1 rows have a label that the mask rules out: counted as errors, loss capped" in said
    assert "masked:phylum: 1 rows have a value not seen in training: left unmasked" in said
    row = cf.rows("select * from evaluations where evaluation = 'masked:phylum'")[0]
    assert (row["label_unseen"], row["label_masked"], row["rows_unmasked"], row["loss_capped"]) == (1, 1, 1, 2)
    one = cf.rows(f"select * from predictions where evaluation = 'masked:phylum' and image_id = '{moth['id']}'")[0]
    assert one["label_probability"] == 0
    assert one["predicted"] != "moth"
    assert "no column 'order' in images; columns: image_id" in cf("evaluate", "--mask-by", "order", code=1).stderr


@pytest.mark.exhaustive
def test_rows_the_run_was_trained_on_are_counted(tmp_path: Path) -> None:
    cf = Coldframe(tmp_path / "store")
    cf.ingest(drawn(tmp_path / "catalogue", per_class=10))
    cf("embed", "mean-colour")
    cf("split", "test", 0.3)
    cf("train", "--head", "linear", "--epochs", 1)
    cf("split", "test", 0.3, "--seed", 5)
    assert "have the bytes of an image this run was trained on: the figures are too optimistic" in cf("evaluate").stderr


def test_what_training_needs_is_said(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    assert "which feature set? Name it with --embedder; the store has none" in cf("train", code=1).stderr
    cf("embed", "mean-colour")
    assert "no plan 'default' has been replayed" in cf("train", code=1).stderr
    cf("split", "test", 0.2)
    assert (
        "no head 'nosuch'; available: centroid, knn, linear, logistic, mlp"
        in cf("train", "--head", "nosuch", code=1).stderr
    )
    assert "'lion' is not one of 'adagrad', 'adam'" in cf("train", "--optimizer", "lion", code=2).stderr
    assert "-1 is not in the range x>=0" in cf("train", "--seed", -1, code=2).stderr
    assert "no run yet; 'coldframe train" in cf("evaluate", code=1).stderr
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


@pytest.mark.exhaustive
def test_rows_without_a_vector_are_left_out_and_counted(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    catalogue.add("late", "moth", picture("moth", 700))
    catalogue.write()
    cf.ingest(catalogue)
    cf("split", "test", 0.2)
    assert (
        "1 train rows have no vector in mean-colour and are left out"
        in cf("train", "--head", "linear", "--epochs", 1).stderr
    )


def test_a_learning_rate_far_too_high_is_said(ready: Coldframe) -> None:
    ready("split", "test", 0.2)
    said = ready("train", "--optimizer", "sgd", "--learning-rate", 1e30, "--head", "linear", code=1).stderr
    assert "training diverged (the loss is not finite): try a learning rate below 1e+30" in said


def test_every_head_is_a_run_that_can_be_evaluated(trained: Coldframe) -> None:
    for name in ("logistic", "knn", "centroid"):
        trained("train", "--head", name)
        row = json.loads(trained("evaluate", name, "--format", "json").stdout)[0]
        assert row["accuracy"] >= 0.9, name
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
        assert row["top5"] == 1  # of three classes
        assert 0 <= row["calibration_error"] <= 1
    run = trained.rows("select * from runs where name = 'knn'")[0]
    assert (run["val_rows"], run["epochs"]) == (0, 0)  # validation rows had no say in it
    said = trained("train", "--head", "knn", "--units", 8, code=1).stderr
    assert "train: the head knn has no --units; it takes --input, --seed, --k" in said
    said = trained("train", "--head", "zero-shot", "--embedder", "mean-colour", code=1).stderr
    assert "zero-shot: the feature set 'mean-colour' is of mean-colour, which reads no text" in said
    assert "the head logistic sees each row once" in trained("train", "--head", "logistic", "--views", 1, code=1).stderr


def test_feature_sets_are_joined(ready: Coldframe) -> None:
    trained = ready
    trained("split", "test", 0.25)
    trained("embed", "mean-colour", "--as", "finer", "--size", "6x6")
    both = ("--embedder", "mean-colour", "--embedder", "finer")
    trained("train", "--head", "linear", "--as", "joined", *both, "--input", "l2")
    run = trained.rows("select * from runs where name = 'joined'")[0]
    assert run["embedder"] == "mean-colour + finer"
    assert run["embedders"] == ["mean-colour", "finer"]
    assert run["parameters"] == 4 * 156 + 156 * 3 + 3  # 48 and 108 numbers a row
    row = json.loads(trained("evaluate", "joined", "--format", "json").stdout)[0]
    assert row["accuracy"] >= 0.9
    twice = trained("train", "--embedder", "finer", "--embedder", "finer", code=1).stderr
    assert "--embedder names a feature set twice: finer, finer" in twice


def test_feature_sets_without_a_row_in_common_are_said(ready: Coldframe) -> None:
    ready("split", "test", 0.25)
    ready("embed", "mean-colour", "--as", "few", "--size", "2x2", "--limit", 0)
    said = ready("train", "--embedder", "mean-colour", "--embedder", "few", code=1).stderr
    assert "the feature sets mean-colour, few have no train row of plan 'default' in common (0 in few)" in said


def test_vectors_that_are_no_numbers_are_said(ready: Coldframe) -> None:
    import pyarrow as pa

    from store.matrices import from_matrix

    ready("split", "test", 0.25)
    content = ready.value("select content_id from kept where split = 'train' order by image_id limit 1")
    rows = ready.store.snapshot().query("steps/embed/vectors", embedder="mean-colour", view=0)
    matrix = np.array(rows["vector"].to_pylist(), np.float32)
    matrix[rows["content_id"].to_pylist().index(content)] = np.nan
    table = {"content_id": rows["content_id"], "embedder": ["mean-colour"] * len(rows), "vector": from_matrix(matrix)}
    with ready.store.commit("test") as commit:
        commit.replace("embeddings", pa.table(table | {"view": [0] * len(rows)}), key="mean-colour")
    said = ready("train", code=1).stderr
    assert (
        "the feature set 'mean-colour' has vectors that are not finite, or have numbers beyond 1e+15, such as that"
        in said
    )
    assert f"of content {content}: embed those images anew" in said


def test_a_matrix_too_large_for_memory_lies_on_disk_and_learns_the_same(trained: Coldframe) -> None:
    for share in (0.5, 0):
        trained(
            "train",
            "--head",
            "mlp",
            "--units",
            8,
            "--input",
            "standard",
            "--as",
            f"share-{share}",
            "--memory-share",
            share,
        )
    one, two = (
        json.loads(row["history"])
        for row in trained.rows("select history from runs where name like 'share-%' order by 1")
    )
    assert one["val_loss"] == pytest.approx(two["val_loss"], abs=1e-6)
    assert {path.name for path in trained.path.iterdir()} <= {"locks", "manifests", "parts"}  # nothing is left there


@pytest.mark.exhaustive
def test_folds_predict_every_training_row_by_a_head_that_has_not_seen_it(tmp_path: Path) -> None:
    catalogue = drawn(tmp_path / "catalogue", per_class=12)
    for number in range(6):  # copies, which must not be told apart
        catalogue.add(f"copy-{number}", "finch", picture("finch", number))
    catalogue.write()
    cf = Coldframe(tmp_path / "store")
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    cf("split", "test", 0.25)
    said = cf("train", "--head", "knn", "--k", 1, "--folds", 4).stderr
    assert "out of fold: accuracy" in said
    rows = cf.rows("select * from predictions where evaluation = 'folds:4'")
    assert {row["image_id"] for row in rows} == {
        row["image_id"] for row in cf.rows("select image_id from kept where split = 'train'")
    }
    # one neighbour, and it is never the row itself or a copy of it: then its distance would be 0 and its vote whole and sure
    pairs = cf.rows(
        "select count(*) as pairs from copies join kept a using (image_id) join kept b on b.image_id = original_id "
        "where a.split = 'train' and b.split = 'train'"
    )
    assert pairs[0]["pairs"] > 0
    row = cf.rows("select * from evaluations where evaluation = 'folds:4'")[0]
    assert (row["split"], row["rows"], row["rows_trained_on"]) == ("train", len(rows), 0)
    assert "train: folds = 1, expected 0 or from 2 to 1000" in cf("train", "--folds", 1, code=1).stderr
    assert "units that stay together: ask for fewer" in cf("train", "--head", "knn", "--folds", 900, code=1).stderr
    assert "no class has more than" in cf("train", "--head", "knn", "--folds", 20, code=1).stderr


@pytest.mark.exhaustive
def test_a_class_in_one_fold_is_reported(tmp_path: Path) -> None:
    catalogue = drawn(tmp_path / "catalogue", per_class=6)
    catalogue.add("only", "owl", picture("moth", 99))
    catalogue.write()
    cf = Coldframe(tmp_path / "store")
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    cf("split", "val", 0.2)
    said = cf("train", "--head", "centroid", "--folds", 3).stderr
    assert "1 classes have all their rows in one fold, so out of fold none of those can be right: owl" in said
    assert "1 classes have no validation row: owl" in said
    assert "1 classes of the run have no row here and are in no figure: owl" in cf("evaluate", "--split", "val").stderr


@pytest.mark.exhaustive
def test_several_seeds_are_several_runs(trained: Coldframe) -> None:
    ids = trained("train", "--head", "mlp", "--units", 8, "--as", "seeded", "--seed", 3, "--seeds", 3).stdout.split()
    assert len(ids) == 3
    for run_id in ids:
        trained("evaluate", run_id)
    rows = json.loads(
        trained("runs", "--where", "name=seeded", "--sort", "seed", "--ascending", "--format", "json").stdout
    )
    assert [row["seed"] for row in rows] == [3, 4, 5]
    pooled = json.loads(trained("runs", "--seeds", "--where", "name=seeded", "--format", "json").stdout)
    assert len(pooled) == 1
    assert pooled[0]["seeds"] == 3
    assert pooled[0]["rows"] == 15  # and not 45
    assert pooled[0]["accuracy"] == pytest.approx(np.mean([row["accuracy"] for row in rows]))
    assert pooled[0]["row_sets"] == 1
    assert pooled[0]["accuracy_deviation"] is not None
    for run_id in trained("train", "--head", "centroid", "--as", "undrawn", "--seeds", 2).stdout.split():
        trained("evaluate", run_id, "--split", "train")
    result = trained("runs", "--seeds", "--split", "train", "--where", "name=undrawn", "--format", "json")
    row = json.loads(result.stdout)[0]
    assert (row["seeds"], row["accuracy_deviation"], row["rows_trained_on"]) == (2, None, 36)
    assert "draw nothing at random: their seeds are one measurement" in result.stderr
    assert "1 runs were trained on some of these rows" in result.stderr


def test_a_run_is_repeated_from_its_settings(trained: Coldframe) -> None:
    first = trained("train", "--head", "mlp", "--units", 8, "--units", 4, "--optimizer", "adam", "--as", "deep").stdout
    trained("train", "--from", first.strip(), "--as", "again")
    trained("train", "--from", "deep", "--as", "other", "--dropout", 0.1)
    deep, again, other = (
        trained.rows(f"select settings, history from runs where name = '{name}'")[0]
        for name in ("deep", "again", "other")
    )
    assert json.loads(deep["settings"]) == json.loads(again["settings"])
    assert json.loads(deep["history"])["loss"] == pytest.approx(json.loads(again["history"])["loss"], abs=1e-4)
    assert json.loads(other["settings"])["units"] == [8, 4]
    assert json.loads(other["settings"])["dropout"] == 0.1
    trained("train", "--from", "deep", "--head", "linear", "--epochs", 2)
    row = trained.rows("select name, settings from runs order by created_at desc limit 1")[0]
    settings = json.loads(row["settings"])
    assert (row["name"], settings["learning_rate"], settings["early_stopping"]) == ("linear", 0.003, 10)
    said = trained("train", "--from", "deep", "--from-scratch", "cnn", code=2).stderr
    assert "--from deep: a head, whose settings are of no use to --from-scratch" in said


def test_figures_by_a_column_of_the_catalogue(trained: Coldframe) -> None:
    rows = json.loads(trained("evaluate", "mlp", "--group-by", "phylum", "--format", "json").stdout)
    assert [(row["column"], row["value"], row["classes"]) for row in rows] == [
        ("phylum", "arthropoda", 1),
        ("phylum", "chordata", 2),
    ]
    assert sum(row["rows"] for row in rows) == 15
    stored = trained.rows("select * from group_evaluations order by value")
    assert [row["accuracy"] for row in stored] == [row["accuracy"] for row in rows]
    assert all(row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"] for row in rows)
    assert "no column 'colour' in images" in trained("evaluate", "--group-by", "colour", code=1).stderr
    trained("evaluate", "mlp")  # what was looked at by a column is brought up to date with the rest
    assert len(trained.rows("select * from group_evaluations where run_id like '%-mlp-%'")) == 2


@pytest.mark.exhaustive
def test_two_runs_are_compared_on_common_rows(trained: Coldframe) -> None:
    trained("train", "--head", "linear", "--epochs", 5, "--as", "short")
    trained("evaluate", "short")
    result = trained("runs", "--against", "mlp", "mlp", "--format", "json")
    same = json.loads(result.stdout)
    assert [(row["measure"], row["difference"]) for row in same] == [("accuracy", 0), ("f1_macro", 0)]
    assert "McNemar's exact p = 1" in result.stderr
    rows = json.loads(trained("runs", "--against", "mlp", "short", "--format", "json").stdout)
    assert rows[0]["difference"] == pytest.approx(rows[0]["first"] - rows[0]["second"])
    assert rows[0]["difference_low"] <= rows[0]["difference"] <= rows[0]["difference_high"]
    trained("train", "--head", "centroid", "--as", "unseen")
    assert (
        "has no predictions of plain on test: 'coldframe evaluate"
        in trained("runs", "--against", "mlp", "unseen", code=1).stderr
    )
    assert "compares two runs" in trained("runs", "--against", "mlp", "short", "--seeds", code=2).stderr
    assert "runs have no column 'nosuch'; columns: run_id" in trained("runs", "--sort", "nosuch", code=1).stderr


def test_rows_that_chose_the_epoch_are_said(trained: Coldframe) -> None:
    said = trained("evaluate", "mlp", "--split", "val").stderr
    assert (
        "9 rows have the bytes of an image that chose this run's epoch or settings: the figures are too optimistic"
        in said
    )
    board = trained("runs", "--split", "val", "--format", "json")
    assert any(row["rows_selected_on"] == 9 for row in json.loads(board.stdout))
    assert "their figures are too optimistic" in board.stderr


def test_a_file_of_an_earlier_version_still_has_its_runs(trained: Coldframe) -> None:
    """Parts without the columns that came since."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    newer = ("kind", "embedders", "seed", "views", "settings_chosen_on")
    for part in trained.store.snapshot().manifest.parts("runs"):
        path = trained.path / part.path
        table = pq.read_table(path)
        if table.num_rows and table["name"][0].as_py() == "linear":
            pq.write_table(pa.table(table.drop_columns(list(newer))), path)
    row = trained.rows("select * from runs where name = 'linear'")[0]
    assert (row["kind"], row["embedders"], row["seed"]) == ("head", ["mean-colour"], None)


@pytest.mark.exhaustive
def test_another_plan_is_an_evaluation_of_its_own(ready: Coldframe) -> None:
    ready("split", "test", 0.25)
    ready("train", "--head", "centroid")
    ready("evaluate")
    ready("split", "test", 0.5, "--plan", "other", "--seed", 3)
    said = ready("evaluate", "--plan", "other", "--mask-by", "phylum").stderr
    assert "plan:other: F1 is over the 3 classes" in said
    assert "have the bytes of an image this run was trained on" in said
    rows = {row["evaluation"]: row["rows"] for row in ready.rows("select evaluation, rows from evaluations")}
    assert rows == {"plain": 6, "plan:other": 12, "plan:other,masked:phylum": 12}
    board = ready("runs", "--evaluation", "plan:other", "--format", "json")
    assert json.loads(board.stdout)[0]["rows"] == 12
    said = ready("runs", "--against", "centroid", "centroid", "--evaluation", "plan:other").stderr
    assert "are rows that it was trained on: its figures are too optimistic" in said
    assert "the intervals are of units that plan 'other' keeps together" in said


@pytest.mark.exhaustive
def test_runs_whose_labels_have_all_changed_cannot_be_compared(ready: Coldframe, catalogue: Catalogue) -> None:
    ready("split", "test", 0.25)
    for name in ("before", "after"):
        ready("train", "--head", "centroid", "--as", name)
    ready("evaluate", "before")
    label = {"finch": "heron", "heron": "moth", "moth": "finch"}
    for row in catalogue.rows:
        row["label"] = label[row["label"]]
    catalogue.write()
    ready.ingest(catalogue)
    ready("evaluate", "after")
    said = ready("runs", "--against", "before", "after", code=1).stderr
    assert "all 6 rows of test that both have predicted had another label when the other was evaluated" in said


@pytest.mark.exhaustive
@pytest.mark.usefixtures("steps_here")
def test_an_evaluation_is_out_of_date_when_its_vectors_are_new(ready: Coldframe, catalogue: Catalogue) -> None:
    Path("coldframe.toml").write_text(
        "[plans.default]\nstages = [{ split = 'test', share = 0.25 }]\n[train.centroid]\n[evaluate]\n"
    )
    ready("run")
    assert "evaluate centroid: up to date" in ready("run", "--dry-run").stderr
    ready("embed", "mean-colour", "--views", 1)  # of training rows, which it does not read
    assert "evaluate centroid: up to date" in ready("run", "--dry-run").stderr
    for number in range(4):
        for name in sorted({row["label"] for row in catalogue.rows}):
            catalogue.add(f"new-{name}-{number}", name, picture(name, 500 + number))
    catalogue.write()
    ready.ingest(catalogue)
    ready("curate")
    ready("evaluate", "centroid")
    assert "evaluate centroid: up to date" in ready("run", "--dry-run").stderr
    ready("embed", "mean-colour")
    assert ready.value("select count(*) from splits where split = 'test' and image_id like 'new-%'") > 0
    assert "evaluate centroid: changed since: embeddings of mean-colour" in ready("run", "--dry-run").stderr


def test_a_setting_of_the_file_that_a_head_does_not_heed_is_said(trained: Coldframe) -> None:
    Path("coldframe.toml").write_text("[train.knn]\nunits = 8\n")
    assert "train: the head knn has no --units" in trained("train", "--head", "knn", code=1).stderr


def test_a_fit_that_had_not_converged_is_said(trained: Coldframe, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.train.heads import logistic

    monkeypatch.setattr(logistic, "ITERATIONS", 1)
    said = trained("train", "--head", "logistic", "--as", "stopped").stderr
    assert "note: logistic had not converged after 1 iterations: try a lower --strength" in said


def test_a_diverged_run_is_not_stored(ready: Coldframe) -> None:
    ready("split", "test", 0.2)
    ready("split", "val", 0.2)
    for words in (
        ("--head", "mlp", "--optimizer", "adagrad", "--learning-rate", 1e38, "--early-stopping", 0, "--epochs", 3),
        ("--head", "linear", "--learning-rate", 1e38, "--epochs", 2),
        ("--head", "linear", "--learning-rate", 3e38, "--epochs", 1),
    ):
        result = CliRunner().invoke(cli, ["-s", str(ready.path), "train", *map(str, words)])
        if result.exit_code:
            assert "training diverged" in result.stderr
        for row in ready.rows("select history from runs"):
            history = json.loads(row["history"])
            assert all(np.isfinite(history[name]).all() for name in history)
    for run in ready.rows("select run_id from runs"):
        ready("evaluate", run["run_id"])


@pytest.mark.exhaustive
def test_what_is_not_finite_is_checked_before_the_commit(ready: Coldframe, monkeypatch: pytest.MonkeyPatch) -> None:
    ready("split", "test", 0.2)
    real = fitting.fit

    broken_part = ["weights", "history"]

    def broken(*given: Any) -> Any:
        head, fitted = real(*given)
        if broken_part.pop() == "weights":
            name = next(name for name, array in head.arrays.items() if array.dtype.kind == "f")
            head.arrays[name] = np.full_like(head.arrays[name], np.inf)
        else:
            fitted.history["val_loss"] = [1.0, np.nan]
        return head, fitted

    monkeypatch.setattr(fitting, "fit", broken)
    for _ in range(2):
        assert "is not finite), so the run is not stored" in ready("train", "--head", "linear", code=1).stderr
    assert ready.value("select count(*) from runs") == 0


@pytest.mark.exhaustive
def test_case_is_alike_in_masks_and_unseen_classes_are_named(cf: Coldframe, catalogue: Catalogue) -> None:
    for row in catalogue.rows:
        is_test = row["id"].endswith(("6", "7"))
        row["part"] = "test" if is_test else "train"
        row["phylum"] = row["phylum"].upper() if is_test else row["phylum"]
    catalogue.rows[7]["label"] = "Finch"  # a row of test
    catalogue.write()
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    cf("split", "test", "--where", "part = 'test'")
    cf("train", "--head", "centroid")
    said = cf("evaluate", "--mask-by", "phylum").stderr
    assert "value not seen in training" not in said
    assert "1 rows are of classes without a training row, counted as errors: Finch (did you mean finch?)" in said
    masked = cf.rows("select image_id, predicted from predictions where evaluation = 'masked:phylum'")
    assert {one["predicted"] for one in masked if one["image_id"].startswith("moth")} == {"moth"}
    assert all(one["predicted"] != "moth" for one in masked if not one["image_id"].startswith("moth"))
