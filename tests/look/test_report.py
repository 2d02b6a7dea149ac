"""``report``: one file without script, from any store, that shows what is there and says what is not."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline.ingest.leftovers import BESIDE_REPORT
from pipeline.look import report
from pipeline.look.page import between
from pipeline.look.reporting import BEGIN, folder_of
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from tests.support.coldframe import Catalogue, Coldframe, drawn, environment, picture
from tests.support.synthetic import fresh_store, image, put_images

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NASTY = "<script>alert(1)</script>"
NASTY_PATH = "moth/\"><img src=x onerror=alert(2)>'.png"
TURNED = "right\u202eleft\x1b[31m"


# The smallest width of the pictures of a page, once all are there.
SMALLEST = """async () => {
    const pictures = [...document.images]
    pictures.forEach(one => { one.loading = "eager" })
    await Promise.all(pictures.map(one => one.decode()))
    return Math.min(...pictures.map(one => one.naturalWidth))
}"""


def _grey(seed: int) -> Image.Image:
    return picture("moth", seed).convert("L").convert("RGB")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Coldframe, Catalogue]:
    """A store with every part that a report has, from pictures with names that would be tags."""
    folder = tmp_path_factory.mktemp("full")
    catalogue = drawn(folder / "catalogue", per_class=12)
    catalogue.add("nasty", NASTY, picture("finch", 500), NASTY_PATH)
    catalogue.add('id"><b>', NASTY, picture("heron", 501), "heron/plain.png")
    catalogue.add(TURNED, TURNED, picture("heron", 502), "heron/turned.png")
    for number in range(3):
        catalogue.add(f"grey-{number}", "moth", _grey(number))
    copied = catalogue.images / "moth" / "copied.png"
    shutil.copy(catalogue.images / "moth" / "moth-00.png", copied)
    catalogue.add("copied", "heron", None, "moth/copied.png")
    catalogue.add("gone", "moth", None, f"moth/{NASTY.replace('/', '-')}.png")
    catalogue.write()
    cf = Coldframe(folder / "coldframe-store")
    cf.ingest(catalogue, code=3)
    cf("embed", "mean-colour")
    cf("score", "knn", "label-doubt")
    cf("copies")
    cf("filter", "greyscale")
    cf("filter", "knn", "--percentile", 75)
    cf("split", "test", 0.3)
    cf("filter", "centroid", "--percentile", 80, "--percentile", 90)
    cf("filter", "label-doubt", "--deviations", 1)
    cf("filter", "greyscale", "--plan", "other")
    cf("drop", "moth-01", "--why", NASTY)
    cf("train", "--head", "centroid")
    cf("train", "--head", "knn", "--as", "neighbours")
    cf("evaluate", "centroid")
    cf("evaluate", "neighbours", "--mask-by", "phylum")
    return cf, catalogue


class _Tags(HTMLParser):
    """The tags of a page, and the attributes of each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def _sections(page: str) -> list[str]:
    return re.findall(r'<section id="([^"]+)"', page)


def test_every_section_is_there(full: tuple[Coldframe, Catalogue]) -> None:
    cf, _ = full
    page = report(cf.path).html
    found = _sections(page)
    for key in ("books", "classes", "sizes", "rule-greyscale", "rule-knn", "rule-centroid", "views", "mistakes"):
        assert key in found, key
    for key in ("confusion", "runs", "suspects", "copies", "failures", "again"):
        assert key in found, key
    assert "missing" not in found
    assert "Narrowly in" in page
    assert "Narrowly out" in page
    assert "typical" in page
    assert "dropped by a person" in page
    kept = cf.value("select count(*) from splits where plan = 'default'")
    assert f"of which {kept} are left" in page


@pytest.mark.variants
@pytest.mark.parametrize(
    ("rule", "setting"), [("label-doubt", ("--deviations", 0)), ("centroid", ("--percentile", 80))]
)
def test_what_a_rule_over_vectors_nearly_took_is_shown(
    made: Coldframe, tmp_path: Path, rule: str, setting: tuple[object, ...]
) -> None:
    shutil.copytree(made.path, tmp_path / "store")
    cf = Coldframe(tmp_path / "store")
    cf("split", "test", 0.2, "--plan", "strict")
    cf("filter", rule, *setting, "--embedder", "mean-colour", "--plan", "strict")
    page = report(cf.path, plan="strict").html
    section = page[page.index(f'id="rule-{rule}"') :].split("</section>")[0]
    assert "Narrowly in" in section
    left_in = section[section.index("Narrowly in") :]
    kept = {row["image_id"] for row in cf.rows("select image_id from splits where plan = 'strict' and split = 'train'")}
    assert any(one in left_in for one in kept)


def test_nothing_of_a_store_is_a_tag(full: tuple[Coldframe, Catalogue]) -> None:
    page = report(full[0].path).html
    found = _Tags(page)
    assert {tag for tag, _ in found.tags} <= {
        "html", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "p", "div", "b", "span", "nav", "a", "main",
        "section", "svg", "symbol", "image", "use", "rect", "line", "circle", "text", "img", "article", "figure",
        "figcaption", "table", "thead", "tbody", "tr", "th", "td", "code", "pre", "ul", "li", "footer",
    }  # fmt: skip
    assert not [attrs for _, attrs in found.tags if any(name.startswith("on") for name in attrs)]
    links = [value or "" for _, attrs in found.tags for name, value in attrs.items() if name in ("src", "href")]
    assert all(one.startswith(("#", "data:image/webp;base64,")) for one in links)
    assert html.escape(NASTY) in page
    assert html.escape(NASTY_PATH) in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "right\\u202eleft" in page


@pytest.mark.exhaustive
@pytest.mark.slow
def test_its_commands_make_the_same_again(full: tuple[Coldframe, Catalogue], tmp_path: Path) -> None:
    cf, _ = full
    cf = Coldframe(_copied(cf.path, tmp_path))
    block = re.search(r"<pre>(.*?)</pre>", report(cf.path).html, re.DOTALL)
    assert block is not None
    commands = html.unescape(block[1]).splitlines()
    assert not [one for one in commands if not one.startswith("coldframe ")]
    again = Coldframe(tmp_path / "again")
    for line in commands:
        words = shlex.split(line)[1:]
        again(*words, code=3 if words[0] == "ingest" else 0)
    same = "from exclusions select plan, image_id, rule order by all"
    cf("unset", "moth-01")  # a person's verdict is not made again, and the report says so
    assert again.rows(same) == cf.rows(same)
    figures = "select name, evaluation, split, accuracy from evaluations join runs using (run_id) order by all"
    assert len(again.rows(figures)) == len(cf.rows(figures))


def _copied(store: Path, folder: Path) -> Path:
    return Path(shutil.copytree(store, folder / "copied", copy_function=shutil.copy))


@pytest.mark.exhaustive
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_from_disk_in_a_browser_without_a_network(
    full: tuple[Coldframe, Catalogue], tmp_path: Path, browser: Browser, scheme: Any
) -> None:
    said: list[str] = []
    asked: list[str] = []
    file = report(full[0].path).save(tmp_path / "a report.html")
    everything = tmp_path / 'odd #1 "all".html'
    full[0]("report", "--all", everything)
    for one in (file, everything):
        context = browser.new_context(viewport={"width": 900, "height": 700}, color_scheme=scheme, offline=True)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(one.as_uri())
        assert page.evaluate(SMALLEST) > 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 900
        assert page.locator("h1").inner_text().endswith("coldframe-store")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 384) == (scheme == "light")
        page.locator("nav a", has_text="Runs").click()
        assert page.evaluate("location.hash") == "#runs"
        context.close()
    assert not said
    assert all(one.startswith(("file://", "data:")) for one in asked)


def test_an_interval_without_a_width_is_not_shown() -> None:
    assert (between(1.0, 1.0), between(None, 0.5), between(0.9, 0.95)) == ("–", "–", "90.0 to 95.0 %")


def test_in_a_notebook(full: tuple[Coldframe, Catalogue]) -> None:
    shown = report(full[0].path)._repr_html_()
    assert shown.startswith("<iframe sandbox srcdoc=")
    found = _Tags(shown).tags
    assert [tag for tag, _ in found] == ["iframe"]
    assert (found[0][1]["srcdoc"] or "").startswith(BEGIN)


@pytest.mark.exhaustive
def test_all_pictures_lie_beside_it(full: tuple[Coldframe, Catalogue], tmp_path: Path) -> None:
    cf, _ = full
    file = tmp_path / "whole.html"
    assert "which goes with it" in cf("report", "--all", file).stderr
    folder = tmp_path / folder_of(file)
    names = {one.name for one in folder.iterdir()} - {BESIDE_REPORT}
    assert names
    assert {f"{one}.webp" for one in re.findall(r"whole-pictures/([0-9a-f]{32}).webp", file.read_text())} == names
    outs = cf.rows("select content_id from exclusions join images using (image_id) where plan = 'default'")
    assert {f"{row['content_id']}.webp" for row in outs} <= names
    cf("report", "--all", file)
    (folder / "mine.txt").write_text("mine")
    assert "it holds 'mine.txt'" in cf("report", "--all", file, code=1).stderr
    cf("report", "--all", file, "--force")
    assert (folder / "mine.txt").read_text() == "mine"


def test_a_link_in_place_of_the_folder_is_refused(full: tuple[Coldframe, Catalogue], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "x-pictures").symlink_to(tmp_path / "elsewhere")
    assert "a link or no folder" in full[0]("report", "--all", tmp_path / "x.html", "--force", code=1).stderr
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.exhaustive
def test_what_is_no_report_stays(full: tuple[Coldframe, Catalogue], tmp_path: Path) -> None:
    cf, _ = full
    file = tmp_path / "page.html"
    cf("report", file)
    cf("report", file)  # ours: it is replaced
    file.write_text("<p>mine</p>")
    assert "not a report of coldframe, so it stays" in cf("report", file, code=1).stderr
    assert file.read_text() == "<p>mine</p>"
    file.unlink()
    (tmp_path / "target").write_text("mine")
    file.symlink_to(tmp_path / "target")
    assert "not a report of coldframe" in cf("report", file, code=1).stderr
    cf("report", file, "--force")
    assert not file.is_symlink()
    assert (tmp_path / "target").read_text() == "mine"


@pytest.mark.exhaustive
def test_names_that_are_refused(full: tuple[Coldframe, Catalogue], tmp_path: Path) -> None:
    cf, _ = full
    assert "expected a name ending in .html" in cf("report", tmp_path / "report.pdf", code=1).stderr
    (tmp_path / "folder.html").mkdir()
    assert "a folder; name a file" in cf("report", tmp_path / "folder.html", "--force", code=1).stderr
    assert "no such folder" in cf("report", tmp_path / "none" / "x.html", code=1).stderr
    assert "no plan 'x'; the store has: default, other" in cf("report", "--plan", "x", code=1).stderr
    assert "no store here" in Coldframe(tmp_path / "none")("report", code=1).stderr
    with pytest.raises(ColdframeError, match=r"shows the pictures of a-pictures: save it as a\.html"):
        report(cf.path, everything=True, file="a.html").save(tmp_path / "b.html")


@pytest.mark.exhaustive
def test_a_full_disk_is_a_sentence(
    full: tuple[Coldframe, Catalogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = report(full[0].path)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "x.html"))

    monkeypatch.setattr("store.whole.replace", full_disk)
    with pytest.raises(ColdframeError, match=r"x.html: the report cannot be written \(No space left on device\)"):
        made.save(tmp_path / "x.html")


def test_another_plan(full: tuple[Coldframe, Catalogue], tmp_path: Path) -> None:
    file = tmp_path / "other.html"
    full[0]("report", "--plan", "other", file)
    found = _sections(file.read_text())
    assert "rule-greyscale" in found
    assert "rule-centroid" not in found


def test_a_store_that_lacks_nearly_all(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    page = report(cf.path).html
    assert _sections(page) == ["books", "classes", "sizes", "views", "again", "missing"]
    for command in ("filter greyscale", "train --head linear", "score label-doubt", "copies"):
        assert f"<code>coldframe {command}</code>" in page, command


def test_a_run_that_was_not_evaluated(ready: Coldframe) -> None:
    ready("filter", "greyscale")
    ready("split", "test", 0.2)
    ready("train", "--head", "centroid")
    page = report(ready.path).html
    assert "No run was evaluated yet" in page
    assert "<code>coldframe evaluate</code>" in page


def test_an_empty_catalogue(tmp_path: Path) -> None:
    store = fresh_store(tmp_path)
    page = report(store).html
    assert "0 rows, of which 0 are left" in page
    assert _sections(page) == ["books", "missing"]


def test_pictures_that_are_gone_are_said_to_be(ready: Coldframe, catalogue: Catalogue, tmp_path: Path) -> None:
    ready("filter", "centroid", "--percentile", 80)
    shutil.rmtree(catalogue.images)
    said = ready("report", tmp_path / "x.html").stderr
    assert "pictures can no longer be read, such as:" in said
    assert "the image folder is not there any more" in said
    page = (tmp_path / "x.html").read_text()
    assert "can no longer be read" in page
    assert "<img" not in page


def test_many_classes_are_put_together_or_cut(tmp_path: Path) -> None:
    for is_grouped in (True, False):
        store = fresh_store(tmp_path / str(is_grouped))
        labels = [f"class {number:03d}" for number in range(60)]
        group = {"phylum": "of {}"} if is_grouped else {"other": "of {}"}
        rows = [
            image(f"{label} {copy}", label, **{name: value.format(at % 5) for name, value in group.items()})
            for at, label in enumerate(labels)
            for copy in range(2)
        ]
        put_images(store, rows)
        _put_run(store, [(row["image_id"], row["label"], labels[(at * 7) % 60]) for at, row in enumerate(rows)], labels)
        page = report(store).html
        told = "The 60 classes are put together by the column phylum" if is_grouped else "The 24 classes of 60"
        assert told in page
        assert "All classes" in page


def _put_run(store: Any, rows: list[tuple[str, str, str]], labels: list[str]) -> None:
    run_id = "20260101T000000-made-0123ab"
    run = dict.fromkeys(SCHEMAS["runs"].names)
    run |= {"run_id": run_id, "name": "made", "head": "linear", "embedder": "e", "plan": "default", "classes": labels}
    of_run = {"run_id": run_id, "evaluation": "plain", "split": "test"}
    figures = dict.fromkeys(SCHEMAS["evaluations"].names) | of_run
    figures |= {"rows": len(rows), "accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6, "f1_macro": 0.5}
    predictions = [
        {
            **of_run,
            "image_id": one,
            "label": label,
            "predicted": said,
            "probability": 0.9,
            "label_probability": 0.1,
            "rank": 2,
        }
        for one, label, said in rows
    ]
    with store.commit("test") as commit:
        for dataset, made in (("runs", [run]), ("evaluations", [figures]), ("predictions", predictions)):
            commit.replace(dataset, pa.Table.from_pylist(made, SCHEMAS[dataset]), key="made")


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_thousand_pictures_are_small_and_soon_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    catalogue = Catalogue(tmp_path / "catalogue", [])
    for number in range(1000):
        noise = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize(
            (400, 300), Image.Resampling.BICUBIC
        )
        catalogue.add(f"{number:04d}", ("moth", "finch", "heron")[number % 3], noise, f"{number:04d}.jpg")
    catalogue.write()
    cf = Coldframe(tmp_path / "store")
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    cf("score", "knn", "label-doubt")
    cf("filter", "knn", "--percentile", 90)
    cf("split", "test", 0.2)
    cf("filter", "centroid", "--percentile", 90)
    cf("train", "--head", "centroid")
    cf("evaluate")
    started = time.process_time()
    page = report(cf.path).html
    assert time.process_time() - started < 10
    assert len(page.encode()) < 5_000_000


def test_a_report_loads_no_framework() -> None:
    code = (
        "import sys, pipeline.look.document; print([m for m in ('torch', 'tensorflow', 'keras') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert json.loads(done.stdout.replace("'", '"')) == []
