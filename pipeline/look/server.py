"""The server: a port of this machine alone, a token in the address, and a browser that opens it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from pipeline.look import app, peers
from pipeline.look.session import Session
from pipeline.steps.config import Config
from pipeline.steps.settings import setting
from store.errors import ColdframeError
from store.store import Store

HOME = "127.0.0.1"
STOP_SECONDS = 2


@dataclass(frozen=True)
class Settings:
    """Where the pages are served."""

    host: str = setting(HOME, "Address to serve; any but this machine's own lets others in.", metavar="ADDRESS")
    port: int = setting(0, "Port to serve; 0: any that is free.", least=0, most=65535)
    plan: str | None = setting(None, "Plan to show.", metavar="PLAN", default_text="default, or the first")


def serve(
    store: Store, config: Config, settings: Settings, *, browser: bool, say: Callable[[str], None], warm: bool = True
) -> None:
    """Serve the pages of a store until the process is asked to stop.

    Args:
        browser: open the first page in the user's browser.
        say: how the address is told.
        warm: make the thumbnails that are not there, meanwhile.

    Raises:
        ColdframeError: there is no such plan, or the address or port cannot be served.
    """
    token = secrets.token_urlsafe(24)
    with (
        contextlib.closing(_listen(settings.host, settings.port)) as listening,
        contextlib.closing(Session(store, config, settings.plan)) as session,
    ):
        address, hosts = _named(listening, settings.host, token)
        if not _bound(listening).is_loopback:
            say(
                f"warning: {settings.host} can be reached from other machines; who has the address below can judge pictures"
            )
        say(f"look at {store.root}: {address}")
        say("Ctrl-C ends it; what was judged is in the store")
        stop = threading.Event()
        if warm:
            threading.Thread(target=session.warm, args=(stop,), daemon=True).start()
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        # The app says what goes wrong; that a request was cut off when the server ended is no fault.
        heard = logging.getLogger("uvicorn.error")
        heard.addHandler(logging.NullHandler())
        heard.propagate = False
        answering = uvicorn.Config(
            app.make(session, token=token, hosts=hosts),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            http=_Asked,
            proxy_headers=False,  # a header must not say who is at the other end
            limit_concurrency=200,
            h11_max_incomplete_event_size=64 * 1024,
        )
        try:
            # it stops in order when asked to, and then asks again, for the command line to end as every command does
            uvicorn.Server(answering).run(sockets=[listening])
        finally:
            stop.set()


def _named(listening: socket.socket, host: str, token: str) -> tuple[str, frozenset[str]]:
    """The address to print, and the values of the header Host that are served.

    It is in numbers where it is this machine: "localhost" may lead a browser to another address, and another server.
    """
    at, port = _bound(listening), listening.getsockname()[1]
    shown = socket.gethostname().lower() if at.is_unspecified else str(at) if at.is_loopback else host.lower()
    named = {name: f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in (str(at), shown)}
    return f"http://{named[shown]}/?token={token}", frozenset(named.values())


def _bound(listening: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(listening.getsockname()[0])


class _Asked(H11Protocol):
    """Connections of which it is known who made them: found once for each, since looking it up takes a few milliseconds."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See who is at the other end."""
        found = peers.may_ask(get_remote_addr(transport), get_local_addr(transport))
        self.app_state = {**self.app_state, peers.MAY_ASK: found}
        super().connection_made(transport)


def _listen(host: str, port: int) -> socket.socket:
    if not host:
        raise ColdframeError(f"--host is empty: expected an address, such as {HOME}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, OverflowError, UnicodeError, TypeError) as error:  # a name that cannot be one of a host, too
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise ColdframeError(
            f"{host}:{port}: cannot be served ({reason}): choose another --port, or 0 for any that is free"
        ) from error
    return listening
