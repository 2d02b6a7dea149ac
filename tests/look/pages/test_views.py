"""The other pages in a real browser, a server that ends, names that are HTML, and what axe finds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.look.conftest import HOSTILE
from tests.support import browsing
from tests.support.browsing import GONE, PAGES, REFUSED, Open, Window, settle
from tests.support.coldframe import Coldframe, drawn
from tests.support.judging import labelled, soon, verdicts
from tests.support.looking import Looking, looking

if TYPE_CHECKING:
    from playwright.sync_api import Dialog

pytestmark = [pytest.mark.exhaustive, pytest.mark.skipif(bool(browsing.missing()), reason=browsing.missing())]

SAVED = "#saved"
WAITING = "() => document.body.classList.contains('unsaved')"


def number_in(text: str) -> int:
    """The first number that is said."""
    found = re.search(r"\d+", text)
    assert found, text
    return int(found[0])


def test_a_server_that_is_killed_costs_no_verdict(opened: Open, tmp_path: Path) -> None:
    """200 pictures are judged; the server dies by SIGKILL on the way, and comes back at the same port."""
    catalogue = drawn(tmp_path, per_class=67)
    cf = Coldframe(tmp_path / "store")
    cf.ingest(catalogue)
    with looking(cf) as first:
        window = opened(first, "review?queue=all")
        window.allowed.append(GONE)
        window.painted()
        answered: list[int] = []
        window.page.on(
            "response", lambda answer: answered.append(answer.status) if "/api/judge" in answer.url else None
        )
        for _ in range(60):
            window.press("d")
        soon(lambda: len(verdicts(cf)), 60)
        for _ in range(10):  # as fast as a person who looks at each
            window.press("d")
            window.page.wait_for_timeout(150)
        first.process.kill()
        first.process.wait()
        stored = len(verdicts(cf))
        assert answered.count(200) <= stored <= 70  # what was answered is safe
        for _ in range(len(catalogue.rows) - 70):  # one more would judge the last one again
            window.press("d")
        window.waits_for("The server does not answer.", "#notice")
        window.waits_for("not saved yet", SAVED)
        judged = number_in(window.page.locator(SAVED).inner_text()) + stored  # of those that the page had read by then
        assert judged > stored
    window.allowed.append(REFUSED + "401")
    with looking(cf, "--port", first.port) as second:
        window.waits_for("This session is over", "#notice")
        other = opened(second, beside=window)  # the address that was printed again
        window.page.locator(SAVED).get_by_text("The server was gone and is back.").wait_for(timeout=60_000)
        window.page.wait_for_function(f"() => !({WAITING})()")
        other.close()  # before its server ends
    said = verdicts(cf)
    assert judged - len(said) in (0, 1)  # one may have been stored, and not answered, when the server died
    assert said == {row["id"]: "drop" for row in catalogue.rows[: len(said)]}
    cf("verify")


def test_a_page_says_when_the_server_ends_while_it_looks(opened: Open, cf: Coldframe) -> None:
    with looking(cf) as one:
        window = opened(one)
        window.painted()
    window.allowed.append(GONE)
    window.waits_for("The server does not answer. Is coldframe look still running?", "#notice")


SCRIPT = "</b><script>document.title='x'</script><b onclick=alert(1)>"


def test_html_and_script_of_a_store_stay_text(window: Window, cf: Coldframe) -> None:
    dialogs: list[str] = []

    def refuse(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    window.page.on("dialog", refuse)
    window.review("queue=all&text=odd-0")
    assert window.page.locator(".detail .labels strong").inner_text() == HOSTILE
    window.press("r", *SCRIPT)
    window.judge("Enter")
    assert labelled(cf, "odd-0") == SCRIPT
    window.waits_for(f"the catalogue says {HOSTILE}", ".detail .labels")
    for page in PAGES:
        window.go(page)
        settle(window, page)
        assert window.page.locator("img[src=x], main script, main b[onclick], #page iframe").count() == 0
        assert "coldframe" in window.page.title()
    assert dialogs == []


def test_a_lasso_on_the_map_opens_its_pictures(window: Window, cf: Coldframe) -> None:
    window.go("map?method=pca&set=mean-colour")
    settle(window, "map")
    window.press("l")
    box = window.page.locator(".cloud canvas").first.bounding_box()
    assert box
    corners = [(0.01, 0.02), (0.98, 0.02), (0.98, 0.97), (0.01, 0.97), (0.01, 0.02)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    mouse = window.page.mouse
    mouse.move(*places[0])
    mouse.down()
    for place in places[1:]:
        mouse.move(*place, steps=5)
    mouse.up()
    count = cf.value("select count(*) from images")
    window.waits_for(f"{count} pictures are held")
    window.page.get_by_role("button", name="Judge these").click()
    window.waits_for(f"{count} pictures from the map", ".toolbar h1")
    window.painted()
    window.judge("d")
    assert list(verdicts(cf).values()) == ["drop"]


def test_a_cell_of_the_confusion_matrix_opens_its_pictures(window: Window, cf: Coldframe) -> None:
    window.go("classes")
    settle(window, "classes")
    window.page.locator(".matrix canvas").focus()
    window.press("ArrowDown")
    label, count, predicted = told_of_cell(window)
    for key in ("ArrowRight", "ArrowDown") * 3:  # to one that has pictures
        if count:
            break
        window.press(key)
        label, count, predicted = told_of_cell(window)
    window.press("Enter")
    window.painted()
    window.waits_for(re.compile(rf"^{count} pictures?\b"), ".toolbar .count")
    window.waits_for(re.compile(r"^\d+ %: (found right|taken for )"), ".grid .tile .note")
    run = re.search(r"run=([^&]+)", window.page.url)
    assert run
    query = f"select count(*) from predictions where run_id = '{run[1]}' and evaluation = 'plain'"
    assert cf.value(f"{query} and label = '{label}' and predicted = '{predicted}'") == count > 0


def told_of_cell(window: Window) -> tuple[str, int, str]:
    """What the page says of the cell that is chosen: its class, its pictures, and what they were taken for."""
    said = window.page.locator(".matrix .readout").inner_text()
    found = re.fullmatch(r"(.+): (\d+) of \d+ (?:found right|taken for (.+))", said)
    assert found, said
    return found[1], int(found[2]), found[3] or found[1]


def test_runs_and_where_two_of_them_differ(window: Window, cf: Coldframe) -> None:
    window.go("runs")
    settle(window, "runs")
    for row in cf.rows("select run_id, 100 * accuracy as accuracy from evaluations"):
        window.waits_for(f"{row['accuracy']:.1f} %", "#page")


def test_sql_gives_a_grid_of_pictures_or_a_table(window: Window, cf: Coldframe) -> None:
    window.allowed.append(REFUSED + "400")
    window.go("ask")
    settle(window, "ask")
    query = window.page.locator("textarea")
    query.fill("select image_id, label from images where label = 'heron' order by image_id")
    query.press("Control+Enter")
    window.page.locator("#page .grid .tile").nth(7).wait_for()
    assert cf.value("select count(*) from images where label = 'heron'") == 8
    query.fill("select label, count(*) as pictures from images group by label")
    query.press("Control+Enter")
    window.page.locator("#page td, #page th").get_by_text("heron").first.wait_for()
    assert window.page.locator("#page td.n").first.inner_text().isdigit()
    query.fill("drop table images")
    query.press("Control+Enter")
    problem = window.page.locator("#page .problem").first
    problem.wait_for()
    assert problem.evaluate("one => getComputedStyle(one).paddingLeft") == "0px"
    assert cf.value("select count(*) from images") == 25


def test_pictures_are_found_by_words(window: Window, cf: Coldframe) -> None:
    window.go("ask")
    settle(window, "ask")
    words = window.page.get_by_role("searchbox")
    words.fill("a red bird")
    words.press("Enter")
    window.page.locator("#page .grid .tile").first.wait_for(timeout=90_000)  # torch is imported first
    assert cf.value("select count(*) from embeddings where embedder = 'clip'") == 25


def test_history_tells_verdicts_that_stand_and_that_do_not(window: Window, cf: Coldframe) -> None:
    window.review("queue=all&label=heron")
    window.judge("d")
    window.judge("k")
    window.undo()
    assert verdicts(cf) == {"heron-00": "drop"}
    window.go("history")
    settle(window, "history")
    window.waits_for(re.compile("drop"), "#page")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Open, served: Looking, cf: Coldframe, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    served.post("/api/judge", {"ids": ["finch-03", "finch-04"], "verdict": "drop"})
    served.post("/api/judge", {"ids": ["finch-05"], "verdict": "relabel", "label": "moth"})
    window = opened(served, scheme=scheme)
    axe, found = Axe(), []
    options: dict[str, object] = {"resultTypes": ["violations"]}
    if scheme == "dark":  # what a theme changes is its colours; all else is looked at once
        options["runOnly"] = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}

    def look(place: str) -> None:
        window.page.wait_for_timeout(150)  # what fades in is judged once it is there
        for one in axe.run(window.page, options=options).response["violations"]:
            if one["impact"] in ("serious", "critical"):
                nodes = [
                    f"{node['target']} {node['html'][:120]} {node['failureSummary'][:200]}" for node in one["nodes"]
                ]
                found.append(f"{place}, {scheme}: {one['id']}: {one['help']}: {nodes[:3]}")

    for page in PAGES:
        window.go(page)
        settle(window, page)
        look(page)
    window.review("queue=all&label=finch")
    look("verdicts")
    window.press("r")
    look("relabel")
    window.press("Escape", "?")
    look("keys")
    window.press("Escape", " ")
    look("large")
    window.press("Escape")
    window.page.locator("#replay").click()
    window.page.get_by_role("dialog").get_by_text("pictures are in now").wait_for()
    look("replay")
    assert not found, "\n".join(found)
