"""The documentation is true: each command shown parses, each query answers, each example file works as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pipeline import recipe
from pipeline.cli import reference
from pipeline.cli.app import FILES, cli
from pipeline.curate import plans
from pipeline.steps import config
from pipeline.train import fitting
from tests.support.coldframe import REPOSITORY, Catalogue, Coldframe, command_of

PAGES = {path: path.read_text() for path in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]}
REFERENCE = REPOSITORY / "docs" / "commands.md"
WRITTEN = "\n".join(text for path, text in PAGES.items() if path != REFERENCE)
COMMANDS = [
    re.sub(r" > [\w.]+$", "", one.removeprefix("$ ").removeprefix(".venv/bin/").split("  #")[0].strip())
    for block in re.findall(r"```console\n(.*?)```", WRITTEN, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
    for one in line.split(" | ")  # commands joined by a pipe
]
QUERIES = [query for query in re.findall(r"```sql\n(.*?)```", WRITTEN, re.DOTALL) if not query.startswith("--")]
ASKED = [words[2:] for words in map(shlex.split, COMMANDS) if words[:2] == ["coldframe", "sql"]]
ASKED += [[query] for query in re.findall(r'`coldframe sql "(.*?)"`', WRITTEN)]
PROGRAMS = [text for text in re.findall(r"```python\n(.*?)```", WRITTEN, re.DOTALL) if "open_model" in text]


def example(kind: str) -> tuple[str, str]:
    """The name and text of an example file."""
    found = re.search(rf"<!-- {kind}: ([\w-]+) -->\n```\w+\n(.*?)```", WRITTEN, re.DOTALL)
    assert found is not None, kind
    return found[1], found[2]


@pytest.mark.parametrize("line", sorted({line for line in COMMANDS if line.startswith("coldframe ")}))
def test_each_command_shown_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    command = command_of(words[0])
    command.make_context(words[0], words[1:], parent=cli.make_context("coldframe", [], resilient_parsing=True))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:\$ |`)make ([\w-]+)", WRITTEN))))
def test_each_make_target_shown_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_each_link_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", PAGES[path]):
        assert (path.parent / link).exists(), link


def test_the_readme_leads_to_every_page() -> None:
    readme = PAGES[REPOSITORY / "README.md"]
    assert len(readme.splitlines()) <= 250
    for path in PAGES:
        assert path.name == "README.md" or f"(docs/{path.name})" in readme, path


def test_every_command_is_written_about() -> None:
    for name in FILES:
        assert re.search(rf"\b{name}\b", WRITTEN), name


def test_the_reference_of_commands_is_what_their_help_says() -> None:
    assert PAGES[REFERENCE] == reference.text(), "'make docs' writes it anew"


@pytest.mark.parametrize("query", QUERIES)
def test_each_query_shown_answers(ready: Coldframe, query: str) -> None:
    ready("score", "knn")
    ready("split", "test", 0.2)
    query = query.replace("efficientnet-b4", "mean-colour")
    options = ["--param", "image=moth-00"] if "$image" in query else []
    assert ready("sql", query, "--format", "json", *options).stdout.startswith("[")


def test_each_query_in_a_command_answers(ready: Coldframe) -> None:
    assert len(ASKED) >= 6
    for words in ASKED:
        ready("sql", *words)


def test_the_queries_are_found() -> None:
    assert len(QUERIES) == 5


def test_each_view_and_macro_is_written_about() -> None:
    page = PAGES[REPOSITORY / "docs" / "sql.md"]
    for view in (path.stem for path in (REPOSITORY / "sql" / "views").glob("*.sql")):
        assert re.search(rf"^\| .*`{view}`.* \|.*\|$", page, re.MULTILINE), view
    for macro in (path.stem for path in (REPOSITORY / "sql" / "macros").glob("*.sql")):
        assert f"`{macro}(" in page, macro


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_shown_runs(ready: Coldframe, catalogue: Catalogue, program: str, tmp_path: Path) -> None:
    """On a run of the store in place of the artefact, which asks for a framework."""
    ready("split", "test", 0.25)
    ready("train", "--head", "logistic", "--as", "mlp")
    shutil.copyfile(catalogue.images / catalogue.rows[0]["file_path"], tmp_path / "new.jpg")
    program = program.replace('open_model("classifier")', f'open_model("mlp", store={str(ready.path)!r})')
    done = subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("new.jpg ('")


def test_the_recipe_shown_is_a_whole_one(tmp_path: Path) -> None:
    _, text = example("recipe")
    file = tmp_path / "coldframe.toml"
    file.write_text(text)
    read = config.load(file)
    assert tomllib.loads(text)["train"] == {"mlp": {}}
    assert [str(step) for step in recipe.steps(read)] == [
        "ingest",
        "embed efficientnet-v2-b0",
        "copies",
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
    """``coldframe`` out of a copy of the code that has the documents' example files added."""
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
