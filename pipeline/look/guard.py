"""The guard: which requests are answered at all, and what every answer forbids the browser.

The pages show what came from strangers, and what they are told is written into the store. So a request needs the token of
this session, the very host and port that are served, no other origin (against pages of other sites, DNS rebinding and forged
forms), and on Linux a process of the same user at its other end; and the browser may run only our own scripts.

Everything is served below a path that nobody else knows, and the cookie is for that path: a browser sends the cookies of a
host to all of its ports, so a server of somebody else at another port would be sent the token too.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import anyio

from pipeline.look import peers

COOKIE = "coldframe_look"
# A header of our answers, by which a page knows who answers: another server may take our port.
PROOF = "coldframe-session"
MOST_AWAY, AWAY_SECONDS = 1 << 16, 0.5  # of the body of a request that is refused
MOST_BODY = 16 << 20  # bytes: a few hundred thousand ids
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; font-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI app before another one: it answers what must not reach that one, and adds headers to what comes back."""

    def __init__(self, app: App, *, token: str, hosts: frozenset[str]) -> None:
        """``hosts``: the values of the header Host that are served, each with its port."""
        self._app, self._token, self._hosts = app, token, hosts
        self._root = f"/{secrets.token_urlsafe(16)}"
        # A name of its own: a cookie of the same name for all paths, set at another port, would come with ours.
        self._cookie = f"{COOKIE}_{secrets.token_hex(8)}"
        self._proof = secrets.token_hex(16)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no page of ours opens a web socket
            await send({"type": "websocket.close", "code": 1008})
            return
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        status, message = self._refusal(scope, headers)
        if status == 200 and self._opens(scope):
            await self._let_in(send)
        elif status != 200:
            await _read_away(receive)
            await _answer(send, status, message)
        else:
            await self._app(
                {**scope, "root_path": self._root}, _bounded(receive), _with_headers(send, {PROOF: self._proof})
            )

    def _refusal(self, scope: Scope, headers: dict[str, list[str]]) -> tuple[int, str]:
        """Why a request is refused; 200 if it is not."""
        if not scope.get("state", {}).get(peers.MAY_ASK, False):
            return 403, "only the user who started the server is answered"
        hosts = self._hosts | _own(scope)
        if len(headers.get("host", [])) != 1 or headers["host"][0] not in hosts:
            return 421, "this address is not served here"
        origins = headers.get("origin", [])
        if any(origin not in {f"http://{host}" for host in hosts} for origin in origins):
            return 403, "pages of other sites are not answered"
        if headers.get("sec-fetch-site", ["none"])[0] not in ("same-origin", "none"):
            return 403, "pages of other sites are not answered"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "expected GET or POST"
        is_below = scope["path"].startswith(f"{self._root}/")
        if not (self._opens(scope) or (is_below and self._is_known(headers))):
            return 401, "the session is over: open the address that 'coldframe look' printed"
        if scope["method"] == "POST":
            if len(origins) != 1:
                return 403, "a change needs the origin of a page of ours"
            if headers.get("content-type", [""])[0].split(";")[0].strip().lower() != "application/json":
                return 415, "expected JSON"
            length = headers.get("content-length", ["0"])[0]
            if not length.isascii() or not length.isdigit() or int(length) > MOST_BODY:
                return 413, f"more than {MOST_BODY} bytes"
        return 200, ""

    def _opens(self, scope: Scope) -> bool:
        """Whether it is the address that was printed."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        is_page = scope["method"] == "GET" and scope["path"] == "/"
        return is_page and len(given) == 1 and hmac.compare_digest(given[0].encode(), self._token.encode())

    def _is_known(self, headers: dict[str, list[str]]) -> bool:
        pairs = [pair.strip().partition("=") for line in headers.get("cookie", []) for pair in line.split(";")]
        given = [value for name, _, value in pairs if name == self._cookie]
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), self._token.encode())

    async def _let_in(self, send: Send) -> None:
        cookie = f"{self._cookie}={self._token}; Path={self._root}/; HttpOnly; SameSite=Strict"
        headers = {"location": f"{self._root}/", "set-cookie": cookie, "cache-control": "no-store", **HEADERS}
        await send({"type": "http.response.start", "status": 303, "headers": _encoded(headers)})
        await send({"type": "http.response.body", "body": b""})


def _own(scope: Scope) -> set[str]:
    """Our end of the connection in numbers, which no name of somebody else's can stand for."""
    host, port = scope.get("server") or ("", None)
    return {f"[{host}]:{port}" if ":" in host else f"{host}:{port}"} if port else set()


async def _read_away(receive: Receive) -> None:
    """Read a body that nobody asked for: a connection that is closed before would be reset, and the answer lost."""
    seen = 0
    with anyio.move_on_after(AWAY_SECONDS):
        while seen <= MOST_AWAY:
            message = await receive()
            seen += len(message.get("body", b""))
            if not message.get("more_body"):
                return


async def _answer(send: Send, status: int, message: str) -> None:
    headers = {"content-type": "application/json", "cache-control": "no-store", "connection": "close", **HEADERS}
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": json.dumps({"error": message}).encode()})


def _bounded(receive: Receive) -> Receive:
    """A body that says less of its length than it is, or nothing, is cut off where it is too long."""
    seen = 0

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if seen > MOST_BODY else message

    return bounded


def _with_headers(send: Send, own: dict[str, str]) -> Send:
    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            there = {name.decode("latin-1").lower() for name, _ in message.get("headers", [])}
            more = {name: value for name, value in (HEADERS | own).items() if name not in there}
            if "cache-control" not in there:
                more["cache-control"] = "no-store"
            message = {**message, "headers": [*message.get("headers", []), *_encoded(more)]}
        await send(message)

    return sent


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
