"""Peers: whose process is at the other end of a connection within this machine.

Another user of the machine may learn an address or a cookie, from a list of processes or from a page that the browser was led
to. On Linux the system says who holds each end of a connection, so knowing them is not enough. Elsewhere it is not asked.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import struct
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED, LISTENING = "01", "0A"
ROOT = 0  # may do everything anyway: a relay of the system into a container, for example

MAY_ASK = "may_ask"  # in the state of each request: what was found when its connection was made
Address = tuple[str, int | None]


def may_ask(client: Address | None, server: Address | None) -> bool:
    """Whether a connection comes from another machine, or from a process of the user who serves.

    A connection within this machine that no process holds any more is nobody's, and may not ask. Where the system does not say
    who holds connections, all may.

    Args:
        client: host and port of the other end; None if it is gone.
        server: host and port of ours.
    """
    lines = _listed()
    if (
        lines is None
        or server is None
        or not any(_port(line[1]) == server[1] and line[3] == LISTENING for line in lines)
    ):
        return True  # this system has no such lists, or we are not in them
    theirs, ours = _written(client), _written(server)
    if not theirs or not ours:
        return False
    if not any(line[1] in ours and line[2] in theirs for line in lines):
        return False  # our own end is gone
    others = [line for line in lines if line[1] in theirs and line[2] in ours]
    if not others:
        return not _number(server[0]).is_loopback  # from another machine
    return any(line[3] == ESTABLISHED and int(line[7]) in (os.getuid(), ROOT) for line in others)


def _listed() -> list[list[str]] | None:
    """The lines of the system's lists of connections, in columns; None where it has none."""
    found = []
    for table in TABLES:
        with contextlib.suppress(OSError, ValueError):
            found += [line.split() for line in table.read_text("ascii").splitlines()[1:]]
    return [line for line in found if len(line) > 7] or None


def _port(written: str) -> int:
    return int(written.rpartition(":")[2], 16)


def _written(address: Address | None) -> set[str]:
    """An address as the lists may write it: words of four bytes in the order of this machine, and the port."""
    if address is None or address[1] is None:
        return set()
    try:
        at = _number(address[0])
    except ValueError:
        return set()
    forms = {at.packed, bytes(10) + b"\xff\xff" + at.packed} if at.version == 4 else {at.packed}
    return {
        "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", form)) + f":{address[1]:04X}" for form in forms
    }


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address; one of version 4 that is written as one of version 6 is of version 4."""
    at = ipaddress.ip_address(host.partition("%")[0])
    return at.ipv4_mapped or at if isinstance(at, ipaddress.IPv6Address) else at
