"""Reads /proc: which processes there are, what marks them and which sockets they hold.

Used by `members` (which processes belong to an instance) and `listening` (who answers on a port).
A process may end between two reads, so everything here answers "nothing" for one that is gone.

Names of files are plain strings: pathlib keeps each part of a path in CPython's table of known names, and pids without
end make that table (1 MB) move about in memory. They also take half the time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One process as /proc/PID/stat tells it (proc(5)); ``start_ticks``: its start, in clock ticks since boot.

    ``dead``: a zombie, its pid is still taken. One whose other threads still run is not: they hold its ports.
    """

    pid: int
    parent: int
    session: int
    start_ticks: int
    dead: bool


def row(pid: int) -> Row | None:
    """The process with this pid, None when there is none; raises OSError when that cannot be told."""
    try:
        # The command in parentheses may hold spaces and parentheses itself.
        fields = _read(pid, "stat").rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    dead = fields[0] in (b"Z", b"X") and int(fields[17]) <= 1  # state, threads
    return Row(pid, int(fields[1]), int(fields[3]), int(fields[19]), dead)


def rows() -> Iterator[Row]:
    """Every process that can be seen."""
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and (found := row(int(name))):
                yield found


def environment(pid: int) -> dict[str, str]:
    """The variables a process was started with; empty when it is gone, not ours to read, or overwrote them."""
    try:
        raw = _read(pid, "environ").decode(errors="replace")
    except OSError:
        return {}
    return dict(part.split("=", 1) for part in raw.split("\0") if "=" in part)


def words(pid: int) -> list[str]:
    """The command line; empty when the process is gone."""
    with suppress(OSError):
        return _read(pid, "cmdline").decode(errors="replace").rstrip("\0").split("\0")
    return []


def beside_us(pid: int) -> bool:
    """Whether it is in our pid namespace, and not in a container; False when it is gone or not ours to look at."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/ns/pid"), os.stat("/proc/self/ns/pid"))
    except OSError:
        return False


def command(pid: int) -> str:
    """What was started, at most 80 characters; its short name when the kernel shows no more."""
    with suppress(OSError):
        line = (" ".join(words(pid)) or _read(pid, "comm").decode(errors="replace")).strip()
        return "".join(c if c.isprintable() else " " for c in line)[:80]
    return "?"


def sockets(pid: int) -> frozenset[int] | None:
    """Inodes of the sockets a process holds; None when we may not look."""
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except PermissionError:
        return None
    except OSError:
        return frozenset()
    return frozenset(inode for name in names if (inode := _socket_inode(f"{folder}/{name}")) is not None)


def _read(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
        return file.read()


def _socket_inode(link: str) -> int | None:
    try:
        target = os.readlink(link)
    except OSError:
        return None
    return int(target[8:-1]) if target.startswith("socket:[") else None
