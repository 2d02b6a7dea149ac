"""``coldframe look`` in a process of its own, and a client for it that keeps cookies as a browser does."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from tests.support.coldframe import Coldframe, environment

ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)")


@dataclass(frozen=True)
class Answer:
    """Status, headers in lower case, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Looking:
    """A server that runs."""

    process: subprocess.Popen[str]
    port: int
    token: str
    cookie: str = ""
    root: str = ""  # what is before every address once a session is open

    @property
    def host(self) -> str:
        """The host that is served."""
        return f"127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """The address that was printed."""
        return f"http://{self.host}/?token={self.token}"

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str | None] | None = None
    ) -> Answer:
        """One request, as a page of ours sends it but for ``headers``; a header of None is left out."""
        sent: dict[str, str | None] = {"Host": self.host, "Cookie": self.cookie or None}
        if method == "POST":
            sent |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        sent |= headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, self.root + path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            if body is not None and "Content-Length" not in sent:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, code: int = 200) -> Any:
        """The JSON of an address."""
        answer = self.send("GET", path)
        assert answer.status == code, answer
        return answer.json

    def post(self, path: str, given: Any, code: int = 200) -> Any:
        """The JSON that an address answers to JSON."""
        answer = self.send("POST", path, json.dumps(given).encode())
        assert answer.status == code, answer
        return answer.json

    def send_opening(self) -> Answer:
        """Ask for the address that was printed."""
        return replace(self, root="").send("GET", f"/?token={self.token}")

    def open(self) -> None:
        """Begin a session, as a browser does with the printed address."""
        answer = self.send_opening()
        assert answer.status == 303
        self.cookie = answer.headers["set-cookie"].split(";")[0]
        self.root = answer.headers["location"].removesuffix("/")


@contextmanager
def looking(cf: Coldframe, *options: object) -> Iterator[Looking]:
    """A server of a store, and an open session with it."""
    process = subprocess.Popen(
        cf.command("look", "--no-browser", *options), stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stderr is not None
    try:
        said = ""
        while not (found := ADDRESS.search(said)):
            line = process.stderr.readline()
            assert line, f"it ended: {said}"
            said += line
        served = Looking(process, int(found[1]), found[2])
        served.open()
        yield served
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stderr.close()
