"""``run``: a whole recipe from one file, and only what is out of date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.coldframe import Catalogue, Coldframe, date_later, picture

pytestmark = pytest.mark.slow

RECIPE = """
store = "STORE"

[ingest]
metadata = "catalogue/metadata.csv"
images = "catalogue/images"
id = "id"

[embed.mean-colour]

[score.knn]
k = 3

[plans.default]
stages = [
    { rule = "greyscale" },
    { split = "test", share = 0.25 },
    { rule = "centroid", percentile = [95] },
    { split = "val", share = 0.2 },
]

[train.mlp]
head = "centroid"  # which starts no framework
input = "l2"

[evaluate]
mask_by = ["phylum"]
"""

STEPS = ["ingest", "embed mean-colour", "score knn", "curate --plan default", "train --as mlp", "evaluate mlp"]


def states(said: str) -> dict[str, str]:
    """What ``run`` said of each step."""
    found = {}
    for line in said.splitlines():
        for step in STEPS:
            if line.startswith(f"{step}: ") and step not in found:
                found[step] = line.removeprefix(f"{step}: ")
    return found


@pytest.fixture
def recipe(cf: Coldframe, catalogue: Catalogue) -> Coldframe:
    Path("coldframe.toml").write_text(RECIPE.replace("STORE", str(cf.path)))
    return cf


def test_the_whole_path_and_what_makes_each_step_run_again(recipe: Coldframe, catalogue: Catalogue) -> None:
    first = states(recipe("run").stderr)
    assert first == dict.fromkeys(STEPS, "never run")
    assert recipe.value("select count(*) from evaluations") == 2
    assert "FAILED" not in recipe("verify").stdout

    assert states(recipe("run").stderr) == dict.fromkeys(STEPS, "up to date")

    # a path rename invalidates no training
    old = catalogue.images / catalogue.rows[0]["file_path"]
    catalogue.rows[0]["file_path"] = "finch/renamed.png"
    old.rename(catalogue.images / "finch/renamed.png")
    catalogue.write()
    again = states(recipe("run").stderr)
    assert again.pop("ingest") == "changed since: metadata"
    assert set(again.values()) == {"up to date"}

    # a label change does, and a picture does
    kept = {row["image_id"] for row in recipe.rows("select image_id from kept where split = 'train'")}
    row = next(one for one in catalogue.rows if one["id"] in kept and one["label"] == "finch")
    row["label"] = "heron"
    catalogue.write()
    picture("moth", 901).save(catalogue.images / catalogue.rows[-1]["file_path"])
    again = states(recipe("run").stderr)
    assert again["ingest"] == "changed since: metadata"
    assert again["embed mean-colour"] == "1 contents have no vector"
    assert again["score knn"] == "changed since: embeddings of mean-colour"
    assert again["curate --plan default"] == "changed since: chroma, content_id, embeddings of mean-colour, label"
    assert re.fullmatch(r"changed since: .*label of plan default.*", again["train --as mlp"])
    assert "run" in again["evaluate mlp"]
    assert states(recipe("run").stderr) == dict.fromkeys(STEPS, "up to date")

    # a setting does, and a file that is another one
    text = Path("coldframe.toml").read_text()
    Path("coldframe.toml").write_text(text.replace('input = "l2"', 'input = "raw"'))
    picture("moth", 902).save(catalogue.images / catalogue.rows[-1]["file_path"])
    again = states(recipe("run", "--dry-run").stderr)
    assert again["ingest"] == "1 files have changed, and 0 of those that failed"
    assert again["train --as mlp"] == "settings changed: input"
    assert again["score knn"] == "up to date"


def test_a_dry_run_makes_no_store(recipe: Coldframe) -> None:
    for there in (False, True):
        if there:
            recipe.path.mkdir()
        assert states(recipe("run", "--dry-run").stderr) == dict.fromkeys(STEPS, "never run")
        assert not list(recipe.path.glob("*"))


@pytest.mark.usefixtures("steps_here")
def test_a_step_that_stops_is_said_and_run_goes_on_from_there(recipe: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("cut", "moth").write_bytes(b"\xff\xd8\xff")
    catalogue.write()
    text = Path("coldframe.toml").read_text()
    Path("coldframe.toml").write_text(text.replace("[embed.mean-colour]", '[embed.mean-colour]\nweights = "x"'))
    said = recipe.process("run", code=1).stderr
    assert "mean-colour has no weights" in said
    assert "embed mean-colour: stopped with exit code 1; 'coldframe run" in said
    Path("coldframe.toml").write_text(text.split("[train.mlp]")[0])
    said = recipe("run", code=0).stderr
    assert states(said)["ingest"] == "up to date"
    assert recipe.value("select count(*) from kept") > 0


@pytest.mark.exhaustive
def test_some_rows_failed_is_exit_code_3(recipe: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("cut", "moth").write_bytes(b"\xff\xd8\xff")
    catalogue.write()
    Path("coldframe.toml").write_text(Path("coldframe.toml").read_text().split("[train.mlp]")[0])
    recipe("run", code=3)
    assert recipe.value("select count(*) from scores") == 24


@pytest.mark.exhaustive
@pytest.mark.usefixtures("steps_here")
def test_a_file_that_was_mended_is_taken_up(recipe: Coldframe, catalogue: Catalogue) -> None:
    broken = catalogue.add("cut", "moth")
    broken.write_bytes(b"\xff\xd8\xff")
    catalogue.write()
    Path("coldframe.toml").write_text(Path("coldframe.toml").read_text().split("[train.mlp]")[0])
    recipe("run", code=3)
    picture("moth", 44).save(broken)
    again = states(recipe("run").stderr)
    assert again["ingest"] == "0 files have changed, and 1 of those that failed"
    assert again["embed mean-colour"] == "1 contents have no vector"


@pytest.mark.exhaustive
@pytest.mark.usefixtures("steps_here")
def test_a_clock_that_was_ahead_hides_no_mended_file(recipe: Coldframe, catalogue: Catalogue) -> None:
    """Neither one that ingest could not read, nor one that embed found broken."""
    broken, later = catalogue.add("cut", "moth"), catalogue.images / catalogue.rows[0]["file_path"]
    broken.write_bytes(b"\xff\xd8\xff")
    catalogue.write()
    Path("coldframe.toml").write_text(Path("coldframe.toml").read_text().split("[score.knn]")[0])
    recipe.ingest(catalogue, code=3)
    later.write_bytes(b"broken")
    recipe("embed", "mean-colour", code=3)
    date_later(recipe, "steps", "created_at")
    picture("moth", 44).save(broken)
    picture("finch", 45).save(later)
    again = states(recipe("run").stderr)
    assert "a clock was ahead" in again["ingest"]
    assert "a clock was ahead" in again["embed mean-colour"]
    assert recipe.value("select count(distinct content_id) from embeddings where view = 0") == len(catalogue.rows)
    assert states(recipe("run").stderr) == dict.fromkeys(again, "up to date")


def test_init_writes_the_reference_recipe(cf: Coldframe) -> None:
    assert "no coldframe.toml here; 'coldframe run --init' writes the reference recipe" in cf("run", code=1).stderr
    cf("run", "--init")
    text = Path("coldframe.toml").read_text()
    for words in ("clip-quality", "percentile = [95, 97.5]", "learning_rate = 0.01", 'mask_by = ["phylum"]'):
        assert words in text
    assert "exists; name another FILE, or remove it first" in cf("run", "--init", code=1).stderr
    assert "images: no such folder" in cf.process("run", code=1).stderr


def test_the_reference_recipe_is_the_default(cf: Coldframe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLDFRAME_EMBED_BACKEND")
    from pipeline import recipe as recipe_steps
    from pipeline.curate import plans
    from pipeline.curate.scorers import clip_quality
    from pipeline.embed.settings import Settings as EmbedSettings
    from pipeline.steps import config
    from pipeline.train import fitting, heads

    cf("run", "--init")
    file = config.load(None)
    written = file.settings(fitting.Settings, "train", "mlp", flags={})
    assert heads.resolve("mlp", written) == heads.resolve("mlp", fitting.Settings(embedder="efficientnet-b4"))
    assert file.settings(clip_quality.Settings, "score", "clip-quality", flags={}) == clip_quality.Settings()
    assert file.settings(EmbedSettings, "embed", "efficientnet-b4", flags={}) == EmbedSettings(
        weights="imagenet", size="380x380"
    )
    assert "copies" in [str(step) for step in recipe_steps.steps(file)]
    plan = plans.from_config(file, "default")
    assert plan is not None
    assert [stage.name for stage in plan.stages] == ["greyscale", "cmyk", "clip-quality", "test", "centroid", "val"]
