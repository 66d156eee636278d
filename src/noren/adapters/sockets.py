"""Reads which TCP sockets listen on this host, and which are connected to a port, from /proc/net.

Used by `listening` to tell who answers on a port, and for a HAProxy that can be asked nothing any more.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTEN, _ESTABLISHED = "0A", "01"


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket; ``inode`` is how /proc/PID/fd names it, ``uid`` the user that made it."""

    address: str
    port: int
    uid: int
    inode: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def listeners() -> list[Listener]:
    """Every listening TCP socket, IPv4 first."""
    return [*_listeners("tcp"), *_listeners("tcp6")]


def connected(ports: Collection[int]) -> frozenset[int]:
    """Inodes of the sockets that are connected to one of these ports over IPv4."""
    with Path("/proc/self/net/tcp").open() as lines:
        rows = [line.split() for line in lines]
    return frozenset(
        int(row[9]) for row in rows if row[3] == _ESTABLISHED and int(row[2].rpartition(":")[2], 16) in ports
    )


def answering(port: int, among: list[Listener]) -> list[Listener]:
    """Those that a connection to 127.0.0.1 on this port may reach; several with SO_REUSEPORT."""
    here = [listener for listener in among if listener.port == port]
    # [::] takes IPv4 too, unless it is told not to; beside an IPv4 listener it must have been.
    return [at for at in here if at.address in ("127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1")] or [
        at for at in here if at.address == "::"
    ]


def _listeners(table: str) -> Iterator[Listener]:
    try:
        with Path("/proc/self/net", table).open() as lines:
            next(lines)
            for line in lines:
                fields = line.split()
                # The kernel lists listening sockets first; behind them may come a hundred thousand connections.
                if fields[3] != _LISTEN:
                    return
                address, _, port = fields[1].rpartition(":")
                yield Listener(_address(address), int(port, 16), int(fields[7]), int(fields[9]))
    except OSError:
        return  # a host without this address family


def _address(text: str) -> str:
    """``0100007F`` → 127.0.0.1: words of four bytes, each in the order of a little-endian host."""
    raw = bytes.fromhex(text)
    return str(ipaddress.ip_address(b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))))
