"""The pages in a real browser: what a person does on them, and what is in the store afterwards."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.look.conftest import HOSTILE
from tests.support import browsing, tiny_clip
from tests.support.browsing import GONE, PAGES, REFUSED, Window
from tests.support.coldframe import Catalogue, Coldframe, drawn, picture
from tests.support.judging import FIRST_OFFER, go_through
from tests.support.looking import Looking, looking

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(browsing.missing()), reason=browsing.missing())]

Open = Callable[..., Window]
SAVED = "#saved"
# Both timers are due when the page is free again, so the page's own runs before it hears that the address has changed.
MOVE_AND_GO_ON = """at => {
  setTimeout(() => { location.hash = at; }, 200);
  document.querySelector('.grid').dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
  const until = performance.now() + 400;
  while (performance.now() < until);
}"""
WAITING = "() => document.body.classList.contains('unsaved')"


@pytest.fixture(scope="module")
def cf(made: tuple[Coldframe, Catalogue], tmp_path_factory: pytest.TempPathFactory) -> Coldframe:
    """That store with a rule of a percentile, two runs that were evaluated, and a CLIP set."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(made[0].path, folder / "store")
    cf = Coldframe(folder / "store")
    cf("filter", "centroid", "--percentile", 80, "--embedder", "mean-colour")
    cf("filter", "greyscale", "--plan", "other")
    cf("train", "--head", "centroid", "--embedder", "mean-colour")
    cf("train", "--head", "linear", "--epochs", 2, "--embedder", "mean-colour")
    for run in ("centroid", "linear"):
        cf("evaluate", run)
    cf("embed", "clip", "--weights", tiny_clip.save(folder / "clip"))
    return cf


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


def verdicts(cf: Coldframe) -> dict[str, str]:
    """What stands in the store, by image."""
    return {row["image_id"]: row["verdict"] for row in cf.rows("select image_id, verdict from judgements")}


def labelled(cf: Coldframe, image_id: str) -> Any:
    """The label of an image in the store."""
    return cf.value(f"select label from images where image_id = '{image_id}'")


def soon(what: Callable[[], Any], expected: Any) -> None:
    """Wait until the store says so."""
    until = time.monotonic() + 20
    while (found := what()) != expected:
        assert time.monotonic() < until, found
        time.sleep(0.1)


def number_in(text: str) -> int:
    """The first number that is said."""
    found = re.search(r"\d+", text)
    assert found, text
    return int(found[0])


# Review


def test_the_first_picture_is_painted_and_explained(window: Window, cf: Coldframe) -> None:
    window.painted()
    assert window.page.locator(".headline").inner_text().startswith("Looks like finch, filed as moth:")
    thumbnail = window.cursor.locator("img")
    assert thumbnail.evaluate("one => one.decode().then(() => one.naturalWidth)") > 0
    shown = window.page.locator("nav[aria-label=Queues] a").first
    doubted = cf.value("select count(*) from scores where scorer = 'label-doubt' and suggested is not null")
    assert (shown.inner_text(), shown.get_attribute("data-count")) == ("Neighbours disagree", str(doubted))


def test_keep_drop_and_relabel_by_key_and_undo(window: Window, cf: Coldframe) -> None:
    window.review("queue=all&label=finch")
    window.judge("k")
    window.judge("d")
    assert window.cursor.get_attribute("aria-posinset") == "3"  # on to the next that nobody judged
    assert verdicts(cf) == {"finch-01": "keep", "finch-02": "drop"}
    window.review("queue=doubt")
    window.press("r")
    window.page.locator(FIRST_OFFER).get_by_text("finch").wait_for()
    window.judge("Enter")
    assert labelled(cf, "finch-00") == "finch"
    window.press("Control+Shift+z")  # elsewhere this does again what was undone
    assert labelled(cf, "finch-00") == "finch"
    assert window.undo()["what"] == "relabel of 1 picture"
    assert labelled(cf, "finch-00") == "moth"
    window.undo()
    assert verdicts(cf) == {"finch-01": "keep"}
    window.review("queue=judged")
    window.judge("u")
    assert verdicts(cf) == {}


def test_what_is_said_of_a_picture_is_said_anew_after_a_verdict(window: Window, cf: Coldframe) -> None:
    window.review("queue=all&text=finch-00")
    window.waits_for("filed as moth", ".headline")
    window.press("r")
    window.judge("Enter")
    window.waits_for("filed as finch", ".headline")
    window.undo()
    window.waits_for("filed as moth", ".headline")


def test_relabel_completes_what_is_typed(window: Window, cf: Coldframe) -> None:
    window.review("queue=all&text=moth-03")
    window.press("r", "h", "e")
    window.page.locator(FIRST_OFFER).get_by_text("heron").wait_for()
    window.judge("Enter")
    assert labelled(cf, "moth-03") == "heron"
    window.waits_for("the catalogue says moth", ".detail .labels")


def test_a_range_with_shift(window: Window, cf: Coldframe) -> None:
    window.review("queue=all&label=heron")
    window.press("ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight")
    window.waits_for("3 pictures are selected", ".detail .scope")
    window.judge("d")
    assert verdicts(cf) == dict.fromkeys(["heron-01", "heron-02", "heron-03"], "drop")
    window.page.locator(".grid .tile").nth(5).click()
    window.page.locator(".grid .tile").nth(7).click(modifiers=["Shift"])
    window.judge("k")
    assert sum(one == "keep" for one in verdicts(cf).values()) == 3
    assert window.undo()["undone"] == 3
    assert window.undo()["undone"] == 3
    assert verdicts(cf) == {}


def test_all_in_a_list_is_said_before_it_is_done(window: Window, cf: Coldframe) -> None:
    window.review("queue=all&label=heron")
    window.press("Control+a", "d")
    asked = window.page.get_by_role("dialog")
    asked.get_by_text("Drop all 8 pictures of “All pictures”, class heron?").wait_for()
    asked.get_by_role("button", name="Cancel").click()
    assert verdicts(cf) == {}
    window.press("Control+a", "d")
    asked.get_by_role("button", name=re.compile("^Drop")).wait_for()
    window.judge("Enter")
    assert verdicts(cf) == {f"heron-{at:02d}": "drop" for at in range(8)}
    window.undo()
    assert verdicts(cf) == {}


def test_all_in_a_list_is_refused_if_it_is_another_one_by_now(window: Window, served: Looking, cf: Coldframe) -> None:
    window.allowed.append(REFUSED + "409")
    window.review("queue=all&label=moth&verdict=none")
    served.post("/api/judge", {"ids": ["moth-05"], "verdict": "keep"})
    window.press("Control+a", "d")
    window.waits_for("The list has changed.", SAVED)
    window.painted()
    window.press("Control+a", "d")
    button = window.page.get_by_role("dialog").get_by_role("button", name=re.compile("^Drop"))
    button.wait_for()
    served.post("/api/judge", {"ids": ["moth-06"], "verdict": "keep"})
    button.click()
    window.waits_for("by now, of", SAVED)
    assert verdicts(cf) == {"moth-05": "keep", "moth-06": "keep"}


def test_a_replay_is_previewed_and_then_done(opened: Open, served: Looking, cf: Coldframe) -> None:
    served.post("/api/replay", {"preview": False})  # what earlier tests said and took back is no part of it
    window = opened(served)
    kept = "select count(*) from kept"
    before = cf.value(kept)
    window.review("queue=all&label=moth&split=train")
    window.judge("d")
    window.page.get_by_role("button", name="Replay 1 verdict…").click()
    preview = window.page.get_by_role("dialog")
    preview.get_by_text("pictures are in now").wait_for()
    said = preview.locator(".figures").inner_text()
    preview.get_by_role("button", name="Not now").click()
    assert cf.value(kept) == before
    window.page.get_by_role("button", name="Replay 1 verdict…").click()
    window.page.get_by_role("button", name="Replay the plan").click()
    window.waits_for("The plan is replayed.", SAVED)
    after = cf.value(kept)
    assert said == f"{before} pictures are in now, {after} would be."
    assert after != before
    assert window.page.locator("#replay").is_hidden()


@pytest.mark.parametrize(
    ("control", "value", "condition"),
    [
        ("Split", "test", "split = 'test'"),
        ("Rule", "centroid", "rule = 'centroid'"),
        ("Judged", "none", "true"),
    ],
)
def test_filters(window: Window, cf: Coldframe, control: str, value: str, condition: str) -> None:
    window.review("queue=all")
    window.page.get_by_label(control, exact=True).select_option(value)
    placed = "images left join (select image_id, split from kept) using (image_id)"
    out = "left join (select image_id, rule from exclusions where plan = 'default') using (image_id)"
    count = cf.value(f"select count(*) from {placed} {out} where {condition}")
    window.waits_for(re.compile(rf"^{count} pictures?\b"), ".toolbar .count")


def test_an_empty_list_leads_back(window: Window) -> None:
    window.go("review?queue=all&text=nothing-like-it&verdict=keep")
    window.page.get_by_role("button", name="Clear filters").click()
    window.waits_for("25 pictures", ".toolbar .count")
    window.painted()


def test_another_plan_is_chosen(window: Window, served: Looking) -> None:
    window.review("queue=all&text=moth-03")
    plan = window.page.get_by_label("Plan", exact=True)
    plan.select_option("other")
    soon(lambda: served.get("/api/state")["plan"], "other")
    rules = window.page.get_by_label("Rule", exact=True).locator("option")
    soon(lambda: "out by centroid" in " ".join(rules.all_inner_texts()), False)
    plan.select_option("default")
    soon(lambda: served.get("/api/state")["plan"], "default")


def test_finding_by_text_and_sorting(window: Window, cf: Coldframe) -> None:
    window.review("queue=all")
    window.press("/", *"HERON-0", "Enter")
    window.waits_for("8 pictures", ".toolbar .count")
    assert cf.value("select count(*) from images where image_id ilike '%heron-0%'") == 8
    window.review("queue=all&sort=label")
    labels = [row["label"] for row in cf.rows("select label from images order by label, image_id")]
    shown = window.page.locator(".grid .tile:not(.unused)").evaluate_all(
        "all => all.sort((a, b) => a.ariaPosInSet - b.ariaPosInSet).map(one => one.querySelector('.caption').textContent)"
    )
    assert shown == labels[: len(shown)]


def test_a_picture_beside_the_list_can_be_judged(window: Window, cf: Coldframe) -> None:
    window.review("queue=doubt")
    beside = window.page.locator(".detail .compare button.small").first
    content = beside.locator("img").get_attribute("src")
    assert content
    beside.click()
    window.waits_for("A picture beside the list", ".detail .back")
    window.judge("k")
    (image_id,) = verdicts(cf)
    assert cf.value(f"select content_id from images where image_id = '{image_id}'") == content.rpartition("/")[2]


def test_a_picture_as_large_as_the_window(window: Window, cf: Coldframe) -> None:
    window.review("queue=all&label=moth")
    window.press(" ")
    large = window.page.get_by_role("dialog", name="Large")
    large.locator("img").wait_for()
    window.judge("d")
    window.press("Escape")
    large.wait_for(state="detached")
    assert list(verdicts(cf).values()) == ["drop"]


def test_a_file_that_gave_no_picture_is_told_and_not_judged(window: Window, cf: Coldframe) -> None:
    window.go("review?queue=failures")
    window.waits_for("This file gave no picture.", ".detail")
    reason = cf.value("select reason from failures")
    window.waits_for(reason, ".detail .story")
    window.press("d")
    window.waits_for("cannot be judged", SAVED)
    assert verdicts(cf) == {}


def test_a_scripted_person_needs_two_keys_a_picture(opened: Open, tmp_path: Path) -> None:
    """She knows the truth, has no mouse, and goes through the first queue."""
    catalogue = drawn(tmp_path, per_class=16)
    truth: dict[str, str | None] = {row["id"]: row["label"] for row in catalogue.rows}
    for row in catalogue.rows[::5]:
        row["label"] = "heron" if row["label"] == "moth" else "moth"
    for at in range(3):
        catalogue.add(f"drawing-{at}", "finch", picture("heron", 500 + at))  # should not be there
        catalogue.add(f"odd-{at}", "moth", picture("finch", 600 + at))  # is what it is filed as
        truth |= {f"drawing-{at}": None, f"odd-{at}": "moth"}
    catalogue.write()
    cf = Coldframe(tmp_path / "store")
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    cf("score", "label-doubt")
    doubted = {row["image_id"] for row in cf.rows("select image_id from scores where suggested is not null")}
    true = {row["content_id"]: truth[row["image_id"]] for row in cf.rows("select content_id, image_id from images")}
    with looking(cf) as served:
        window = opened(served)
        window.painted()
        pressed = go_through(window, true, 60)
        soon(lambda: cf.value("select count(*) from verdict_history"), len(pressed))
        window.close()
    assert len(pressed) == len(doubted) >= 16
    assert sum(pressed) <= 2 * len(pressed)
    settled = {row["image_id"]: row["label"] for row in cf.rows("select image_id, label from images")}
    assert all(settled[one] == truth[one] for one in doubted if truth[one])
    said = verdicts(cf)
    assert {one for one in said if said[one] == "drop"} == {one for one in doubted if truth[one] is None}


# What goes wrong


def test_who_goes_on_at_once_is_not_called_back(window: Window) -> None:
    """The address is made more exact a moment after the cursor moves; a link that is followed in that moment counts."""
    window.review("queue=all&label=moth")
    window.page.evaluate(MOVE_AND_GO_ON, "#/review?queue=all&label=heron")
    window.page.locator(".grid .tile:not(.unused)").filter(has_text="heron").first.wait_for()
    window.page.wait_for_timeout(400)
    assert "label=heron" in window.page.url


def test_two_pages_see_each_others_verdicts(opened: Open, served: Looking, cf: Coldframe) -> None:
    one, other = opened(served), opened(served)
    for window in (one, other):
        window.review("queue=all&label=heron")
    one.judge("d")
    other.page.locator(".grid .tile.drop").first.wait_for()
    other.press("ArrowRight")
    other.judge("k")
    one.page.locator(".grid .tile.keep").first.wait_for()
    cf("drop", "heron-07", "--why", "by hand")
    for window in (one, other):
        window.page.locator(".grid .tile.drop").nth(1).wait_for()
    assert verdicts(cf) == {"heron-00": "drop", "heron-01": "keep", "heron-07": "drop"}
    cf("unset", "heron-07")


def test_a_server_that_is_killed_costs_no_verdict(opened: Open, tmp_path: Path) -> None:
    """200 pictures are judged; the server dies by SIGKILL on the way, and comes back at the same port."""
    catalogue = drawn(tmp_path, per_class=70)
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
            window.page.wait_for_timeout(300)
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


# The other pages


def settle(window: Window, page: str) -> None:
    """Wait until a page shows what it has."""
    shown = {
        "review": ".detail .story",
        "map": ".cloud canvas",
        "classes": ".classes table",
        "runs": "table",
        "ask": "textarea",
        "history": "#page li, #page td",
    }
    window.page.locator(f"#tabs [aria-current=page][data-key={page}]").wait_for()
    window.page.locator(shown[page]).first.wait_for()
    if page == "map":
        window.page.locator(".making").wait_for(state="hidden")
        window.page.locator(".legend > *").first.wait_for()
    window.page.wait_for_load_state("networkidle")


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


@pytest.mark.exhaustive
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Open, served: Looking, cf: Coldframe, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    served.post("/api/judge", {"ids": ["finch-03", "finch-04"], "verdict": "drop"})
    served.post("/api/judge", {"ids": ["finch-05"], "verdict": "relabel", "label": "moth"})
    window = opened(served, scheme=scheme)
    axe, found = Axe(), []

    def look(place: str) -> None:
        window.page.wait_for_timeout(150)  # what fades in is judged once it is there
        for one in axe.run(window.page).response["violations"]:
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
