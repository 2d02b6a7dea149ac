"""Tune: Hyperband on cached features, killed and started again, and the run it makes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.coldframe import Coldframe, drawn

pytestmark = pytest.mark.slow

SHORT = ("--max-epochs", 4, "--factor", 2)
SPACE = "[tune.tuned]\nlayers = [1, 2]\nwidth = [8, 16]\n"


@pytest.fixture
def split_up(tmp_path: Path) -> Coldframe:
    """A store with colours, a test and a validation split, and a small space to search."""
    cf = Coldframe(tmp_path / "store")
    cf.ingest(drawn(tmp_path / "catalogue", per_class=16))
    cf("embed", "mean-colour")
    cf("split", "test", 0.2)
    cf("split", "val", 0.25)
    Path("coldframe.toml").write_text(SPACE)
    return cf


def scores(cf: Coldframe) -> list[Path]:
    """The files of the trials that have a score."""
    return sorted((cf.path / "tuning").glob("*/*.json"))


def test_the_best_settings_become_a_run_that_train_repeats(split_up: Coldframe) -> None:
    result = split_up("tune", *SHORT)
    run = split_up.rows("select * from runs")[0]
    assert result.stdout.strip() == run["run_id"]
    assert (run["name"], run["settings_chosen_on"]) == ("tuned", "val")
    settings = json.loads(run["settings"])
    assert 1 <= len(settings["units"]) <= 2
    assert set(settings["units"]) <= {8, 16, *range(8, 17)}
    assert settings["optimizer"] in ("adam", "adagrad")
    kept = [json.loads(file.read_text()) for file in scores(split_up)]
    assert max(one["score"] for one in kept) == pytest.approx(
        max(
            one["score"]
            for one in kept
            if one["units"] == settings["units"] and one["optimizer"] == settings["optimizer"]
        )
    )
    assert "that chose this run's epoch or settings" in split_up("evaluate", "--split", "val").stderr
    split_up("train", "--from", "tuned", "--as", "again")
    again = split_up.rows("select * from runs where name = 'again'")[0]
    assert json.loads(again["settings"]) == settings | {"chosen_by": run["run_id"]}
    assert json.loads(again["history"])["loss"] == pytest.approx(json.loads(run["history"])["loss"], abs=1e-4)


@pytest.mark.exhaustive
def test_a_killed_search_goes_on_and_ends_as_one_never_killed(split_up: Coldframe, tmp_path: Path) -> None:
    process = subprocess.Popen(
        split_up.command("tune", *SHORT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while len(scores(split_up)) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    known = len(scores(split_up))
    assert known >= 3
    assert split_up.value("select count(*) from runs") == 0
    scores(split_up)[0].write_text("half a sco")  # as a power cut may leave it
    said = split_up("tune", *SHORT).stderr
    assert f"{known - 1} of them known before" in said
    whole = Coldframe(tmp_path / "whole")
    whole.ingest(drawn(tmp_path / "catalogue", per_class=16))
    for arguments in (("embed", "mean-colour"), ("split", "test", 0.2), ("split", "val", 0.25), ("tune", *SHORT)):
        whole(*arguments)
    wanted, found = (json.loads(cf.rows("select settings from runs")[0]["settings"]) for cf in (whole, split_up))
    assert found == wanted
    assert [file.name for file in scores(split_up)] == [file.name for file in scores(whole)]


@pytest.mark.exhaustive
def test_another_search_never_reuses_a_score(split_up: Coldframe) -> None:
    split_up("tune", *SHORT)
    folders = {file.parent for file in scores(split_up)}
    assert len(folders) == 1
    assert "0 of them known before" in split_up("tune", *SHORT, "--seed", 1).stderr
    assert "0 of them known before" in split_up("tune", *SHORT, "--objective", "val_f1_macro").stderr
    split_up("split", "val", 0.4)
    assert "0 of them known before" in split_up("tune", *SHORT).stderr
    assert len({file.parent for file in scores(split_up)}) == 4


def test_what_a_search_needs_is_said(split_up: Coldframe, cf: Coldframe) -> None:
    Path("coldframe.toml").write_text("[tune.tuned]\nwidth = [16, 8]\n")
    assert "tune: width = (16, 8), expected the least and the most" in split_up("tune", code=1).stderr
    Path("coldframe.toml").write_text("[tune.tuned]\nhead = 'knn'\n")
    assert "tune: searches the head mlp, not knn" in split_up("tune", code=1).stderr
    Path("coldframe.toml").unlink()


def test_a_search_needs_validation_rows(ready: Coldframe) -> None:
    ready("split", "test", 0.2)
    assert "tune: settings are chosen on validation rows: 'coldframe split --store" in ready("tune", code=1).stderr


@pytest.mark.exhaustive
@pytest.mark.usefixtures("steps_here")
def test_run_searches_once(split_up: Coldframe) -> None:
    Path("coldframe.toml").write_text(SPACE + "max_epochs = 2\nfactor = 2\n")
    split_up("run")
    assert "tune --as tuned: up to date" in split_up("run", "--dry-run").stderr
    assert "evaluate tuned: up to date" in split_up("run", "--dry-run").stderr
    Path("coldframe.toml").write_text(SPACE + "max_epochs = 3\nfactor = 2\n")
    assert "tune --as tuned: settings changed: epochs, max_epochs" in split_up("run", "--dry-run").stderr


@pytest.mark.exhaustive
def test_rows_that_chose_the_settings_are_known_in_another_plan(split_up: Coldframe) -> None:
    split_up("tune", *SHORT)
    split_up("split", "test", 0.3, "--plan", "other", "--seed", 9)
    split_up("train", "--from", "tuned", "--plan", "other", "--as", "moved")
    chose = split_up.value(
        "select count(*) from splits a join splits b using (image_id) "
        "where a.plan = 'default' and a.split = 'val' and b.plan = 'other' and b.split = 'test'"
    )
    assert chose > 0
    said = split_up("evaluate", "moved").stderr
    assert f"{chose} rows have the bytes of an image that chose this run's epoch or settings" in said
    split_up("train", "--from", "tuned", "--plan", "other", "--head", "knn")
    run = split_up.rows("select name, settings_chosen_on, settings from runs where head = 'knn'")[0]
    assert (run["name"], run["settings_chosen_on"], json.loads(run["settings"])["input"]) == ("knn", None, "l2")
    assert "that chose" not in split_up("evaluate", "knn").stderr


@pytest.mark.exhaustive
def test_gc_removes_the_scores_of_searches_long_over(split_up: Coldframe) -> None:
    split_up("tune", *SHORT)
    assert scores(split_up)
    foreign = scores(split_up)[0].with_name("notes.txt")
    foreign.write_text("mine")
    assert "caches" not in split_up("gc").stdout
    assert "1 caches of scores of tune's trials" in split_up("gc", "--grace", "0s").stdout
    assert not scores(split_up)
    assert foreign.read_text() == "mine"
