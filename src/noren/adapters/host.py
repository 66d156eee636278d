"""Looks at the host that Noren is to run on, without changing it.

main.py calls it for ``noren doctor``; what it saw is judged by core/diagnosis.py.
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from noren.adapters.cgroup import writable
from noren.adapters.free_space import default_minimum, free_bytes
from noren.adapters.git_version import check_git
from noren.adapters.haproxy import FEWEST_FILES, MOST_FILES, find_binary
from noren.adapters.haproxy.addresses import Address, has_ipv6
from noren.adapters.sockets import listeners
from noren.core import diagnosis
from noren.core.diagnosis import Finding
from noren.core.errors import HostError

_UNSYNCHRONISED = 0x0040  # STA_UNSYNC of linux/timex.h
_STATUS_AT = 40  # offset of timex.status where long has 8 bytes


def programs(haproxy: str | None, caddy: Callable[[], Path]) -> Iterator[Finding]:
    """What Noren runs; ``haproxy`` is what the settings name, ``caddy`` finds the file server."""
    yield diagnosis.program("git", _tried(check_git))
    yield diagnosis.program("HAProxy", _tried(lambda: str(find_binary(haproxy))))
    yield diagnosis.program("Caddy", _tried(lambda: str(caddy())))


def limits() -> Iterator[Finding]:
    """What the kernel allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else hard
    yield diagnosis.open_files(most, FEWEST_FILES, MOST_FILES)
    if (waiting := _number("net/core/somaxconn")) is not None:
        yield diagnosis.backlog(waiting)
    migrate = _number("net/ipv4/tcp_migrate_req")
    yield diagnosis.migration(None if migrate is None else migrate > 0)
    yield diagnosis.groups(writable())
    yield diagnosis.clock(_synchronised())


def ports(first: int, last: int) -> Finding:
    """The ports of instances."""
    words = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    taken = sorted({at.port for at in listeners() if first <= at.port <= last})
    return diagnosis.instance_ports(first, last, (int(words[0]), int(words[1])), taken)


def folder(path: Path) -> Iterator[Finding]:
    """Where the state is, or will be."""
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    problem = ""
    if not there.is_dir():
        problem = f"{there} is not a folder"
    elif not os.access(there, os.W_OK | os.X_OK):
        problem = f"{there} cannot be written by this user"
    yield diagnosis.state(str(path), problem)
    yield diagnosis.free_space(free_bytes(there), default_minimum(there), str(there))


def public(address: str, *, running: bool) -> Finding:
    """A public address of the settings; ``running``: the daemon of these settings answers, so it is its own."""
    return diagnosis.listener(address, "" if running else _refusal(address), ours=running)


def _refusal(address: str) -> str:
    """What the kernel says to one who wants to listen there; nothing stays open."""
    wanted = Address.parse(address)
    host = "0.0.0.0" if wanted.host == "::" and not has_ipv6() else wanted.host
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, wanted.port))
            trial.listen(1)
        except OSError as exc:
            return exc.strerror or str(exc)
    return ""


def _tried(find: Callable[[], str]) -> str | HostError:
    try:
        return find()
    except HostError as exc:
        return exc


def _number(name: str) -> int | None:
    try:
        return int(Path("/proc/sys", name).read_text())
    except (OSError, ValueError):
        return None


def _synchronised() -> bool | None:
    """adjtimex(2) without a change: its status says whether a time service keeps the clock."""
    told = ctypes.create_string_buffer(256)
    if ctypes.sizeof(ctypes.c_long) != 8 or ctypes.CDLL(None).adjtimex(told) < 0:
        return None
    status = ctypes.c_int.from_buffer(told, _STATUS_AT).value
    return not status & _UNSYNCHRONISED
