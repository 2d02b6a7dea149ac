"""A person by script, who knows the truth and has no mouse; and what the store holds of her verdicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.browsing import Window
from tests.support.coldframe import Coldframe

HERE = """() => {
  const tile = document.querySelector('.grid .tile.cursor');
  if (!tile || tile.classList.contains('judged') || !tile.querySelector('img').src) return null;
  return {
    place: Number(tile.getAttribute('aria-posinset')), label: tile.querySelector('.caption').textContent,
    content: tile.querySelector('img').src.split('/').at(-1),
  };
}"""
MOVED = f"place => {{ const here = ({HERE})(); return here !== null && here.place !== place; }}"
DONE = "() => /in this list is judged/.test(document.getElementById('saved').textContent)"
FIRST_OFFER = ".detail [role=listbox] [role=option][aria-selected=true]"


def go_through(window: Window, truth: Mapping[str, str | None], most: int) -> list[int]:
    """Judge the first pictures of the list that is shown, by keyboard alone.

    Args:
        truth: by content, the class that a picture is of; None for one that should not be in the catalogue.

    Returns:
        How many keys were pressed for each picture.
    """
    page = window.page
    pressed: list[int] = []
    while len(pressed) < most:
        page.wait_for_function(f"() => ({HERE})() !== null")
        here: dict[str, Any] = page.evaluate(HERE)
        pressed.append(_judge(window, here["label"], truth[here["content"]]))
        page.wait_for_function(f"place => ({MOVED})(place) || ({DONE})()", arg=here["place"])
        if page.evaluate(DONE):
            break
    page.wait_for_function("() => !document.body.classList.contains('unsaved')")
    return pressed


def _judge(window: Window, label: str, true: str | None) -> int:
    if true is None or true == label:
        window.press("d" if true is None else "k")
        return 1
    window.press("r")
    offer = window.page.locator(FIRST_OFFER)
    typed = 0
    offer.wait_for()
    while not offer.inner_text().startswith(true):  # what is suggested is another class: type until it is offered
        window.press(true[typed])
        typed += 1
    window.press("Enter")
    return 2 + typed


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
