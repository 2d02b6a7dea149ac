"""What is shipped is what is there."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import tomllib
from pathlib import Path

from tests.support.coldframe import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def test_packages_are_the_folders_with_code() -> None:
    folders = {
        ".".join(path.parent.relative_to(REPOSITORY).parts)
        for root in ("pipeline", "store")
        for path in (REPOSITORY / root).rglob("__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders | {"store.sql"}


def test_every_dependency_is_pinned_exactly() -> None:
    pins = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = {re.split(r"==", line)[0].lower() for line in pins if line and not line.startswith("#")}
    assert all(re.fullmatch(r"[\w.-]+==[\w.+-]+", line) for line in pins if line and not line.startswith("#"))
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
    for requirement in wanted:
        name = re.match(r"[\w.-]+", requirement)
        assert name is not None
        assert name[0].lower() in pinned, requirement


def test_the_version_is_said_once() -> None:
    assert importlib.metadata.version("coldframe") == PROJECT["project"]["version"]
    assert f"## {PROJECT['project']['version']}" in (REPOSITORY / "CHANGELOG.md").read_text()


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_the_store_imports_nothing_of_the_pipeline() -> None:
    for file in (REPOSITORY / "store").rglob("*.py"):
        assert not {name for name in imports(file) if name.startswith("pipeline")}, file


def order() -> list[str]:
    """The folders and files of ``pipeline``, as its docstring lists them."""
    tree = ast.parse((REPOSITORY / "pipeline" / "__init__.py").read_text())
    return re.findall(r"^(\w+) {2,}\w", ast.get_docstring(tree) or "", flags=re.MULTILINE)


def place(module: str) -> str:
    """The folder or file of ``pipeline`` that a module is in."""
    return module.split(".")[1] if "." in module else ""


def modules() -> dict[str, set[str]]:
    """Every module of ``pipeline`` with the modules of ``pipeline`` that it imports, wherever in it."""
    found = {}
    for file in (REPOSITORY / "pipeline").rglob("*.py"):
        name = ".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        found[name] = {one for one in imports(file) if one.startswith("pipeline.")}
    return found


def test_every_folder_has_its_place_in_the_order() -> None:
    there = {path.stem for path in (REPOSITORY / "pipeline").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert there - {"__init__", "__main__", "__pycache__"} == set(order())


def test_a_folder_imports_only_from_those_above_it() -> None:
    above = {name: at for at, name in enumerate(order())}
    for module, imported in modules().items():
        if place(module) in above:
            wrong = [one for one in imported if above[place(one)] > above[place(module)]]
            assert not wrong, f"{module} imports {wrong}, which stand below it in pipeline/__init__.py"


STEPS = {
    "pipeline.ingest.ingest",
    "pipeline.embed.embed",
    "pipeline.curate.score",
    "pipeline.curate.replay",
    "pipeline.curate.verdicts",
    "pipeline.train.train",
    "pipeline.train.from_pixels",
    "pipeline.train.tune",
    "pipeline.evaluate.evaluate",
    "pipeline.finetune.finetune",
    "pipeline.deploy.export",
}
# A verdict is by definition followed by a replay.
ALLOWED = {("pipeline.curate.verdicts", "pipeline.curate.replay")}
CALLERS = {"look", "recipe", "upkeep", "demo", "cli"}  # they know steps; all others meet through the store


def test_steps_meet_through_the_store() -> None:
    for module, imported in modules().items():
        if place(module) not in CALLERS:
            wrong = [one for one in imported & STEPS if one != module and (module, one) not in ALLOWED]
            assert not wrong, f"{module} imports {wrong}"


MOST_LINES = {"module": 350, "class": 150, "function": 60}


def test_no_module_class_or_function_is_too_long() -> None:
    for file in (path for root in ("pipeline", "store") for path in (REPOSITORY / root).rglob("*.py")):
        text = file.read_text()
        assert len(text.splitlines()) <= MOST_LINES["module"], file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                most = MOST_LINES["class" if isinstance(node, ast.ClassDef) else "function"]
                assert (node.end_lineno or 0) - node.lineno < most, f"{file}: {node.name}"


def test_queries_of_steps_lie_in_folders_named_like_those_of_the_pipeline() -> None:
    assert {path.name for path in (REPOSITORY / "sql" / "steps").iterdir()} <= set(order())
