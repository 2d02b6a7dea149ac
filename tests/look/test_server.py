"""The server of pages: what it answers, what it refuses, and that nothing said to it is lost."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.look import telling
from pipeline.look.typical import typical
from store.store import Store
from tests.support.coldframe import REPOSITORY, Catalogue, Coldframe
from tests.support.looking import Looking, looking

pytestmark = pytest.mark.slow


@pytest.fixture
def cf(made: Coldframe, tmp_path: Path) -> Coldframe:
    """A copy of that store."""
    shutil.copytree(made.path, tmp_path / "store")
    return Coldframe(tmp_path / "store")


@pytest.fixture(scope="module")
def served(made: Coldframe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looking]:
    """A server that nothing is said to. What it keeps is in a copy: other processes copy that store meanwhile."""
    store = shutil.copytree(made.path, tmp_path_factory.mktemp("served") / "store")
    with looking(Coldframe(store)) as one:
        yield one


def test_what_a_page_needs_is_there(served: Looking) -> None:
    state = served.get("/api/state")
    assert state["queues"][0]["key"] == "doubt"
    first = served.get("/api/list?queue=doubt&count=1")["rows"][0]
    assert (first["id"], first["label"], first["suggested"]) == ("finch-00", "moth", "finch")
    told = served.get("/api/image?id=finch-00")
    assert told["headline"].startswith("Looks like finch, filed as moth:")
    assert all(row["label"] == "moth" for row in told["typical"])
    thumbnail = served.send("GET", f"/thumb/{first['content']}")
    assert thumbnail.headers["content-type"] == "image/webp"
    assert "immutable" in thumbnail.headers["cache-control"]
    page = served.send("GET", "/")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    asked = served.post(
        "/api/ask", {"sql": "select image_id, label from images where label = 'heron' order by image_id"}
    )
    assert asked["total"] == len(asked["images"]) == 8
    assert served.get("/api/list?queue=failures")["rows"][0]["id"] == "svg"
    assert [row["id"] for row in served.get("/api/list?text=HERON-03")["rows"]] == ["heron-03"]


def test_typical_pictures_are_those_of_the_report(served: Looking, made: Coldframe) -> None:
    snapshot = Store.open(made.path).snapshot()
    try:
        expected = typical(snapshot, "mean-colour", "default")
    finally:
        snapshot.close()
    for label in ("finch", "heron", "moth"):
        assert [row["content"] for row in served.get(f"/api/typical?label={label}")["rows"]] == expected[label]


def test_every_module_is_loaded_at_once(served: Looking) -> None:
    """A module that is found in another one alone costs a journey to the server."""
    page = served.send("GET", "/").body.decode()
    modules = {file.name for file in (REPOSITORY / "pipeline" / "look" / "pages").glob("*.js")}
    assert modules == set(re.findall(r'(?:src|href)="static/(\w+\.js)"', page))


REFUSED: dict[str, tuple[int, str, str, dict[str, str | None]]] = {
    "another host": (421, "GET", "/api/state", {"Host": "evil.example"}),
    "a host that points here": (421, "GET", "/api/state", {"Host": "evil.example:{port}"}),
    "no host": (400, "GET", "/api/state", {"Host": None}),
    "another port": (421, "GET", "/api/state", {"Host": "127.0.0.1:1"}),
    "no cookie": (401, "GET", "/api/state", {"Cookie": None}),
    "another token": (401, "GET", "/api/state", {"Cookie": "{name}=x"}),
    "two tokens": (401, "GET", "/api/state", {"Cookie": "{cookie}; {name}=x"}),
    "a token in a referrer": (401, "GET", "/api/state", {"Cookie": None, "Referer": "http://{host}/?token={token}"}),
    "a token in another address": (401, "GET", "/api/state?token={token}", {"Cookie": None}),
    "a picture without a cookie": (401, "GET", "/thumb/00000000000000000000000000000000", {"Cookie": None}),
    "a page of another site": (403, "GET", "/api/state", {"Origin": "http://evil.example"}),
    "a page of another port": (403, "POST", "/api/undo", {"Origin": "http://127.0.0.1:1"}),
    "a page of no origin": (403, "POST", "/api/undo", {"Origin": "null"}),
    "a change without an origin": (403, "POST", "/api/undo", {"Origin": None}),
    "another site's frame": (403, "GET", "/api/state", {"Sec-Fetch-Site": "cross-site"}),
    "a form": (415, "POST", "/api/undo", {"Content-Type": "application/x-www-form-urlencoded"}),
    "a form of text": (415, "POST", "/api/undo", {"Content-Type": "text/plain"}),
    "a huge body": (413, "POST", "/api/judge", {"Content-Length": "99999999999"}),
    "another method": (405, "PUT", "/api/undo", {}),
    "a change by a link": (405, "GET", "/api/undo", {}),
    "a way out": (404, "GET", "/static/../../../etc/passwd", {}),
    "a way out in disguise": (404, "GET", "/static/..%2f..%2fguard.py", {}),
    "an absolute path": (404, "GET", "/thumb//etc/passwd", {}),
    "a path for a picture": (404, "GET", "/thumb/finch%2Ffinch-00.png", {}),
    "a content of no image": (404, "GET", "/picture/00000000000000000000000000000000", {}),
    "a file of ours that is no page": (404, "GET", "/static/guard.py", {}),
}


@pytest.mark.parametrize("kind", list(REFUSED))
def test_what_no_page_of_ours_sends_is_refused(served: Looking, kind: str) -> None:
    status, method, path, headers = REFUSED[kind]
    words = {"port": served.port, "cookie": served.cookie, "host": served.host, "token": served.token}
    words["name"] = served.cookie.partition("=")[0]
    filled = {name: None if value is None else value.format(**words) for name, value in headers.items()}
    answer = served.send(method, path.format(**words), b"{}" if method != "GET" else None, filled)
    assert answer.status == status, answer
    assert b"coldframe_look" not in answer.body
    assert "access-control-allow-origin" not in answer.headers


def test_the_cookie_is_for_a_path_that_only_this_session_knows(cf: Coldframe) -> None:
    """A browser sends the cookies of a host to all of its ports: a server at another port must not be sent this one."""
    with looking(cf) as one, looking(cf) as other:
        paths = {re.search("; Path=([^;]+)", served.send_opening().headers["set-cookie"])[1] for served in (one, other)}  # type: ignore[index]
        assert len(paths) == 2
        assert all(len(path) > 20 for path in paths)
        outside = dataclasses.replace(one, root="")
        assert [outside.send("GET", path).status for path in ("/", "/api/state", "/static/app.js")] == [401] * 3
        assert dataclasses.replace(one, root=other.root).send("GET", "/api/state").status == 401
        assert one.get("/api/state")["images"] == other.get("/api/state")["images"]


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root on Linux can be another user")
def test_another_user_of_the_machine_is_not_answered(served: Looking) -> None:
    """Though it has the address that was printed, which a list of processes shows while a browser is opened."""
    given = json.dumps({"ids": ["finch-05"], "verdict": "drop"}).encode()

    def is_refused() -> bool:
        os.setuid(65534)
        forwarded = {"X-Forwarded-For": "8.8.8.8", "Forwarded": "for=8.8.8.8"}
        answers = [served.send("GET", "/api/state"), served.send_opening(), served.send("GET", "/", headers=forwarded)]
        answers.append(served.send("POST", "/api/judge", given, forwarded))
        for _ in range(20):  # who asks is gone before it is known who it is
            with socket.create_connection(("127.0.0.1", served.port)) as gone:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                lines = [f"POST {served.root}/api/judge HTTP/1.1", f"Host: {served.host}", f"Cookie: {served.cookie}"]
                lines += [
                    f"Origin: http://{served.host}",
                    "Content-Type: application/json",
                    f"Content-Length: {len(given)}",
                ]
                gone.sendall("\r\n".join([*lines, "", ""]).encode() + given)
        return {one.status for one in answers} == {403}

    child = os.fork()
    if child == 0:
        os._exit(0 if is_refused() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert served.get("/api/state")["judged"]["drop"] == 0


@pytest.mark.parametrize(
    ("path", "given", "said"),
    [
        ("/api/ask", {"sql": "copy (select 1) to 'x.csv'"}, "only reads"),
        ("/api/ask", {"sql": "select * from read_text('/etc/hostname')"}, ""),
        ("/api/ask", {"sql": " "}, "write a query first"),
        ("/api/judge", {"ids": ["nobody"], "verdict": "drop"}, "nobody: no image of the store"),
        ("/api/judge", {"ids": [], "verdict": "drop"}, "no picture is chosen"),
        ("/api/judge", {"ids": ["finch-00"], "verdict": "burn"}, "burn: no verdict"),
        ("/api/judge", {"ids": ["finch-00"], "verdict": "relabel"}, "a label goes with"),
        ("/api/judge", {"ids": ["finch-00"], "verdict": "relabel", "label": "a\0"}, "NUL"),
        ("/api/judge", {"ids": "finch-00", "verdict": "drop"}, "expected a list"),
        ("/api/undo", {}, "nothing to take back"),
        ("/api/plan", {"plan": "none"}, "no plan"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(served: Looking, path: str, given: object, said: str) -> None:
    assert said in served.post(path, given, code=400)["error"]


@pytest.mark.parametrize(
    "path", ["/api/list?queue=x", "/api/list?start=-1", "/api/list?count=x", "/api/image", "/api/map?method=x"]
)
def test_what_cannot_be_asked_is_a_sentence(served: Looking, path: str) -> None:
    assert served.get(path, code=400)["error"]


def test_a_body_that_is_no_json_is_refused(served: Looking) -> None:
    for body in (b"", b"[1]", b"{", b"\xff", b"[" * 100_000):
        assert served.send("POST", "/api/undo", body).status == 400


@pytest.mark.exhaustive
def test_a_query_that_takes_too_long_is_ended(served: Looking) -> None:
    slow = {"sql": "select levenshtein(repeat('ab', 2000000), repeat('ba', 2000000))"}
    answers: list[int] = []
    thread = threading.Thread(
        target=lambda: answers.append(served.send("POST", "/api/ask", json.dumps(slow).encode()).status)
    )
    thread.start()
    assert served.get("/api/list?queue=doubt")["total"]  # others are answered meanwhile
    thread.join(60)
    assert answers == [400]


def test_verdicts_are_in_the_store_and_can_be_taken_back(cf: Coldframe) -> None:
    with looking(cf) as served:
        served.post("/api/judge", {"ids": ["finch-01", "finch-02"], "verdict": "drop"})
        assert cf.value("select count(*) from judgements where verdict = 'drop'") == 2
        served.post("/api/judge", {"ids": ["finch-01"], "verdict": "keep", "why": "sharp"})
        served.post("/api/judge", {"ids": ["finch-00"], "verdict": "relabel", "label": "finch"})
        assert cf.value("select label from images where image_id = 'finch-00'") == "finch"
        assert served.get("/api/image?id=finch-00")["row"]["given"] == "moth"
        assert served.post("/api/undo", {})["what"] == "relabel of 1 picture"
        assert cf.value("select label from images where image_id = 'finch-00'") == "moth"
        served.post("/api/undo", {})
        assert cf.rows("select image_id, verdict from judgements order by image_id") == [
            {"image_id": "finch-01", "verdict": "drop"},
            {"image_id": "finch-02", "verdict": "drop"},
        ]
        served.post("/api/undo", {})
        assert cf.value("select count(*) from judgements") == 0
        assert served.get("/api/state")["undo"] == 0
    cf("verify")


@pytest.mark.exhaustive
def test_an_act_that_is_sent_again_is_done_once(cf: Coldframe) -> None:
    """As by a page that lost the answer."""
    with looking(cf) as served:
        for name in ("finch-01", "finch-02"):
            act = {"act": f"page-{name}", "ids": [name], "verdict": "drop"}
            assert served.post("/api/judge", act) == served.post("/api/judge", act)
        assert served.post("/api/undo", {"act": "page-3"}) == served.post("/api/undo", {"act": "page-3"})
        assert cf.value("select string_agg(image_id) from judgements") == "finch-01"


def test_a_verdict_is_on_the_picture_that_was_seen(cf: Coldframe) -> None:
    with looking(cf) as served:
        first, second = served.get("/api/list?queue=all&count=2")["rows"]
        act = {"ids": [first["id"]], "contents": [second["content"]], "verdict": "drop"}
        assert "another picture by now" in served.post("/api/judge", act, code=409)["error"]
        assert served.post("/api/judge", act | {"contents": [first["content"]]})["judged"] == 1


def test_details_say_of_what_a_picture_is_a_copy() -> None:
    copy = {"image_id": "finch-01", "original_id": "finch-00", "kind": "near", "correlation": 0.97, "overlap": 1.0}
    nothing: dict[str, list[object]] = {
        name: [] for name in ("failures", "verdicts", "embeddings", "scores", "suspects", "plans", "predictions")
    }
    told = {
        one: telling.details({**nothing, "image": {"image_id": one}, "copies": [copy]})[0]
        for one in ("finch-00", "finch-01")
    }
    assert told["finch-01"].startswith("Near copy of finch-00: ")
    assert told["finch-00"].startswith("Near copy of it: finch-01: ")


@pytest.mark.exhaustive
def test_undo_leaves_what_somebody_else_has_said_since(cf: Coldframe) -> None:
    with looking(cf) as served:
        served.post("/api/judge", {"ids": ["finch-01", "finch-02"], "verdict": "drop"})
        cf("keep", "finch-01", "--why", "a good one")
        assert "but for 1 judged by somebody else" in served.post("/api/undo", {})["what"]
        served.post("/api/judge", {"ids": ["finch-03", "finch-04"], "verdict": "keep"})
        cf("keep", "finch-03", "--why", "by an expert")  # the same, with a reason
        assert "but for 1 judged by somebody else" in served.post("/api/undo", {})["what"]
        served.post("/api/judge", {"ids": ["moth-03"], "verdict": "relabel", "label": "heron"})
        cf("drop", "moth-04", "--why", "another picture")  # the page reads the store anew
        assert "but for" not in served.post("/api/undo", {})["what"]
    assert cf.rows("select image_id, verdict, why from judgements order by image_id") == [
        {"image_id": "finch-01", "verdict": "keep", "why": "a good one"},
        {"image_id": "finch-03", "verdict": "keep", "why": "by an expert"},
        {"image_id": "moth-04", "verdict": "drop", "why": "another picture"},
    ]
    assert cf.value("select count(*) from images where label <> given_label") == 0


@pytest.mark.exhaustive
def test_a_replay_is_of_the_plan_that_was_previewed(cf: Coldframe) -> None:
    cf("split", "other", 0.2, "--plan", "another")
    with looking(cf) as served:
        expect = served.post("/api/replay", {"preview": True})["expect"]
        served.post("/api/plan", {"plan": "another"})
        assert (
            "another plan is shown"
            in served.post("/api/replay", {"preview": False, "expect": expect}, code=409)["error"]
        )


@pytest.mark.exhaustive
def test_all_of_a_list_is_judged_if_it_is_the_list_that_was_seen(cf: Coldframe) -> None:
    with looking(cf) as served:
        whole = {"list": {"queue": "all", "label": "heron"}, "verdict": "keep"}
        which = served.get("/api/list?queue=all&label=heron&count=1")["which"]
        # as many others: number 9 is no heron any more, and a moth is one
        served.post("/api/judge", {"ids": ["heron-07"], "verdict": "relabel", "label": "moth"})
        served.post("/api/judge", {"ids": ["moth-07"], "verdict": "relabel", "label": "heron"})
        assert "another one by now, of 8" in served.post("/api/judge", whole | {"expect": which}, code=409)["error"]
        served.post("/api/undo", {})
        served.post("/api/undo", {})
        assert served.post("/api/judge", whole | {"expect": which})["judged"] == 8
        assert cf.value("select count(*) from judgements") == 8
        assert served.get("/api/list?queue=judged")["total"] == 8
        assert served.get("/api/list?queue=all&verdict=none&label=heron")["total"] == 0


def test_what_changed_between_two_moments_is_told(cf: Coldframe) -> None:
    with looking(cf) as served:
        before = served.get("/api/state")["moment"]["number"]
        served.post("/api/judge", {"ids": ["finch-00"], "verdict": "relabel", "label": "finch"})
        served.post("/api/judge", {"ids": ["finch-03", "finch-04"], "verdict": "drop"})
        served.post("/api/replay", {"preview": False})
        moments = served.get("/api/history")["moments"]
        assert [one["what"] for one in moments[:2]] == ["A plan was replayed", "Pictures were judged, 2 times"]
        assert all(one["what"][0].isupper() for one in moments)
        told = served.get(f"/api/between?a={before}&b={moments[0]['number']}")
    assert told["sentences"][:2] == [
        "Verdicts that were given: 2 drops, 1 label.",
        "Labels: 1 picture has another one.",
    ]
    assert any(re.match(r"Plan default: \d+ pictures? came in, \d+ went out", one) for one in told["sentences"])
    strips = {strip["title"]: [row["id"] for row in strip["rows"]] for strip in told["strips"]}
    assert strips["1 picture with another label"] == ["finch-00"]
    assert any({"finch-03", "finch-04"} <= set(ids) for title, ids in strips.items() if "went out" in title)


def test_a_replay_is_shown_before_it_is_done(cf: Coldframe) -> None:
    with looking(cf) as served:
        served.post("/api/judge", {"ids": ["finch-03"], "verdict": "drop"})
        before = cf.value("select count(*) from splits")
        shown = served.post("/api/replay", {"preview": True})
        assert (shown["kept_before"], shown["kept_after"]) == (before, before - 1)
        assert all(row["after"] - row["before"] == row["comes"] - row["goes"] for row in shown["changes"])
        assert cf.value("select count(*) from splits") == before
        assert served.get("/api/state")["pending"] == 1
        served.post("/api/replay", {"preview": False})
        assert cf.value("select count(*) from splits") == before - 1
        assert served.get("/api/state")["pending"] == 0
        assert served.get("/api/list?queue=all&rule=verdict")["rows"][0]["id"] == "finch-03"


@pytest.mark.exhaustive
def test_two_pages_and_a_command_line_lose_nothing(cf: Coldframe) -> None:
    ids = [f"{label}-{number:02d}" for label in ("finch", "heron", "moth") for number in range(8)]
    with looking(cf) as one, looking(cf) as other:

        def judge(served: Looking, mine: list[str]) -> None:
            for image_id in mine:
                served.post("/api/judge", {"ids": [image_id], "verdict": "keep"})

        threads = [threading.Thread(target=judge, args=each) for each in ((one, ids[:10]), (other, ids[10:20]))]
        for thread in threads:
            thread.start()
        cf("drop", *ids[20:], "--why", "by hand")
        for thread in threads:
            thread.join()
        assert cf.value("select count(*) from judgements") == 24
        for served in (one, other):
            assert served.get("/api/list?queue=judged")["total"] == 24


@pytest.mark.exhaustive
def test_what_was_answered_is_there_after_a_kill(cf: Coldframe) -> None:
    ids = [f"{label}-{number:02d}" for label in ("finch", "heron", "moth") for number in range(8)]
    answered = []
    with looking(cf) as served:
        for at, image_id in enumerate(ids * 4):
            if at == 40:
                threading.Timer(0.02, served.process.kill).start()
            try:
                served.post("/api/judge", {"ids": [image_id], "verdict": "keep" if at % 2 else "drop"})
            except OSError:
                break
            answered.append(image_id)
        assert len(answered) < 4 * len(ids)
    assert cf.value("select count(*) from verdict_history") in (len(answered), len(answered) + 1)
    cf("verify")
    with looking(cf) as served:
        assert served.get("/api/list?queue=judged")["total"] == 24


def test_another_address_comes_with_a_warning_and_a_port_in_use_is_said(cf: Coldframe) -> None:
    with looking(cf) as served:
        said = cf.process("look", "--no-browser", "--port", served.port, code=1).stderr
        assert f"127.0.0.1:{served.port}: cannot be served" in said
    assert "no plan 'x'" in cf.process("look", "--no-browser", "--plan", "x", code=1).stderr


@pytest.mark.exhaustive
def test_equal_pictures_have_a_map(tmp_path: Path) -> None:
    """t-SNE divides by the spread of what it is given."""
    catalogue = Catalogue(tmp_path / "catalogue", [])
    for number in range(8):
        file = catalogue.add(f"same-{number}", "moth", Image.new("RGB", (40, 30), (90, 90, 90)))
        with file.open("ab") as out:
            out.write(bytes([number]))
    catalogue.write()
    cf = Coldframe(tmp_path / "store")
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    with looking(cf) as served:
        for method in ("pca", "tsne"):
            path = f"/api/map?method={method}&set=mean-colour"
            until = time.monotonic() + 60
            while served.get(path)["state"] != "ready" and time.monotonic() < until:
                time.sleep(0.2)
            points = np.frombuffer(served.send("GET", f"/api/map/points?method={method}&set=mean-colour").body, "<f4")
            assert len(points) == 16
            assert np.isfinite(points).all()


@pytest.mark.exhaustive
def test_another_store_in_the_same_folder_is_noticed(cf: Coldframe, tmp_path: Path) -> None:
    """A backup that is put back has as many moments, and other verdicts."""
    other = Coldframe(tmp_path / "other")
    shutil.copytree(cf.path, other.path)
    cf("drop", "heron-01", "--why", "x")
    other("drop", "heron-02", "--why", "x")
    with looking(cf) as served:
        assert [row["id"] for row in served.get("/api/list?queue=judged")["rows"]] == ["heron-01"]
        shutil.copytree(other.path, cf.path, dirs_exist_ok=True)
        assert [row["id"] for row in served.get("/api/list?queue=judged")["rows"]] == ["heron-02"]
        shutil.rmtree(cf.path / "manifests")
        assert "the store is gone" in served.get("/api/state", code=400)["error"]
