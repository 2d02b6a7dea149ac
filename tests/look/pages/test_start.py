"""The first minute in a real browser: a picture, verdicts by key, and what is in the store afterwards. All else runs seldom."""

from __future__ import annotations

import pytest

from tests.support import browsing
from tests.support.browsing import Window
from tests.support.coldframe import Coldframe
from tests.support.judging import FIRST_OFFER, labelled, verdicts

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(browsing.missing()), reason=browsing.missing())]


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
