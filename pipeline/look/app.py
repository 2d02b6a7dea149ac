"""The app: which address answers what. Every answer is JSON, a picture, or a file of our own."""

from __future__ import annotations

import functools
import json
import traceback
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.look import changes, figures, history, judging, maps, reviewing
from pipeline.look.guard import App, Guard
from pipeline.look.session import Session
from pipeline.look.thumbnails import NoSuchPicture, PictureUnreadable
from pipeline.runtime import terminal
from store.errors import ColdframeError

PAGES = "pages"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}
LARGE_AT_ONCE = 2  # pictures that are decoded whole
QUERIES_AT_ONCE = 2  # of the person's own

Asked = Mapping[str, str]
Given = Mapping[str, Any]

READ: dict[str, Callable[[Session, Asked], Any]] = {
    "/api/state": reviewing.state,
    "/api/list": reviewing.listed,
    "/api/image": reviewing.image,
    "/api/search": reviewing.search,
    "/api/map": maps.state,
    "/api/map/points": maps.points,
    "/api/map/facts": maps.facts,
    "/api/confusion": figures.confusion,
    "/api/runs": figures.runs,
    "/api/compare": figures.compare,
    "/api/typical": figures.typical,
    "/api/views": history.views,
    "/api/history": history.history,
    "/api/between": changes.between,
}
CHANGE: dict[str, Callable[[Session, Given], Any]] = {
    "/api/judge": judging.judge,
    "/api/undo": judging.undo,
    "/api/replay": judging.replay,
    "/api/plan": judging.choose_plan,
}


def make(session: Session, *, token: str, hosts: frozenset[str]) -> App:
    """The whole app, with its guard.

    Args:
        token: what opens a session.
        hosts: the values of the header Host that are served, each with its port.
    """
    large, queries = CapacityLimiter(LARGE_AT_ONCE), CapacityLimiter(QUERIES_AT_ONCE)
    routes = [
        Route("/", _page),
        Route("/static/{name}", _static),
        Route("/thumb/{content}", functools.partial(_picture, session, None, None)),
        Route("/picture/{content}", functools.partial(_picture, session, session.whole, large)),
        *(Route(path, functools.partial(_read, session, answer)) for path, answer in READ.items()),
        *(
            Route(path, functools.partial(_change, session, answer, None), methods=["POST"])
            for path, answer in CHANGE.items()
        ),
        Route("/api/ask", functools.partial(_change, session, history.ask, queries), methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), token=token, hosts=hosts)


async def _page(request: Request) -> Response:
    return _file("index.html")


async def _static(request: Request) -> Response:
    return _file(request.path_params["name"])


@functools.cache
def _files() -> dict[str, bytes]:
    folder = resources.files("pipeline.look") / PAGES
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}


def _file(name: str) -> Response:
    ending = "." + name.rpartition(".")[2]
    if name not in _files() or ending not in TYPES:
        return _error(404, "no such page")
    return Response(_files()[name], media_type=TYPES[ending], headers={"cache-control": "no-cache"})


async def _picture(
    session: Session, make: Callable[[str], bytes] | None, limiter: CapacityLimiter | None, request: Request
) -> Response:
    content = request.path_params["content"]
    try:
        data = await to_thread.run_sync(make or session.thumbnail, content, limiter=limiter)
    except NoSuchPicture as error:
        return _error(404, str(error))
    except PictureUnreadable as error:
        return _error(422, str(error))
    return Response(data, media_type="image/webp", headers=FOR_EVER)


async def _read(session: Session, answer: Callable[[Session, Asked], Any], request: Request) -> Response:
    return await _answered(answer, session, dict(request.query_params))


async def _change(
    session: Session, answer: Callable[[Session, Given], Any], limiter: CapacityLimiter | None, request: Request
) -> Response:
    try:
        given = json.loads(await request.body())
    except (ValueError, RecursionError, ClientDisconnect):
        return _error(400, "the request is no JSON that can be read")
    if not isinstance(given, dict):
        return _error(400, "expected an object in JSON")
    return await _answered(answer, session, given, limiter)


async def _answered(
    answer: Callable[[Session, Any], Any], session: Session, given: Any, limiter: CapacityLimiter | None = None
) -> Response:
    try:
        # the end of the server does not wait for a query of the person's own, which changes nothing
        found = await to_thread.run_sync(answer, session, given, limiter=limiter, abandon_on_cancel=limiter is not None)
    except judging.Conflict as error:
        return _error(409, str(error))
    except ColdframeError as error:
        return _error(400, str(error))
    except OSError as error:
        return _error(400, f"the store cannot be read or written: {error}")
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"unexpected error, a fault of coldframe: {type(error).__name__} in {where.name}, line {where.lineno}: {error}"
        terminal.echo(f"look: {fault}", err=True)
        return _error(500, fault)
    if isinstance(found, bytes):
        return Response(found, media_type="application/octet-stream")
    return Response(json.dumps(found, default=str, allow_nan=False), media_type="application/json")


def _error(status: int, message: str) -> Response:
    return Response(
        json.dumps({"error": message}), status, media_type="application/json", headers={"cache-control": "no-store"}
    )
