"""Fixtures: a store with all that the pages show, its server, and pages in a browser that have no error."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import browsing, tiny_clip
from tests.support.browsing import Open, Window
from tests.support.coldframe import Coldframe
from tests.support.looking import Looking, looking
from tests.support.once import once

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def shown(made: Coldframe, tmp_path_factory: pytest.TempPathFactory) -> Coldframe:
    """That store with a rule of a percentile, two runs that were evaluated, and a CLIP set."""

    def make(folder: Path) -> None:
        shutil.copytree(made.path, folder / "store")
        cf = Coldframe(folder / "store")
        cf("filter", "centroid", "--percentile", 80, "--embedder", "mean-colour")
        cf("filter", "greyscale", "--plan", "other")
        cf("train", "--head", "centroid", "--embedder", "mean-colour")
        cf("train", "--head", "linear", "--epochs", 2, "--embedder", "mean-colour")
        for run in ("centroid", "linear"):
            cf("evaluate", run)
        cf("embed", "clip", "--weights", tiny_clip.save(folder / "clip"))

    return Coldframe(once(tmp_path_factory, "shown", make) / "store")


@pytest.fixture(scope="module")
def cf(shown: Coldframe, tmp_path_factory: pytest.TempPathFactory) -> Coldframe:
    """A copy of it for the tests of a file."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(shown.path, folder / "store")
    return Coldframe(folder / "store")


@pytest.fixture(scope="module")
def server(cf: Coldframe) -> Iterator[Looking]:
    """The server of most tests."""
    with looking(cf) as one:
        yield one


@pytest.fixture
def served(server: Looking) -> Iterator[Looking]:
    """That server; what a test says of pictures is taken back, and the plan is as it was."""
    splits = server.get("/api/state")["splits"]
    yield server
    for _ in range(server.get("/api/state")["undo"]):
        server.post("/api/undo", {})
    if server.get("/api/state")["splits"] != splits:
        server.post("/api/replay", {"preview": False})


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens pages, and has the test fail on an error in a console, an error of a script, or a request to another host."""
    windows: list[Window] = []

    def open_(served: Looking, at: str = "", scheme: Any = "light", beside: Window | None = None) -> Window:
        context = beside.context if beside else browser.new_context(viewport=browsing.SIZE, color_scheme=scheme)
        context.set_default_timeout(20_000)
        windows.append(Window(context, served, at))
        return windows[-1]

    yield open_
    for window in windows:
        window.close()
    for context in {window.context for window in windows}:
        context.close()
    for window in windows:
        window.check()


@pytest.fixture
def window(opened: Open, served: Looking) -> Window:
    """A page in Review."""
    return opened(served)
