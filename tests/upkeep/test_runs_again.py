"""Repair of each kind of run: the commands that it prints, run as they are printed, fill the hole."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli.app import cli
from tests.support import backbones, tiny_clip
from tests.support.coldframe import Coldframe, drawn, flip, parts_of

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

SET, SIZE = backbones.NAME, 32
# By the name of the run, some with hyphens in it: the command that makes it, and its section of a recipe.
MADE: dict[str, tuple[list[str], str]] = {
    "my-new-mlp": (
        ["train", "--head", "mlp", "--units", "16", "--units", "8", "--epochs", "2", "--no-class-weights"],
        "[train.my-new-mlp]\nhead = 'mlp'\nunits = [16, 8]\nepochs = 2\nclass_weights = false\nembedder = 'mean-colour'\n",
    ),
    "linear": (
        ["train", "--epochs", "3", "--seed", "4"],
        "[train.linear]\nepochs = 3\nseed = 4\nembedder = 'mean-colour'\n",
    ),
    "logistic": (["train", "--strength", "0.5"], "[train.logistic]\nstrength = 0.5\nembedder = 'mean-colour'\n"),
    "knn": (["train", "--k", "3", "--folds", "2"], "[train.knn]\nk = 3\nfolds = 2\nembedder = 'mean-colour'\n"),
    "centroid": (["train", "--input", "l2"], "[train.centroid]\ninput = 'l2'\nembedder = 'mean-colour'\n"),
    "zero-shot": (
        ["train", "--template", "one {}", "--template", "a {} too"],
        "[train.zero-shot]\ntemplate = ['one {}', 'a {} too']\n",
    ),
    "tuned": (
        ["tune", "--max-epochs", "2", "--factor", "2", "--width", "8", "16", "--layers", "1", "1", "--seed", "3"],
        "[tune.tuned]\nmax_epochs = 2\nfactor = 2\nwidth = [8, 16]\nlayers = [1, 1]\nseed = 3\nembedder = 'mean-colour'\n",
    ),
    "cnn-small": (
        ["train", "--from-scratch", "cnn", "--size", "16x24", "--epochs", "1", "--no-augmentation"],
        "[train.cnn-small]\nfrom_scratch = 'cnn'\nsize = [16, 24]\nepochs = 1\naugmentation = false\n",
    ),
    "last-layers": (
        ["finetune", "the-base", "--epochs", "1", "--layers", "4", "--batch", "4"],
        "[finetune.last-layers]\nrun = 'the-base'\nepochs = 1\nlayers = 4\nbatch = 4\n",
    ),
}
ON_MEAN_COLOUR = ("my-new-mlp", "linear", "logistic", "knn", "centroid", "tuned")


@pytest.fixture(scope="module")
def catalogued(tmp_path_factory: pytest.TempPathFactory) -> Coldframe:
    """A store with three feature sets, splits, and the head that fine-tuning begins with."""
    folder = tmp_path_factory.mktemp("runs")
    cf = Coldframe(folder / "store")
    cf.ingest(drawn(folder / "catalogue", per_class=10))
    cf("embed", "mean-colour")
    cf("embed", SET, "--weights", backbones.save_weights(folder, (SIZE, SIZE)), "--size", f"{SIZE}x{SIZE}")
    cf("embed", "clip", "--weights", tiny_clip.save(folder / "clip"))
    cf("split", "test", "0.2")
    cf("split", "val", "0.2")
    cf("train", "--as", "the-base", "--head", "mlp", "--units", "8", "--epochs", "1", "--embedder", SET)
    return cf


@pytest.fixture(scope="module", params=["by options", pytest.param("by a recipe", marks=pytest.mark.exhaustive)])
def trained(
    catalogued: Coldframe, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[Coldframe, Path | None]:
    """A store with a run of each kind, and the recipe, if one made them."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(catalogued.path, folder / "store")
    cf, recipe = Coldframe(folder / "store"), None
    if request.param == "by a recipe":
        recipe = folder / "coldframe.toml"
        recipe.write_text("\n".join(section for _, section in MADE.values()))
    for name, (words, _) in MADE.items():
        if recipe is not None:
            cf("-c", recipe, words[0], "--as", name)
            continue
        on = ["--embedder", "mean-colour"] if name in ON_MEAN_COLOUR else []
        cf(*words, *on, "--as", name)
        cf("evaluate", name)
    return cf, recipe


def settings_of(cf: Coldframe, name: str) -> dict[str, Any]:
    """The settings of the newest run of a name, those apart that say who chose them."""
    (row,) = cf.rows(f"select kind, settings from runs where name = '{name}' limit 1")
    settings = json.loads(row["settings"])
    return {"kind": row["kind"], **{key: value for key, value in settings.items() if not key.startswith("chosen_")}}


@pytest.mark.parametrize("damaged", ["runs", pytest.param("models", marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", MADE)
def test_a_lost_run_is_made_again(
    trained: tuple[Coldframe, Path | None], tmp_path: Path, name: str, damaged: str
) -> None:
    made, recipe = trained
    shutil.copytree(made.path, tmp_path / "store")
    cf = Coldframe(tmp_path / "store")
    before = settings_of(cf, name)
    (run_id,) = [row["run_id"] for row in cf.rows(f"select run_id from runs where name = '{name}'")]
    flip(cf, parts_of(cf, damaged, run_id)[0])
    given = ["-c", str(recipe)] if recipe is not None else []
    said = cf(*given, "repair").stdout
    commands = [line.strip() for line in said.splitlines() if line.startswith("  coldframe ")]
    assert commands, said
    for command in commands:
        result = CliRunner().invoke(cli, shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}\n{result.output}"
    assert settings_of(cf, name) == before
    assert cf.rows(f"select run_id from runs where name = '{name}'")[0]["run_id"] != run_id
    cf("evaluate", name)
    assert "FAILED" not in cf("verify").stdout
    assert "nothing to repair" in cf("repair").stdout


def test_a_run_that_nobody_recorded_is_told(trained: tuple[Coldframe, Path | None], tmp_path: Path) -> None:
    made, _ = trained
    shutil.copytree(made.path, tmp_path / "store")
    cf = Coldframe(tmp_path / "store")
    (run_id,) = [row["run_id"] for row in cf.rows("select run_id from runs where name = 'linear'")]
    flip(cf, parts_of(cf, "runs", run_id)[0])
    flip(cf, parts_of(cf, "steps", "train/linear")[0])
    assert "how it was made cannot be recovered: train it anew" in cf("repair").stdout


def test_a_tuned_run_that_lost_its_base_begins_with_its_name(
    trained: tuple[Coldframe, Path | None], tmp_path: Path
) -> None:
    """What a fine-tuned run began with is looked up, not told by its hyphens."""
    made, _ = trained
    shutil.copytree(made.path, tmp_path / "store")
    cf = Coldframe(tmp_path / "store")
    query = "select run_id from runs where name in ('the-base', 'last-layers')"
    for run_id in [row["run_id"] for row in cf.rows(query)]:
        flip(cf, parts_of(cf, "runs", run_id)[0])
    said = cf("repair").stdout
    assert "finetune the-base --as last-layers" in said
