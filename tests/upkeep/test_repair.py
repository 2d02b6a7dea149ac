"""Repair: whatever is damaged, what is said to fill the hole does fill it."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.cli.app import cli
from pipeline.curate import score
from pipeline.embed.again import again as embed_again
from pipeline.evaluate import evaluate
from pipeline.runs.evaluations import Evaluation
from pipeline.steps.config import Config
from pipeline.upkeep.lost_runs import run_again
from store import manifest
from store.compaction import compact
from store.schemas import SCHEMAS
from store.store import Store
from tests.support.coldframe import Catalogue, Coldframe, assert_whole, drawn, flip, parts_of, picture
from tests.support.statements import shown

pytestmark = pytest.mark.slow

ALWAYS = ("embeddings",)  # losses that `make test` tries; the others are exhaustive
# What a person would look at, and would miss.
LOOKED_AT = {
    "images": "select * from images order by image_id",
    "failures": "select * from failures order by step, name, image_id",
    "files": "select path, content_id from files order by path",
    "embeddings": "select image_id, embedder, view, vector from embeddings order by image_id, embedder",
    "feature_sets": "select embedder, network, digest, settings, source from feature_sets order by embedder",
    "scores": "select image_id, scorer, round(value, 5) as value from scores order by image_id",
    "splits": "select * from splits order by image_id",
    "exclusions": "select plan, image_id, rule from exclusions order by image_id",
    "stages": "select plan, position, kind, name, settings, rows_in, rows_out from stages",
    "assignments": "select plan, stage, seed, share, content_id, split from data.assignments order by stage, content_id",
    "evaluations": "select evaluation, split, rows from evaluations order by evaluation",
    "newest_run": "select name, embedder, plan, classes, train_rows, settings from runs limit 1",
    "seen": "select distinct image_id, label, split from data.run_rows order by image_id",
    "steps": "select step, name, settings from steps order by step, name",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Coldframe:
    """A store on which every step was run, with rows that fail."""
    folder = tmp_path_factory.mktemp("whole")
    catalogue = drawn(folder / "catalogue", per_class=12)
    catalogue.add("missing", "moth")
    catalogue.add("large", "moth", picture("moth", 77, (60, 50)))
    catalogue.write()
    cf = Coldframe(folder / "store")
    cf.ingest(catalogue, code=3)
    cf("embed", "mean-colour", "--size", "3x4", "--max-pixels", 2000, code=3)
    cf("embed", "mean-colour", "--as", "halves", "--size", "2x2", "--store-as", "float16")
    cf("score", "knn", "--embedder", "mean-colour", "--k", 3)
    cf("filter", "greyscale")
    cf("split", "test", 0.25, "--seed", 4)
    cf("filter", "centroid", "--percentile", 95, "--embedder", "halves")
    cf("split", "val", 0.2)
    cf("keep", "moth-00", "--why", "a good one")
    cf("train", "--as", "small", "--head", "linear", "--epochs", 2, "--embedder", "mean-colour")
    cf("evaluate", "small", "--mask-by", "phylum", "--group-by", "phylum")
    return cf


@pytest.fixture
def cf(whole: Coldframe, tmp_path: Path) -> Coldframe:
    """A copy of that store."""
    shutil.copytree(whole.path, tmp_path / "store")
    return Coldframe(tmp_path / "store")


def seen(cf: Coldframe) -> dict[str, Any]:
    snapshot = cf.store.snapshot()
    connection = shown(snapshot.root, snapshot.manifest)
    found = {name: connection.sql(query).to_arrow_table().to_pylist() for name, query in LOOKED_AT.items()}
    for row in found["stages"]:
        row["settings"] = json.loads(row["settings"])
    return found


def follow(cf: Coldframe, said: str, catalogue: Path | None = None) -> list[str]:
    """Run the commands a repair printed, with the catalogue's place where nobody knows it any more."""
    said = said.replace("METADATA --images DIR", f"{catalogue}/metadata.csv --images {catalogue}/images --id id")
    commands = [line.strip() for line in said.splitlines() if line.startswith("  coldframe ")]
    for command in commands:
        result = CliRunner().invoke(cli, ["-s", str(cf.path), *shlex.split(command)[1:]])
        assert result.exit_code in (0, 3), f"{command}\n{result.output}"
    return [command.replace(f" --store {cf.path}", "") for command in commands]


@pytest.mark.parametrize(
    "dataset",
    [
        one if one in ALWAYS else pytest.param(one, marks=pytest.mark.exhaustive)
        for one in (*SCHEMAS, "models")
        if one != "copies"  # this store has none: see tests/curate/test_copies.py
    ],
)
def test_what_a_lost_dataset_held_comes_back_by_the_commands_it_names(
    cf: Coldframe, whole: Coldframe, dataset: str
) -> None:
    before = seen(cf)
    for part in parts_of(cf, dataset):
        flip(cf, part)
    said = cf("repair").stdout
    cf("status")
    follow(cf, said, whole.path.parent / "catalogue")
    assert "FAILED" not in cf("verify").stdout
    after = seen(cf)
    if dataset == "verdicts":
        assert "verdicts cannot be made again: give them anew with keep, drop and relabel" in said
        assert "labels they corrected are the catalogue's again" in said
        assert cf.rows("select * from verdicts") == []
    if dataset == "steps":  # what a step was told is lost with its record: here a limit that one picture exceeded
        after |= {name: before[name] for name in ("steps", "embeddings", "failures")}
    assert after == before
    assert "nothing to repair" in cf("repair").stdout
    cf("gc", "--grace", "0s")
    assert_whole(cf)
    assert list((cf.path / "damaged").rglob("*.*"))


@pytest.mark.variants
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_damage_is_named_by_verify_and_taken_out_by_repair(cf: Coldframe, damage: str) -> None:
    (part,) = parts_of(cf, "embeddings", "mean-colour")
    path = cf.path / part.path
    if damage == "flipped":
        flip(cf, part)
        wanted = f"{path}: its bytes are not those that were written, 36 rows of embeddings are lost"
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-7])
        wanted = f"{path}: {part.bytes - 7} bytes, expected {part.bytes}, 36 rows of embeddings are lost"
    else:
        path.unlink()
        wanted = f"{path}: missing, 36 rows of embeddings are lost"
    said = cf("verify", "--deep", code=4).stdout
    assert wanted in said
    assert "run 'coldframe repair " in said
    said = cf("repair").stdout
    assert "lost: 36 rows of embeddings of mean-colour" in said
    assert follow(cf, said) == ["coldframe embed mean-colour --size 3x4 --max-pixels 2000"]
    assert not path.exists()
    assert (cf.path / "damaged" / part.path).exists() == (damage != "missing")
    assert cf.value("select count(*) from embeddings where embedder = 'mean-colour'") == 36
    assert_whole(cf)


def test_a_dry_run_changes_nothing(cf: Coldframe) -> None:
    for dataset in SCHEMAS:
        flip(cf, cf.store.snapshot().manifest.parts(dataset)[-1])
    before = {path: path.read_bytes() for path in cf.path.rglob("*") if path.is_file()}
    result = cf("repair", "--dry-run")
    assert "lost: 37 rows of images" in result.stdout
    assert "nothing was changed" in result.stderr
    assert {path: path.read_bytes() for path in cf.path.rglob("*") if path.is_file()} == before


def test_everything_lost_at_once_leaves_a_store_that_can_be_asked(cf: Coldframe) -> None:
    for dataset in [*SCHEMAS, "models"]:
        for part in cf.store.snapshot().manifest.parts(dataset):
            (cf.path / part.path).unlink()
    assert "ingest METADATA --images DIR" in cf("repair").stdout
    assert cf.value("select count(*) from kept") == 0
    assert_whole(cf)


def test_a_whole_store_needs_no_repair(cf: Coldframe) -> None:
    number = cf.store.snapshot().manifest.number
    assert cf("repair").stdout == "nothing to repair: every part and every manifest is intact\n"
    assert cf.store.snapshot().manifest.number == number


def test_an_empty_part_is_written_anew(cf: Coldframe) -> None:
    for dataset in SCHEMAS:
        (part,) = cf.store.snapshot().manifest.parts(dataset, "empty")
        (cf.path / part.path).unlink()
    before = cf("repair").stdout
    assert "restored: the empty part of images, which holds its columns" in before
    assert "lost" not in before
    assert all(cf.store.snapshot().manifest.parts(dataset, "empty") for dataset in SCHEMAS)
    assert_whole(cf)


@pytest.mark.exhaustive
def test_a_merged_part_is_restored_from_those_it_was_merged_from(cf: Coldframe, tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path / "other", [])
    other = Coldframe(tmp_path / "other-store")
    for number in range(6):
        catalogue.add(f"moth-{number}", "moth", picture("moth", number))
    catalogue.write()
    other.ingest(catalogue)
    other("embed", "mean-colour", "--limit", 2)
    other("embed", "mean-colour", "--limit", 2)
    other("embed", "mean-colour")
    before = other.rows("select * from embeddings order by image_id")
    (merged,) = parts_of(other, "embeddings")
    flip(other, merged)
    said = other("repair").stdout
    assert "restored: 6 rows of embeddings of mean-colour, out of the 2 parts they were merged from" in said
    assert "lost" not in said
    assert other.rows("select * from embeddings order by image_id") == before
    assert_whole(other)
    compact(other.store, "embeddings", "mean-colour")
    assert other.rows("select * from embeddings order by image_id") == before


@pytest.mark.exhaustive
def test_a_feature_set_whose_making_is_known_to_nobody_goes_with_its_vectors(cf: Coldframe) -> None:
    flip(cf, parts_of(cf, "feature_sets", "mean-colour")[0])
    flip(cf, parts_of(cf, "steps", "embed/mean-colour")[0])
    vectors = parts_of(cf, "embeddings", "mean-colour")[0]
    said = cf("repair").stdout
    assert "set aside: 36 rows of embeddings of mean-colour, since how they were made is lost" in said
    assert follow(cf, said) == ["coldframe embed mean-colour"]
    assert (cf.path / "damaged" / vectors.path).exists()
    assert_whole(cf)


def test_a_restored_feature_set_still_refuses_vectors_of_another_making(cf: Coldframe) -> None:
    flip(cf, parts_of(cf, "feature_sets", "mean-colour")[0])
    assert "restored: feature_sets of mean-colour, out of the record of its embed" in cf("repair").stdout
    assert "size was [3, 4], is now [4, 4]" in cf("embed", "mean-colour", code=1).stderr
    assert "36 cached, 1 embedded" in cf("embed", "mean-colour", "--size", "3x4", "--retry").stderr


@pytest.mark.exhaustive
def test_no_image_changes_sides_when_the_memory_of_splits_is_lost(cf: Coldframe) -> None:
    before = cf.rows("select content_id, stage, split from data.assignments order by all")
    for part in (*parts_of(cf, "assignments"), *parts_of(cf, "stages"), *parts_of(cf, "failures", "ingest")):
        flip(cf, part)
    said = cf("repair").stdout
    assert "restored: stages of default, out of the record of its last replay" in said
    assert "restored: assignments of default, out of the splits as they are" in said
    assert "out of date: curate --plan default: changed since: rows that repair took out" in cf("status").stdout
    follow(cf, said)
    assert cf.rows("select content_id, stage, split from data.assignments order by all") == before
    for dataset in ("assignments", "curation"):
        flip(cf, parts_of(cf, dataset)[0])
    said = cf("repair").stdout
    assert "plan default draws its splits anew: images may change sides, so train again as well" in said
    follow(cf, said)
    assert_whole(cf)


@pytest.mark.exhaustive
def test_a_plan_whose_stages_and_record_are_lost(cf: Coldframe) -> None:
    flip(cf, parts_of(cf, "stages")[0])
    flip(cf, parts_of(cf, "steps", "curate/default")[0])
    said = cf("repair").stdout
    assert "the stages of plan default cannot be recovered: add them anew" in said
    assert "plan 'default' has no stages" in cf("curate", code=1).stderr
    assert_whole(cf)


@pytest.mark.exhaustive
def test_a_run_that_is_lost_takes_its_predictions_with_it(cf: Coldframe) -> None:
    (run,) = parts_of(cf, "runs")
    flip(cf, run)
    said = cf("repair").stdout
    assert f"set aside: 8 rows of predictions of {run.key}/plain/test, since its run is lost" in said
    assert "coldframe evaluate small --mask-by phylum --group-by phylum" in follow(cf, said)
    assert_whole(cf)


@pytest.mark.exhaustive
def test_a_run_without_its_model_keeps_what_it_predicted(cf: Coldframe) -> None:
    (run,) = parts_of(cf, "models")
    flip(cf, run)
    said = cf("repair").stdout
    assert f"no models stored for {run.key}" in cf("evaluate", run.key, code=1).stderr
    assert cf.value("select count(*) from predictions") == 16
    assert follow(cf, said) == ["coldframe train --as small --head linear --epochs 2 --embedder mean-colour"]
    cf("evaluate", "small")
    assert_whole(cf)


@pytest.mark.exhaustive
def test_a_recipe_does_again_what_was_lost(cf: Coldframe, whole: Coldframe) -> None:
    folder = whole.path.parent / "catalogue"
    Path("coldframe.toml").write_text(
        f'[ingest]\nmetadata = "{folder}/metadata.csv"\nimages = "{folder}/images"\nid = "id"\n'
        '[score.knn]\nk = 3\nembedder = "mean-colour"\n'
    )
    assert "score knn: up to date" in cf("run", "--dry-run").stderr
    flip(cf, parts_of(cf, "scores")[0])
    flip(cf, parts_of(cf, "images")[0])
    cf("repair")
    said = cf("run", "--dry-run").stderr
    assert "ingest: changed since: rows that repair took out" in said
    assert "score knn: changed since: " in said
    cf.process("-c", Path("coldframe.toml").resolve(), "run", code=3)
    assert cf.value("select count(*) from scores") == 36
    assert "ingest: up to date" in cf("run", "--dry-run").stderr


@pytest.mark.exhaustive
@pytest.mark.variants
@pytest.mark.parametrize("which", ["newest", "older"])
def test_a_torn_manifest_is_put_aside(cf: Coldframe, which: str) -> None:
    cf("drop", "moth-01", "--why", "x")
    numbers = manifest.numbers(cf.path)
    number = numbers[-1] if which == "newest" else numbers[0]
    path = manifest.path_of(cf.path, number)
    path.write_bytes(path.read_bytes()[:-50])
    said = cf("verify", code=4).stdout
    assert f"{path}: damaged or incomplete; the one before it is used" in said
    assert "run 'coldframe repair " in said
    said = cf("repair").stdout
    assert f"damaged: {path}: damaged or incomplete" in said
    assert (f"lost: moment {number}: the store is as it was at moment {number - 1}" in said) == (which == "newest")
    assert (cf.path / "damaged" / "manifests" / path.name).exists()
    aside = list((cf.path / "damaged" / "parts").rglob("*.parquet"))
    assert bool(aside) == (which == "newest")
    cf("gc", "--grace", "0s")
    assert all(one.exists() for one in aside)
    assert_whole(cf)


def test_a_number_that_is_torn_twice_is_kept_aside_twice(cf: Coldframe) -> None:
    for _ in range(2):
        path = manifest.path_of(cf.path, manifest.numbers(cf.path)[-1] + 1)
        path.write_text("{")
        cf("repair")
    assert len(list((cf.path / "damaged" / "manifests").iterdir())) == 2


@pytest.mark.exhaustive
def test_killed_before_its_commit_or_after_it_a_repair_can_be_run_again(cf: Coldframe) -> None:
    from pipeline.upkeep.mending import keep_aside

    (part,) = parts_of(cf, "scores")
    path = flip(cf, part)
    keep_aside(cf.path, [path])  # killed here
    assert path.exists()
    cf("repair")
    assert len(list((cf.path / "damaged").rglob("*.parquet"))) == 1
    assert follow(cf, cf("repair").stdout) == []
    cf("score", "knn", "--embedder", "mean-colour")
    assert_whole(cf)


def test_one_repairs_at_a_time(cf: Coldframe) -> None:
    with cf.store.lock("maintenance"):
        assert "another coldframe process is writing 'maintenance'" in cf("repair", code=5).stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize("change", ["compacted", "appended"])
def test_what_another_command_changes_meanwhile_is_not_repaired_half(
    cf: Coldframe, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    (part,) = parts_of(cf, "embeddings", "mean-colour")
    vectors = pq.read_table(cf.path / part.path)
    with cf.store.commit("test") as commit:
        commit.replace("embeddings", vectors.slice(0, 20), key="mean-colour")
        commit.append("embeddings", vectors.slice(20, 10), key="mean-colour")
    damaged = [
        flip(cf, parts_of(cf, *one)[0]) for one in (("feature_sets", "mean-colour"), ("steps", "embed/mean-colour"))
    ]

    def keep_aside(root: Path, path: Path) -> None:
        patch.undo()  # once
        if change == "compacted":
            assert compact(cf.store, "embeddings", "mean-colour") == 2
        else:
            with cf.store.commit("test") as commit:
                commit.append("embeddings", vectors.slice(30), key="mean-colour")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.upkeep.mending._keep_aside", keep_aside)
        refused = cf("repair", code=5)
    assert "another coldframe process has changed the same rows meanwhile" in refused.stderr
    assert refused.stdout == ""
    assert cf.store.snapshot().manifest.step in ("compact", "test")
    assert all(path.exists() for path in damaged)
    follow(cf, cf("repair").stdout)
    assert not any(path.exists() for path in damaged)
    assert_whole(cf)


def test_a_set_that_is_being_filled_is_not_taken_out(cf: Coldframe) -> None:
    flip(cf, parts_of(cf, "feature_sets", "mean-colour")[0])
    flip(cf, parts_of(cf, "steps", "embed/mean-colour")[0])
    with cf.store.lock("embed-mean-colour"):
        cf("repair", code=5)
    assert not (cf.path / "damaged").exists()


def test_commands_of_steps_nobody_recorded(tmp_path: Path) -> None:
    moment = Store.create(tmp_path / "store").snapshot()
    nothing = Config()
    assert embed_again(moment, nothing, "clip", None) == ["embed", "clip"]
    assert score.again(moment, nothing, "gone") == ["score", "gone"]
    with pytest.raises(LookupError, match="cannot be recovered"):
        run_again(moment, nothing, "20260101T000000-my-head-abcdef")
    asked = [Evaluation(), Evaluation(masked_by="a b")]
    assert evaluate.again(moment, nothing, "r", "my-head", "val", asked) == [
        *("evaluate", "r", "--split", "val", "--mask-by", "a b")
    ]
