"""A real browser on the pages of ``coldframe look``, and a list of what goes wrong in it that a person would not notice."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.support.looking import Looking

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, ViewportSize

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SIZE: ViewportSize = {"width": 1280, "height": 800}
PAGES = ("review", "map", "classes", "runs", "ask", "history")
PAINTED = "() => { const one = document.querySelector('.detail img.large'); return one && one.complete && one.naturalWidth > 0; }"
# Answers once the page has heard of it, so that what it showed before is not taken for what it shows then.
GO = """at => new Promise(done => {
  if (location.hash === '#/' + at) return done();
  addEventListener('hashchange', () => setTimeout(done, 0), { once: true });
  location.hash = '#/' + at;
})"""
# Of our own requests that fail: tests that end the server, or ask for what cannot be, say so.
REFUSED = r"Failed to load resource: the server responded with a status of "
GONE = r"Failed to load resource: net::ERR_"


def chromium() -> str | None:
    """The browser of this machine."""
    return next((found for name in CHROMIUM if (found := shutil.which(name))), None)


def missing() -> str:
    """Why no page can be opened here; empty where one can."""
    if importlib.util.find_spec("playwright") is None:
        return "no Playwright here: the extra 'dev' has it"
    return "" if chromium() else "no Chromium here: 'apt-get install chromium' has it"


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser without a window. A process can have one at a time, so tests ask for the fixture ``browser``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """A page on a server, opened by the address that was printed.

    Attributes:
        faults: errors in its console, errors of its scripts, and requests to other hosts.
        allowed: patterns of console errors that a test means to cause.
    """

    def __init__(self, context: BrowserContext, served: Looking, at: str = "") -> None:
        self.served, self.context = served, context
        self.page: Page = context.new_page()
        self.faults: list[str] = []
        self.allowed: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", self._requested)
        self.page.goto(served.address)
        if at:
            self.go(at)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _requested(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.netloc != self.served.host:
            self.faults.append(f"another host: {request.url}")

    def check(self) -> None:
        """Fail if anything went wrong that was not meant to."""
        found = [one for one in self.faults if not any(re.search(pattern, one) for pattern in self.allowed)]
        assert not found, "\n".join(found)

    def go(self, at: str) -> None:
        """Open a page of ours, such as ``review?queue=all``."""
        self.page.evaluate(GO, at)

    def review(self, at: str = "") -> None:
        """Open a list in Review, and wait for the picture that is explained."""
        self.go(f"review{at and '?' + at}")
        self.painted()

    def painted(self) -> None:
        """Wait until a picture is shown and explained."""
        self.page.locator(".detail .more:not(.old) .story").wait_for()
        self.page.wait_for_function(PAINTED)

    def press(self, *keys: str) -> None:
        """Press keys, one after another."""
        for key in keys:
            self.page.keyboard.press(key)

    def judge(self, *keys: str) -> Any:
        """Press keys, and wait until the verdict is safe; what the server answered."""
        with self.page.expect_response(re.compile(r"/api/(judge|undo)$")) as caught:
            self.press(*keys)
        return caught.value.json()

    def undo(self) -> Any:
        """Take back the last act by its key."""
        return self.judge("Control+z")

    @property
    def cursor(self) -> Locator:
        """The picture at which the keys act."""
        return self.page.locator(".grid .tile.cursor")

    def waits_for(self, text: str | re.Pattern[str], where: str = "body") -> None:
        """Wait for words."""
        self.page.locator(where).get_by_text(text).first.wait_for()

    def close(self) -> None:
        """Close it, though something may not be saved."""
        self.page.close(run_before_unload=False)


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


Open = Callable[..., Window]
