"""The pictures of the pages that the documents show, made on the demo's drawn creatures.

``make pictures`` writes them to ``docs/pictures``; a plain test only sees that they can be made.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from pipeline.demo import planting
from tests.support import browsing
from tests.support.browsing import Window
from tests.support.coldframe import REPOSITORY, Coldframe, environment
from tests.support.looking import Looking, looking

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.exhaustive,  # the demo takes half a minute
    pytest.mark.skipif(bool(browsing.missing()), reason=browsing.missing()),
]

ROWS = 400
JUDGED = 4
MOST_BYTES = 120_000
WRITTEN = REPOSITORY / "docs" / "pictures" if os.environ.get("PICTURES") else None
ASKED = """select image_id, label, value, suggested
from scores join images using (image_id)
where scorer = 'label-doubt' and suggested <> label
order by value desc
limit 60"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looking]:
    """A server of a demo, of which a few pictures are judged."""
    folder = tmp_path_factory.mktemp("demo") / "creatures"
    variables = {name: value for name, value in environment().items() if name != "COLDFRAME_EMBED_BACKEND"}
    command = [sys.executable, "-P", "-m", "pipeline", "demo", str(folder), "--rows", str(ROWS)]
    subprocess.run(command, check=True, capture_output=True, env=variables)
    with (folder / "truth.csv").open(newline="") as file:
        truth = {row["rare_species_id"]: row for row in csv.DictReader(file)}
    with looking(Coldframe(folder / "coldframe-store")) as one:
        for row in one.get(f"/api/list?queue=doubt&count={JUDGED}")["rows"]:
            judge(one, row, truth[row["id"]])
        yield one


def judge(served: Looking, row: dict[str, Any], true: dict[str, str]) -> None:
    """What a person says who knows what a picture is."""
    if true["kind"] == "mislabelled":
        said = {"verdict": "relabel", "label": true["note"]}
    else:
        said = {"verdict": "keep" if true["kind"] in planting.GOOD else "drop"}
    served.post("/api/judge", {"ids": [row["id"]], **said})


def of_review(window: Window) -> None:
    window.review()
    window.page.wait_for_function("() => [...document.images].every(one => !one.src || one.complete)")


def of_map(window: Window) -> None:
    window.page.set_default_timeout(120_000)
    window.go("map")
    window.page.locator(".legend > *").first.wait_for()
    window.page.locator(".making").wait_for(state="hidden")


def of_classes(window: Window) -> None:
    window.go("classes")
    window.page.locator(".pair img").nth(1).wait_for()


def of_runs(window: Window) -> None:
    window.go("runs")
    window.page.locator("#page table").first.wait_for()


def of_ask(window: Window) -> None:
    window.go("ask")
    window.page.locator("textarea").fill(ASKED)
    window.press("Control+Enter")
    window.page.locator("#page .grid .tile img[src]").first.wait_for()


def of_history(window: Window) -> None:
    window.go("history")
    window.page.locator("#page img, #page td").first.wait_for()


SHOWN = {
    "review": of_review,
    "map": of_map,
    "classes": of_classes,
    "runs": of_runs,
    "ask": of_ask,
    "history": of_history,
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", browsing.PAGES)
def test_a_picture_of_every_page(browser: Browser, served: Looking, page: str, scheme: Any, tmp_path: Path) -> None:
    context = browser.new_context(viewport=browsing.SIZE, color_scheme=scheme)
    window = Window(context, served)
    SHOWN[page](window)
    window.page.wait_for_load_state("networkidle")
    window.page.mouse.move(1279, 1)
    window.page.wait_for_timeout(500)  # pictures fade in
    write(window.page.screenshot(), (WRITTEN or tmp_path) / f"look-{page}-{scheme}.webp")
    window.close()
    context.close()
    window.check()


def write(data: bytes, file: Path) -> None:
    """A picture as WebP, as good as the size allows."""
    file.parent.mkdir(exist_ok=True)
    image = Image.open(io.BytesIO(data)).convert("RGB")
    for quality in (90, 80, 70, 60, 50):
        image.save(file, quality=quality, method=6)
        if file.stat().st_size <= MOST_BYTES:
            return
    pytest.fail(f"{file.name}: {file.stat().st_size} bytes")
