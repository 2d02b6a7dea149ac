"""Peers: whose process is at the other end of a connection within this machine.

Another user of the machine may learn an address or a cookie, from a list of processes or from a page that the browser was led
to. On Linux the system says who holds each end of a connection, so knowing them is not enough. Elsewhere it is not asked.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from pathlib import Path

TABLES = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}
ESTABLISHED = "01"
ROOT = 0  # may do everything anyway: a relay of the system into a container, for example

Address = tuple[str, int]


def may_ask(client: Address | None, server: Address | None) -> bool:
    """Whether a connection comes from another machine, or from a process of the user who serves.

    A connection that is no longer held by a process is nobody's, and may not ask. Where the system does not say, all may.

    Args:
        client: host and port of the other end.
        server: host and port of ours.
    """
    if client is None or server is None or not hasattr(os, "getuid"):
        return True
    try:
        if not ipaddress.ip_address(client[0]).is_loopback:
            return True
    except ValueError:
        return True
    owners = _owners(client, server)
    return owners is None or bool(owners & {os.getuid(), ROOT})


def _owners(client: Address, server: Address) -> set[int] | None:
    """The users who hold the other end of a connection; None where the system does not list even our own end."""
    family = socket.AF_INET6 if ":" in client[0] else socket.AF_INET
    try:
        theirs, ours = _written(client, family), _written(server, family)
        lines = [line.split() for line in TABLES[family].read_text("ascii").splitlines()[1:]]
    except (OSError, ValueError, struct.error):
        return None
    if not any(ours == line[1] and theirs == line[2] for line in lines if len(line) > 7):
        return None
    return {
        int(line[7]) for line in lines if len(line) > 7 and (line[1], line[2], line[3]) == (theirs, ours, ESTABLISHED)
    }


def _written(address: Address, family: socket.AddressFamily) -> str:
    """An address as the tables write it: words of four bytes in the order of this machine, and the port."""
    packed = socket.inet_pton(family, address[0])
    words = [struct.unpack("=I", packed[at : at + 4])[0] for at in range(0, len(packed), 4)]
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
