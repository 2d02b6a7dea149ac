"""Augmented views in a store: made beside the pictures as they are, never of two makings, and seen on a sheet."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from PIL import Image

from pipeline.embed import augmentation, embedders, feature_sets
from pipeline.embed.augmentation import Augmentation
from pipeline.embed.embedders import Options, mean_colour
from store.matrices import from_matrix
from tests.support.coldframe import REPOSITORY, Catalogue, Coldframe, drawn, flip, killed, parts_of, picture
from tests.whole.test_run import RECIPE

pytestmark = pytest.mark.slow


@pytest.fixture
def split(ready: Coldframe) -> Coldframe:
    """A store with pictures embedded and a quarter of them for testing."""
    ready("split", "test", 0.25)
    return ready


def stored(cf: Coldframe, name: str = "mean-colour") -> dict[tuple[str, int], npt.NDArray[np.float32]]:
    """The vectors of a set by content and view."""
    snapshot = cf.store.snapshot()
    found: dict[tuple[str, int], npt.NDArray[np.float32]] = {}
    for view in feature_sets.views(snapshot, name):
        known = feature_sets.vectors(snapshot, name, view)
        assert known.content_ids.tolist() == sorted(known.content_ids)
        found |= {(content, view): vector for content, vector in zip(known.content_ids, known.matrix, strict=True)}
    return found


def same(some: dict[tuple[str, int], Any], others: dict[tuple[str, int], Any]) -> bool:
    return some.keys() == others.keys() and all(np.allclose(some[key], others[key], atol=1e-5) for key in some)


def test_training_rows_get_views_and_each_is_what_its_draw_says(split: Coldframe, catalogue: Catalogue) -> None:
    digest = split.value("select digest from feature_sets")
    said = split("embed", "mean-colour", "--views", 3).stderr
    assert "24 cached, 0 embedded" in said
    assert "mean-colour, views 1 to 3: 0 cached, 54 embedded" in said
    assert split.rows("select split, count(*) as n from training_set where view > 0 group by split") == [
        {"split": "train", "n": 54}
    ]
    assert feature_sets.views(split.store.snapshot(), "mean-colour") == [0, 1, 2, 3]
    assert split.value("select digest from feature_sets") == digest
    row = split.rows("select image_id, content_id, path from kept where split = 'train' order by image_id limit 1")[0]
    image, network = Image.open(catalogue.images / row["path"]), embedders.load("mean-colour", Options())
    drawn = augmentation.draw(Augmentation(), row["content_id"], 2)
    view = augmentation.views(image, [drawn], size=network.working_size(image))[0]
    wanted = network.embed([network.prepare(view)])[0]
    assert np.allclose(stored(split)[row["content_id"], 2], wanted, atol=1e-6)
    assert "FAILED" not in split("verify").stdout


def test_views_are_the_same_in_any_order_batch_and_number_of_goes(split: Coldframe, catalogue: Catalogue) -> None:
    """Pictures first or with their views, a few now and the rest later, one view and then more."""
    split("embed", "mean-colour", "--views", 4)
    split("embed", "mean-colour", "--as", "at-once", "--views", 4, "--batch", 7)
    split("embed", "mean-colour", "--as", "in-parts", "--views", 1, "--limit", 5, "--batch", 3)
    assert "1 left" in split("embed", "mean-colour", "--as", "in-parts", "--views", 2, "--limit", 21).stderr
    said = split("embed", "mean-colour", "--as", "in-parts", "--views", 4, "--commit-seconds", 0).stderr
    assert split.value("select count(distinct view) from embeddings where embedder = 'in-parts'") == 5
    assert ", views 1 to 4: " in said
    assert same(stored(split), stored(split, "at-once"))
    assert same(stored(split), stored(split, "in-parts"))
    assert "0 embedded" in split("embed", "mean-colour", "--views", 4).stderr.splitlines()[-1]
    # fewer are no loss
    split("embed", "mean-colour", "--views", 2)
    assert len(stored(split)) == 24 + 4 * 18


@pytest.mark.exhaustive
def test_killed_and_started_again_it_ends_with_the_same_views(cf: Coldframe, tmp_path: Path) -> None:
    cf.ingest(drawn(tmp_path / "many", per_class=40))
    cf("split", "test", 0.25, "--seed", 3)
    arguments = ["embed", "mean-colour", "--as", "broken", "--views", "6", "--batch", "2", "--commit-seconds", "0"]
    kills = [killed(cf, arguments, after) for after in (0.8, 1.2, 1.6, 2.0)]
    assert any(kills)
    cf("embed", "mean-colour", "--as", "broken", "--views", 6)
    cf("embed", "mean-colour", "--views", 6)
    assert same(stored(cf), stored(cf, "broken"))
    assert "FAILED" not in cf("verify", "--deep").stdout


@pytest.mark.exhaustive
def test_clip_sees_views_through_its_own_processor(split: Coldframe) -> None:
    """Hardly changed, they are hardly other vectors; turned, they are."""
    weights = REPOSITORY / "pipeline" / "demo" / "models" / "clip"
    still = ["--flip", 0, "--rotation", 1e-6, "--zoom", 0]
    for name, options in (("still", still), ("turned", [])):
        split("embed", "clip", "--as", name, "--weights", weights, "--views", 1, *options)
    likeness = {
        row["embedder"]: row["least"]
        for row in split.rows(
            "select embedder, min(similarity(e.vector, v.vector)) as least from embeddings as e "
            "join embeddings as v using (image_id, embedder) where e.view = 0 and v.view = 1 group by embedder"
        )
    }
    assert likeness["still"] > 0.95
    assert likeness["turned"] < likeness["still"]


def test_view_rows_all_needs_no_plan(ready: Coldframe) -> None:
    said = ready("embed", "mean-colour", "--views", 2, code=1).stderr
    assert "plan 'default' was never replayed, so nobody knows them (replayed: none): run 'coldframe curate" in said
    assert "--view-rows all" in said
    ready("embed", "mean-colour", "--views", 2, "--view-rows", "all")
    assert ready.value("select count(*) from embeddings where view > 0") == 48
    Path("coldframe.toml").write_text('[embed.mean-colour]\nviews = 2\nview_rows = "some"')
    assert "view_rows = 'some', expected one of train, all" in ready("embed", "mean-colour", code=1).stderr
    Path("coldframe.toml").write_text("[embed.mean-colour]\nviews = -2")
    assert "views = -2, expected from 0 to" in ready("embed", "mean-colour", code=1).stderr


@pytest.mark.exhaustive
def test_views_of_another_augmentation_are_refused(split: Coldframe) -> None:
    split("embed", "mean-colour", "--views", 1, "--rotation", 30)
    said = split("embed", "mean-colour", "--views", 2, "--view-seed", 5, code=1).stderr
    assert "the views of the feature set 'mean-colour' were made with other settings" in said
    assert "rotation was 30.0, is now 15.0; seed was 0, is now 5" in said
    assert "--as NAME" in said
    split("embed", "mean-colour")  # pictures as they are have no augmentation
    split("embed", "mean-colour", "--views", 2, "--rotation", 30)
    split("embed", "mean-colour", "--as", "other", "--views", 2, "--view-seed", 5)
    assert not same(stored(split), stored(split, "other"))
    assert "0.7 is not in the range 0" in split("embed", "mean-colour", "--zoom", 0.7, code=2).stderr


def test_what_looks_at_pictures_looks_at_them_as_they_are(split: Coldframe) -> None:
    nearest = "select * from nearest('moth-00', 'mean-colour', 30)"
    before = split.rows(nearest)
    split("score", "knn")
    scores = split.rows("select * from scores order by image_id")
    split("embed", "mean-colour", "--views", 2)
    assert split.rows(nearest) == before
    split("score", "knn")
    assert split.rows("select * from scores order by image_id") == scores
    coverage = json.loads(split("status", "--format", "json").stdout)["coverage"][0]
    assert (coverage["images"], coverage["missing"], coverage["views"], coverage["images_with_views"]) == (24, 0, 2, 18)
    rows = split.rows("select * from kept order by split")
    told = [split("why", row["image_id"]).stdout for row in (rows[0], rows[-1])]
    assert "embedded in mean-colour\n" in told[0]
    assert "embedded in mean-colour, and 2 augmented views of it" in told[-1]


def test_a_dry_run_counts_views(split: Coldframe) -> None:
    split("embed", "mean-colour", "--views", 1)
    assert "24 cached, 18 to do with 36 views" in split("embed", "mean-colour", "--views", 3, "--dry-run").stdout
    assert split.value("select count(*) from embeddings where view > 1") == 0


@pytest.mark.exhaustive
def test_one_view_that_fails_costs_the_others_nothing(split: Coldframe, monkeypatch: pytest.MonkeyPatch) -> None:
    content = split.value("select content_id from kept where split = 'train' order by image_id limit 1")
    plain = augmentation.draw

    def draw(how: Augmentation, content_id: str, view: int) -> augmentation.Draw:
        drawn = plain(how, content_id, view)
        return augmentation.Draw(shifts=(-9e9, -9e9, -9e9)) if (content_id, view) == (content, 2) else drawn

    class Choosy(mean_colour.MeanColour):
        def prepare(self, image: Image.Image) -> npt.NDArray[Any]:
            if not np.asarray(image).any():
                raise ValueError("nothing to see")
            return super().prepare(image)

    monkeypatch.setattr(augmentation, "draw", draw)
    monkeypatch.setattr(mean_colour, "MeanColour", Choosy)
    assert "0 embedded, 1 failed" in split("embed", "mean-colour", "--views", 3, code=3).stderr
    (row,) = split.rows("select image_id, reason from failures where step = 'embed'")
    assert row["reason"] == "view 2: cannot be prepared for the network (ValueError: nothing to see)"
    assert split.rows(f"select view from embeddings where content_id = '{content}' order by view") == [
        {"view": 0},
        {"view": 1},
        {"view": 3},
    ]
    assert "1 failed before and were not tried" in split("embed", "mean-colour", "--views", 3, code=3).stderr
    monkeypatch.undo()
    assert "1 embedded" in split("embed", "mean-colour", "--views", 3, "--retry").stderr
    assert split.value("select count(*) from failures") == 0


@pytest.mark.exhaustive
def test_a_file_that_went_away_is_one_failure_for_all_its_views(split: Coldframe, catalogue: Catalogue) -> None:
    row = split.rows("select path from kept where split = 'train' limit 1")[0]
    (catalogue.images / row["path"]).unlink()
    said = split("embed", "mean-colour", "--views", 3, code=3).stderr
    assert "0 embedded, 1 failed" in said
    assert "views 1 to 3: 0 cached, 51 embedded" in said
    assert split.value("select reason from failures") == "missing: no such file"


@pytest.mark.exhaustive
def test_verify_knows_views_of_no_set_and_recomputes_those_of_one(split: Coldframe) -> None:
    split("embed", "mean-colour", "--views", 2)
    said = split("verify", "--recompute", 60).stdout
    assert "worst cosine to the reference in float32 1.000000 of 60 images" in said
    known = feature_sets.vectors(split.store.snapshot(), "mean-colour", view=1)
    table = pa.table({"content_id": known.content_ids, "vector": from_matrix(known.matrix)})
    table = table.append_column("embedder", pa.array(["mean-colour"] * len(table)))
    for view, wrong in ((3, "views-belong-to-their-set"), (2, "vectors-are-unique")):
        with split.store.commit("test") as commit:
            commit.append("embeddings", table.append_column("view", pa.array([view] * len(table))), key="mean-colour")
        assert f"FAILED {wrong}" in split("verify", code=4).stdout


def _damage(cf: Coldframe, dataset: str, key: str) -> None:
    for part in parts_of(cf, dataset, key):
        flip(cf, part)


@pytest.mark.exhaustive
def test_repair_says_how_views_are_made_again(split: Coldframe) -> None:
    split("embed", "mean-colour", "--as", "colours", "--views", 1, "--zoom", 0.2, "--plan", "default")
    split("embed", "mean-colour", "--as", "colours", "--views", 2, "--zoom", 0.2, "--limit", 0)
    before = stored(split, "colours")
    _damage(split, "feature_sets", "colours")
    said = split("repair").stdout
    assert "feature_sets of colours, out of the record of its embed" in said
    assert "FAILED" not in split("verify", "--deep").stdout
    _damage(split, "embeddings", "colours")
    said = split("repair").stdout
    again = [line.strip() for line in said.splitlines() if line.startswith("  coldframe ")]
    assert again == [
        f"coldframe --store {split.path} embed mean-colour --as colours --views 0",
        f"coldframe --store {split.path} embed mean-colour --as colours --views 2 --zoom 0.2",
    ]
    for command in again:
        split(*command.split()[1:])
    assert {key: one for key, one in stored(split, "colours").items() if key[1] < 2}.keys() == before.keys()
    assert "0 embedded" in split(*again[1].split()[1:]).stderr.splitlines()[-1]


@pytest.mark.exhaustive
@pytest.mark.usefixtures("steps_here")
def test_a_recipe_makes_views_behind_its_plan(cf: Coldframe, catalogue: Catalogue) -> None:
    recipe = RECIPE.split("[train.mlp]")[0].replace("STORE", str(cf.path))
    Path("coldframe.toml").write_text(recipe.replace("[embed.mean-colour]", "[embed.mean-colour]\nviews = 2"))
    steps = [
        "ingest",
        "embed mean-colour --views 0",
        "score knn",
        "curate --plan default",
        "embed mean-colour --views 2",
    ]
    assert states(cf("run").stderr) == dict.fromkeys(steps, "never run")
    assert states(cf("run", "--dry-run").stderr) == dict.fromkeys(steps, "up to date")
    assert "everything is up to date" in cf("status").stdout
    train = cf.value("select count(*) from kept where split = 'train'")
    assert cf.value("select count(*) from embeddings where view > 0") == 2 * train
    # a new training row lacks views, once it is one
    for number in range(4):
        catalogue.add(f"new-{number}", "moth", picture("moth", 700 + number))
    catalogue.write()
    cf("run")
    with_views = "select image_id from embeddings where view = 2"
    assert cf.value(f"select count(*) from kept where split = 'train' and image_id not in ({with_views})") == 0
    assert states(cf("run", "--dry-run").stderr) == dict.fromkeys(steps, "up to date")
    # another number, and another augmentation
    text = Path("coldframe.toml").read_text()
    Path("coldframe.toml").write_text(text.replace("views = 2", "views = 3"))
    now = states(cf("run", "--dry-run").stderr)
    assert now["embed mean-colour --views 3"] == "settings changed: views"
    assert now["embed mean-colour --views 0"] == "up to date"
    Path("coldframe.toml").write_text(text.replace("views = 2", "views = 2\nrotation = 40"))
    assert "rotation was 15.0, is now 40" in cf.process("run", code=1).stderr
    cf("drop", "new-0", "--why", "of no use")
    Path("coldframe.toml").write_text(text)
    assert states(cf("run", "--dry-run").stderr)["embed mean-colour --views 2"] == "up to date"


def states(said: str) -> dict[str, str]:
    """What ``run`` said of each step before the first word of the step itself."""
    lines = [line.split(": ", 1) for line in said.splitlines() if ": " in line]
    return {
        step: state
        for step, state in lines
        if state in ("never run", "up to date") or state.startswith("settings changed")
    }


@pytest.mark.exhaustive
def test_a_contact_sheet_of_views(split: Coldframe, catalogue: Catalogue) -> None:
    assert "views.png: views by the default settings: flip 0.5, rotation 15, zoom 0.1; fill reflect, seed 0" in (
        split("inspect", "--views").stderr
    )
    first = Path("views.png").read_bytes()
    split("inspect", "--views")
    assert Path("views.png").read_bytes() == first
    split("embed", "mean-colour", "--views", 2, "--flip", 0, "--fill", "wrap", "--view-seed", 3)
    said = split("inspect", "--views", "sheet.jpg").stderr
    assert "views as the views of mean-colour: rotation 15, zoom 0.1; fill wrap, seed 3" in said
    with Image.open("sheet.jpg") as sheet, Image.open("views.png") as before:
        assert sheet.format == "JPEG"
        assert (before.format, sheet.height) == ("PNG", before.height)
        assert sheet.width < before.width  # two views each, not five
    split("embed", "mean-colour", "--as", "other", "--views", 1)
    assert "(mean-colour, other): name one with --embedder" in split("inspect", "--views", code=1).stderr
    split("inspect", "--views", "--embedder", "other")
    assert "no feature set 'no'" in split("inspect", "--views", "--embedder", "no", code=1).stderr
    assert (
        "x.gif: expected a name ending in .png"
        in split("inspect", "--views", "x.gif", "--embedder", "other", code=1).stderr
    )
    assert "--embedder needs --views" in split("inspect", "--embedder", "other", code=2).stderr
    assert "leave out 'classes'" in split("inspect", "classes", "--views", "x.png", code=2).stderr
    for row in catalogue.rows:
        (catalogue.images / row["file_path"]).unlink()
    assert "can be read: run 'coldframe ingest" in split("inspect", "--views", "--embedder", "other", code=1).stderr
    assert not list(Path().glob("*.tmp"))


@pytest.mark.exhaustive
def test_a_head_draws_from_views_and_an_evaluation_averages_them(ready: Coldframe) -> None:
    ready("split", "test", 0.25)
    said = ready("train", "--head", "linear", "--views", 2, code=1).stderr
    assert "no training row has 2 augmented views in mean-colour: 'coldframe embed" in said
    said = ready("evaluate", "--tta", code=1).stderr
    assert "no run yet" in said
    ready("embed", "mean-colour", "--views", 2)
    ready("train", "--head", "linear", "--as", "plain", "--epochs", 3)
    ready("train", "--head", "linear", "--as", "augmented", "--views", 2, "--epochs", 3)
    run = ready.rows("select * from runs where name = 'augmented'")[0]
    assert run["views"] == 2
    digests = {row["features_digest"] for row in ready.rows("select features_digest from runs")}
    assert len(digests) == 2
    said = ready("evaluate", "augmented", "--tta", code=1).stderr
    assert "no row of split 'test' has augmented views to average: 'coldframe embed" in said
    ready("embed", "mean-colour", "--views", 2, "--view-rows", "all", "--limit", 5)
    said = ready("evaluate", "augmented", "--tta").stderr
    assert re.search("tta: [1-5] rows lack augmented views: the original image is used for those", said)
    ready("embed", "mean-colour", "--views", 2, "--view-rows", "all")
    result = ready("evaluate", "augmented", "--tta", "--mask-by", "phylum")
    assert "lack augmented views" not in result.stderr
    assert {row["evaluation"] for row in ready.rows("select evaluation from evaluations")} == {
        "tta",
        "tta,masked:phylum",
    }
    ready("evaluate", "augmented")
    both = ready.rows(
        "select a.probability as averaged, b.probability as plain from predictions a join predictions b using (run_id, image_id) "
        "where a.evaluation = 'tta' and b.evaluation = 'plain'"
    )
    assert len(both) == 6
    assert any(abs(row["averaged"] - row["plain"]) > 1e-6 for row in both)
    ready("embed", "mean-colour", "--as", "bare", "--size", "2x2")
    ready("train", "--head", "knn", "--embedder", "bare", "--as", "bare")
    said = ready("evaluate", "bare", "--tta", code=1).stderr
    assert "the feature set 'bare' has no augmented views to average: 'coldframe embed" in said


@pytest.mark.exhaustive
@pytest.mark.usefixtures("steps_here")
def test_training_on_views_is_out_of_date_when_there_are_more(ready: Coldframe) -> None:
    Path("coldframe.toml").write_text(
        "[embed.mean-colour]\nviews = 1\n[plans.default]\nstages = [{ split = 'test', share = 0.25 }]\n"
        "[train.linear]\nviews = 1\nepochs = 2\n[train.knn]\n"
    )
    ready("run")
    assert "up to date" in ready("run", "--dry-run").stderr
    said = ready("run", "--dry-run").stderr
    assert "train --as linear: up to date" in said
    Path("coldframe.toml").write_text(
        Path("coldframe.toml").read_text().replace("views = 1\nepochs", "views = 2\nepochs")
    )
    assert "train --as linear: settings changed: views" in ready("run", "--dry-run").stderr
    assert "train --as knn: up to date" in ready("run", "--dry-run").stderr
