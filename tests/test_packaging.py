"""What is shipped is what is there."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import tomllib
from pathlib import Path

from tests.conftest import REPOSITORY

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


STEPS = ("ingest", "embed", "score", "curation", "verdicts", "train", "evaluate", "inspection", "explain", "verify")
# A verdict is by definition followed by a replay.
ALLOWED = {("verdicts", "curation")}


def test_steps_meet_through_the_store() -> None:
    for step in STEPS:
        for other in STEPS:
            if other != step and (step, other) not in ALLOWED:
                assert f"pipeline.{other}" not in imports(REPOSITORY / "pipeline" / f"{step}.py"), (
                    f"{step} imports {other}"
                )
