"""Fixtures: a store to look at, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import browsing
from tests.support.coldframe import Coldframe, drawn, picture
from tests.support.once import once

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Coldframe:
    """A store with vectors, doubts and a plan, of which tests take copies.

    One finch is filed as a moth, and one class and file have names of HTML.
    """
    return Coldframe(once(tmp_path_factory, "made", _make) / "store")


def _make(folder: Path) -> None:
    catalogue = drawn(folder)
    catalogue.rows[0]["label"] = "moth"
    catalogue.add("odd-0", HOSTILE, picture("heron", 90), f"{HOSTILE.replace('/', '')}.png")
    (catalogue.images / "vector.svg").write_text(
        "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    )
    catalogue.rows.append({"id": "svg", "file_path": "vector.svg", "label": "moth", "phylum": ""})
    catalogue.write()
    cf = Coldframe(folder / "store")
    cf("ingest", catalogue.metadata, "--images", catalogue.images, "--id", "id", "--path", "file_path", code=3)
    cf("embed", "mean-colour")
    cf("score", "label-doubt")
    cf("filter", "label-doubt", "--embedder", "mean-colour")
    cf("split", "test", 0.2)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser for all tests of a process."""
    if reason := browsing.missing():
        pytest.skip(reason)
    with browsing.browsing() as one:
        yield one
