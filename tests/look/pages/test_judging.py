"""Review in a real browser: what a person does there, and what is in the store afterwards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import browsing
from tests.support.browsing import REFUSED, Open, Window
from tests.support.coldframe import Coldframe, drawn, picture
from tests.support.judging import FIRST_OFFER, go_through, labelled, soon, verdicts
from tests.support.looking import Looking, looking

pytestmark = [pytest.mark.exhaustive, pytest.mark.skipif(bool(browsing.missing()), reason=browsing.missing())]

SAVED = "#saved"
# Both timers are due when the page is free again, so the page's own runs before it hears that the address has changed.
MOVE_AND_GO_ON = """at => {
  setTimeout(() => { location.hash = at; }, 200);
  document.querySelector('.grid').dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
  const until = performance.now() + 400;
  while (performance.now() < until);
}"""


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
