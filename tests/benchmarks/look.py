"""Is ``coldframe look`` as quick as looking needs? Start, scrolling, verdicts and memory, and the keys that judging takes.

    python -m tests.benchmarks.look [IMAGES [ROWS [FOLDER [WEIGHTS]]]]

IMAGES drawn pictures are ingested, embedded, doubted and curated, and their thumbnails made; each figure is a median of several.
ROWS rows of the same pictures are scrolled: script, style and layout are those of ``Performance.getMetrics`` of Chromium's
DevTools protocol, divided by the frames, in steps of a fast wheel and in jumps as of a dragged scroll bar. Then a person by
script, who knows ``truth.csv``, judges the first 60 pictures of the first queue on FOLDER (as in :mod:`tests.benchmarks.truth`)
by keyboard alone. The last line is one JSON object: seconds, milliseconds, MiB, and key presses a picture.
"""

from __future__ import annotations

import csv
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pipeline.look.thumbnails import Thumbnails
from store.store import Store
from tests.benchmarks import truth
from tests.benchmarks.heads import EMBEDDER, SHARED, coldframe
from tests.benchmarks.memory import pss
from tests.support import browsing
from tests.support.browsing import PAINTED, Window
from tests.support.coldframe import Coldframe
from tests.support.judging import go_through
from tests.support.looking import Looking, looking
from tests.support.synthetic import put_images

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession

CLASSES, SIDES = 200, (320, 240)
STARTS, WINDOWS, VERDICTS, PRESSES = 5, 100, 60, 20
LOOKED = 500  # milliseconds
FRAMES, WHEEL, JUMPS = 300, 120, 100
SETTLED = 60  # pictures that the scripted person judges
DURATIONS = ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
# Both by the clock of the page: what drives the browser is no part of what a person waits for.
LISTEN = """() => {
  performance.clearResourceTimings();
  addEventListener('keydown', event => { window.pressedAt = event.timeStamp; }, { capture: true, once: true });
}"""
ANSWERED = """() => {
  const [answer] = performance.getEntriesByType('resource').filter(one => one.name.endsWith('/api/judge'));
  return answer && answer.responseEnd - window.pressedAt;
}"""
SCROLL = """async ([frames, by, jump]) => {
  const grid = document.querySelector('.grid');
  const end = grid.scrollHeight - grid.clientHeight;
  const times = [];
  let most = 0;
  for (let frame = 0; frame < frames; frame++) {
    grid.scrollTop = jump ? end * ((frame * 0.618) % 1) : grid.scrollTop + by;
    times.push(await new Promise(requestAnimationFrame));
    most = Math.max(most, document.getElementsByTagName('*').length);
  }
  return { between: times.slice(1).map((time, place) => time - times[place]), nodes: most };
}"""


def main() -> None:
    """Measure and print."""
    if reason := browsing.missing():
        raise SystemExit(reason)
    count, rows = ([int(one) for one in sys.argv[1:3]] + [12_000, 100_000][len(sys.argv[1:3]) :])[:2]
    defaults = [SHARED / "data" / "wildlife", SHARED / "models" / "efficientnetv2b0_notop.weights.h5"]
    folder, weights = [*map(Path, sys.argv[3:5]), *defaults[len(sys.argv[3:5]) :]]
    with tempfile.TemporaryDirectory() as parent, browsing.browsing() as browser:
        cf = prepared(Path(parent) / "drawn", count)
        result: dict[str, Any] = {"images": count} | starting(cf, browser) | answering(cf, browser)
        print(json.dumps(result), flush=True)
        result |= scrolling(many(cf, Path(parent) / "many", rows), browser) | {"rows": rows}
        print(json.dumps(result), flush=True)
        result |= judging(Path(parent) / "wildlife", folder, weights, browser)
    print(json.dumps(result))


def prepared(folder: Path, count: int) -> Coldframe:
    """A store of drawn pictures, of which some are filed under another class, with all that the first queues need."""
    draw(folder, count)
    cf = Coldframe(folder / "store")
    columns = ("--id", "id", "--path", "path", "--label", "label")
    coldframe(cf.path, "ingest", folder / "metadata.csv", "--images", folder / "images", *columns)
    coldframe(cf.path, "embed", "mean-colour", "--size", "16x12")
    coldframe(cf.path, "score", "label-doubt")
    coldframe(cf.path, "filter", "centroid", "--percentile", 95)
    coldframe(cf.path, "split", "test", 0.15)
    snapshot = Store(cf.path).snapshot()
    Thumbnails(snapshot).warm(snapshot.select("images", "content_id")["content_id"].to_pylist())
    snapshot.close()
    return cf


def draw(folder: Path, count: int) -> None:
    """JPEGs of patches of colour; those of a class are alike."""
    rng = np.random.default_rng(0)
    looks = rng.integers(0, 256, (CLASSES, 6, 8, 3))
    folder.mkdir(parents=True)
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "path", "label"])
        for number in range(count):
            path = Path(f"{number // 1000:04d}") / f"{number:07d}.jpg"
            (folder / "images" / path).parent.mkdir(parents=True, exist_ok=True)
            kind = number % CLASSES
            patches = (looks[kind] + rng.normal(0, 40, looks[kind].shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(patches).resize(SIDES, Image.Resampling.BICUBIC).save(folder / "images" / path)
            filed = kind if rng.random() > 0.02 else (kind + 1) % CLASSES
            table.writerow([f"{number:07d}", path, f"class-{filed:03d}"])


def starting(cf: Coldframe, browser: Browser) -> dict[str, float]:
    """Seconds from the start of the process to the first picture in a browser that is open."""
    seconds = []
    for _ in range(STARTS):
        context = browser.new_context(viewport=browsing.SIZE)
        started = time.perf_counter()
        with looking(cf) as served:
            window = Window(context, served)
            window.page.wait_for_function(PAINTED)
            seconds.append(time.perf_counter() - started)
            context.close()
    return {"start_to_picture_s": round(statistics.median(seconds), 2)}


def answering(cf: Coldframe, browser: Browser) -> dict[str, float]:
    """Milliseconds of windows and verdicts, without a page and by key, and what the memory is then."""
    with looking(cf) as served:
        total = served.get("/api/list?queue=all&count=1")["total"]
        places = [at * (total // WINDOWS) for at in range(WINDOWS)]
        windows = timed(lambda at: served.get(f"/api/list?queue=all&start={at}&count=120"), places)
        rows = served.get(f"/api/list?queue=all&count={VERDICTS}")["rows"]
        said = timed(lambda row: served.post("/api/judge", {"ids": [row["id"]], "verdict": "keep"}), rows)
        context = browser.new_context(viewport=browsing.SIZE)
        window = Window(context, served)
        window.painted()
        pressed = [by_key(window) for _ in range(PRESSES)]
        found = memory(window, served, browser)
        context.close()
    return {
        "window_ms": round(statistics.median(windows), 1),
        "window_p95_ms": round(float(np.percentile(windows, 95)), 1),
        "verdict_ms": round(statistics.median(said), 1),
        "verdict_p95_ms": round(float(np.percentile(said, 95)), 1),
        "verdict_by_key_ms": round(statistics.median(pressed), 1),
        "verdict_by_key_p95_ms": round(float(np.percentile(pressed, 95)), 1),
    } | found


def timed(act: Callable[[Any], object], given: Sequence[Any]) -> list[float]:
    """Milliseconds of each."""
    found = []
    for one in given:
        started = time.perf_counter()
        act(one)
        found.append(1000 * (time.perf_counter() - started))
    return found


def by_key(window: Window) -> float:
    """A verdict by its key from a person who looked at the picture for a moment: milliseconds until the page knows it is safe."""
    window.page.wait_for_timeout(LOOKED)
    window.page.evaluate(LISTEN)
    window.judge("k")
    return float(window.page.wait_for_function(ANSWERED).json_value())


def memory(window: Window, served: Looking, browser: Browser) -> dict[str, float]:
    """MiB of the server, of the processes that show pages, and of what the page's scripts hold."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    pages = [one["id"] for one in processes if one["type"] == "renderer"]
    heap = metrics(counting(window))["JSHeapUsedSize"]
    return {
        "server_mib": round(pss(served.process.pid) / 1024),
        "page_mib": round(sum(pss(one) for one in pages) / 1024),
        "page_heap_mib": round(heap / 2**20, 1),
    }


def counting(window: Window) -> CDPSession:
    """Have Chromium count what a page costs, from now on."""
    session = window.context.new_cdp_session(window.page)
    session.send("Performance.enable")
    return session


def metrics(session: CDPSession) -> dict[str, float]:
    """What was counted so far."""
    return {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}


def many(cf: Coldframe, folder: Path, rows: int) -> Coldframe:
    """The same pictures, each in several rows."""
    shutil.copytree(cf.path, folder / "store")
    store = Store(folder / "store")
    snapshot = store.snapshot()
    known = snapshot.select("images", "content_id", "path", "label").to_pylist()
    snapshot.close()
    facts = {"bytes": 1, "format": "JPEG", "mode": "RGB", "width": SIDES[0], "height": SIDES[1], "frames": 1}
    facts |= {"is_grey": False, "chroma": 99, "phash": "0"}
    put_images(store, [{"image_id": f"{at:08d}", **known[at % len(known)], **facts} for at in range(rows)])
    return Coldframe(folder / "store")


def scrolling(cf: Coldframe, browser: Browser) -> dict[str, float]:
    """Milliseconds of script, style and layout a frame, the time between frames, and elements."""
    context = browser.new_context(viewport=browsing.SIZE)
    with looking(cf) as served:
        window = Window(context, served)
        window.review("queue=all")
        found: dict[str, float] = {}
        session = counting(window)
        for name, given in (("scroll", [FRAMES, WHEEL, False]), ("jump", [JUMPS, 0, True])):
            before = metrics(session)
            said = window.page.evaluate(SCROLL, given)
            after = metrics(session)
            spent = 1000 * sum(after[one] - before[one] for one in DURATIONS) / int(given[0])
            found |= {f"{name}_work_ms": round(spent, 2), f"{name}_nodes": said["nodes"]}
            found[f"{name}_frame_p95_ms"] = round(float(np.percentile(said["between"], 95)), 1)
        found |= {f"{name}_at_rows": value for name, value in memory(window, served, browser).items()}
        context.close()
    return found


def judging(work: Path, folder: Path, weights: Path, browser: Browser) -> dict[str, float]:
    """Keys a picture that the scripted person presses."""
    store = work / "store"
    truth.prepare(store, folder, weights)
    coldframe(store, "score", "label-doubt", "--embedder", EMBEDDER)
    known = truth.rows_of_truth(folder)
    rows = json.loads(coldframe(store, "sql", "select image_id, content_id, label from images", "--format", "json"))
    true = {row["content_id"]: really(known[row["image_id"]], row["label"]) for row in rows}
    context = browser.new_context(viewport=browsing.SIZE)
    with looking(Coldframe(store)) as served:
        window = Window(context, served)
        window.painted()
        started = time.perf_counter()
        pressed = go_through(window, true, SETTLED)
        seconds = time.perf_counter() - started
        context.close()
    return {
        "pictures_judged": len(pressed),
        "keys_a_picture": round(sum(pressed) / len(pressed), 2),
        "most_keys": max(pressed),
        "scripted_s_a_picture": round(seconds / len(pressed), 2),
    }


def really(row: dict[str, str], label: str | None) -> str | None:
    """The class that a picture is of; None for what should not be in the catalogue."""
    if row["kind"] == "mislabelled":
        return row["note"]
    return None if row["kind"] in truth.BAD else label


if __name__ == "__main__":
    main()
