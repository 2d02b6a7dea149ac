"""Fixtures: a drawn catalogue, and ``coldframe`` on a store."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import settings

from pipeline.cli import run
from pipeline.cli.app import Common, cli
from tests.support.coldframe import SHARED, Catalogue, Coldframe, drawn, moved

# Heads are trained by torch in this process, so Keras runs on it here too: what needs TensorFlow has a process of its own.
os.environ["KERAS_BACKEND"] = "torch"
# As many processes test as there are cores: more threads than one each would wait for each other.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
# How long an example takes is for benchmarks to say.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of each test marked ``variants``, leave the first set of parameters in ``make test`` and mark the others."""
    first: dict[str, str] = {}
    for item in items:
        test = item.nodeid.partition("[")[0]
        if first.setdefault(test, item.nodeid) != item.nodeid and item.get_closest_marker("variants"):
            item.add_marker(pytest.mark.exhaustive)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their parameter: what was compressed or pickled may differ from one process that tests to the next."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The only variables of ours that tests see: a cache of converted networks for all of them, and the reference backend.

    Converting takes longer than embedding a test's few pictures; tests of backends ask for theirs.
    """
    cache = tmp_path_factory.getbasetemp().parent / "converted"
    own = {"COLDFRAME_CACHE": str(cache), "COLDFRAME_EMBED_BACKEND": "reference"}
    os.environ.update(own)
    return own


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, _own_environment: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("COLDFRAME_") and name not in _own_environment]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def _drawn(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return drawn(tmp_path_factory.mktemp("drawn") / "catalogue")


@pytest.fixture(scope="session")
def _embedded(_drawn: Catalogue) -> Coldframe:
    cf = Coldframe(_drawn.folder.parent / "store")
    cf.ingest(_drawn)
    cf("embed", "mean-colour")
    return cf


@pytest.fixture
def catalogue(tmp_path: Path, _drawn: Catalogue) -> Catalogue:
    """24 pictures of three classes."""
    shutil.copytree(_drawn.folder, tmp_path / "catalogue")
    return Catalogue(tmp_path / "catalogue", [dict(row) for row in _drawn.rows])


@pytest.fixture
def cf(tmp_path: Path) -> Coldframe:
    """``coldframe`` on an empty store."""
    return Coldframe(tmp_path / "store")


@pytest.fixture
def ready(cf: Coldframe, catalogue: Catalogue, _drawn: Catalogue, _embedded: Coldframe) -> Coldframe:
    """``coldframe`` on a store with the drawn catalogue, embedded by its colours."""
    shutil.copytree(_embedded.path, cf.path, copy_function=shutil.copy)  # as old as this test is
    moved(cf.store, _drawn.folder, catalogue.folder)
    return cf


@pytest.fixture
def steps_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ``run`` take its steps in this process: starting one for each takes longer than what most tests do in them."""

    def here(common: Common, arguments: list[str], *, results: bool = True) -> int:
        return CliRunner().invoke(cli, [*common.flags(), *arguments]).exit_code

    monkeypatch.setattr(run, "coldframe", here)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside this checkout: tests on real photographs need it")
    return SHARED
