"""The documentation is true: each command in the README runs, each query answers, each example file works as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import click
import pytest

from pipeline import recipe
from pipeline.cli.app import FILES, cli
from pipeline.curate import plans
from pipeline.steps import config
from pipeline.train import fitting
from store.store import Store
from tests.conftest import REPOSITORY, Coldframe, command_of

README = (REPOSITORY / "README.md").read_text()
COMMANDS = [
    line.removeprefix("$ ").removeprefix(".venv/bin/").split("  #")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
QUERIES = [query for query in re.findall(r"```sql\n(.*?)```", README, re.DOTALL) if not query.startswith("--")]


def example(kind: str) -> tuple[str, str]:
    """The name and text of an example file."""
    found = re.search(rf"<!-- {kind}: ([\w-]+) -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None, kind
    return found[1], found[2]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("coldframe ")])
def test_each_command_shown_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    command = command_of(words[0])
    command.make_context(words[0], words[1:], parent=click.Context(cli))


@pytest.mark.parametrize("line", [line for line in COMMANDS if not line.startswith("coldframe ")])
def test_each_make_target_shown_exists(line: str) -> None:
    target = line.removeprefix("make ")
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_each_link_leads_somewhere(link: str) -> None:
    assert (REPOSITORY / link).exists()


def test_every_command_stands_in_the_readme() -> None:
    for name in FILES:
        assert re.search(rf"\b{name}\b", README), name


@pytest.mark.parametrize("query", QUERIES)
def test_each_query_shown_answers(ready: Coldframe, query: str) -> None:
    ready("score", "knn")
    ready("split", "test", 0.2)
    query = query.replace("efficientnet-b4", "mean-colour")
    options = ["--param", "image=moth-00"] if "$image" in query else []
    assert ready("sql", query, "--format", "json", *options).stdout.startswith("[")


def test_five_queries_are_shown() -> None:
    assert len(QUERIES) == 5


def test_each_view_is_in_the_readme() -> None:
    for view in (path.stem for path in (REPOSITORY / "sql" / "views").glob("*.sql")):
        assert f"`{view}`" in README or f"{view}`" in README, view


def test_the_recipe_shown_is_a_whole_one(tmp_path: Path) -> None:
    _, text = example("recipe")
    file = tmp_path / "coldframe.toml"
    file.write_text(text)
    read = config.load(file)
    assert tomllib.loads(text)["train"] == {"mlp": {}}
    assert [str(step) for step in recipe.steps(read)] == [
        "ingest",
        "embed efficientnet-v2-b0",
        "curate --plan default",
        "train --as mlp",
        "evaluate mlp",
    ]
    plan = plans.from_config(read, "default")
    assert plan is not None
    assert [stage.name for stage in plan.stages] == ["greyscale", "cmyk", "test", "centroid", "val"]
    assert read.settings(fitting.Settings, "train", "mlp", flags={}) == fitting.Settings()


@pytest.fixture
def extended(tmp_path: Path, ready: Coldframe) -> Coldframe:
    """``coldframe`` out of a copy of the code that has the README's example files added."""
    copy = tmp_path / "code"
    for folder in ("pipeline", "store", "sql"):
        shutil.copytree(REPOSITORY / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    places = {
        "rule": "sql/rules/{}.sql",
        "scorer": "pipeline/curate/scorers/{}.py",
        "embedder": "pipeline/embed/embedders/{}.py",
    }
    places["head"] = "pipeline/train/heads/{}.py"
    for kind, place in places.items():
        name, text = example(kind)
        (copy / place.format(name)).write_text(text)
    return ready


def test_an_embedder_a_scorer_a_rule_and_a_head_are_added_by_one_file_each(extended: Coldframe, tmp_path: Path) -> None:
    where = {"PYTHONPATH": str(tmp_path / "code"), "PATH": "/usr/bin:/bin"}
    extended.process("embed", "brightness", env=where)
    extended.process("score", "norm", "--embedder", "brightness", "--power", "2", env=where)
    extended.process("filter", "tiny", "--side", "31", env=where)
    assert extended.value("select count(*) from embeddings where embedder = 'brightness'") == 24
    assert extended.value("select count(*) from scores where scorer = 'norm' and value > 0") == 24
    assert extended.value("select count(*) from exclusions where rule = 'tiny' and threshold = 31 and value = 30") == 24
    extended.process("split", "test", 0.25, "--plan", "whole", env=where)
    extended.process("train", "--plan", "whole", "--head", "nearest", "--embedder", "mean-colour", env=where)
    extended.process("evaluate", "nearest", env=where)
    assert extended.value("select accuracy from evaluations") >= 0.8
    assert isinstance(extended.store, Store)


def test_what_is_added_shows_its_settings(extended: Coldframe, tmp_path: Path) -> None:
    where = {"PYTHONPATH": str(tmp_path / "code"), "PATH": "/usr/bin:/bin", "COLUMNS": "100"}
    said = extended.process("score", "norm", "--help", env=where).stdout
    assert re.search(r"--embedder SET +Feature set to measure\.\n", said)
    assert re.search(r"--power FLOAT RANGE +2 for the Euclidean length\. +\[default: 2\] +\[x>=1\]\n", said)
    said = extended.process("filter", "tiny", "--help", env=where).stdout
    assert re.search(r"--side FLOAT +Least side, in pixels, of a picture that stays\. +\[default: 64\]\n", said)
    assert "norm" in extended.process("score", "--help", env=where).stdout
    assert "norm: power = 0.5, expected at least 1" in _with_recipe(extended, tmp_path, "[score.norm]\npower = 0.5\n")


def _with_recipe(extended: Coldframe, tmp_path: Path, text: str) -> str:
    recipe = tmp_path / "other.toml"
    recipe.write_text(text)
    where = {"PYTHONPATH": str(tmp_path / "code"), "PATH": "/usr/bin:/bin"}
    return extended.process("-c", recipe, "score", "norm", "--embedder", "mean-colour", env=where, code=1).stderr
