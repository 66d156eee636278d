"""Reads /proc: which processes there are, what marks them and which sockets they hold.

Used by `members` (which processes belong to an instance) and `listening` (who answers on a port).
A process may end between two reads, so everything here answers "nothing" for one that is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


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
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    dead = fields[0] in "ZX" and int(fields[17]) <= 1  # state, threads
    return Row(pid, int(fields[1]), int(fields[3]), int(fields[19]), dead)


def rows() -> Iterator[Row]:
    """Every process that can be seen."""
    for entry in _PROC.iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (found := row(int(entry.name))):
                yield found


def environment(pid: int) -> dict[str, str]:
    """The variables a process was started with; empty when it is gone, not ours to read, or overwrote them."""
    try:
        raw = (_PROC / str(pid) / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(part.split("=", 1) for part in raw.split("\0") if "=" in part)


def command(pid: int) -> str:
    """What was started, at most 80 characters; its short name when the kernel shows no more."""
    with suppress(OSError):
        shown = (_PROC / str(pid) / "cmdline").read_bytes() or (_PROC / str(pid) / "comm").read_bytes()
        line = shown.replace(b"\0", b" ").decode(errors="replace").strip()
        return "".join(c if c.isprintable() else " " for c in line)[:80]
    return "?"


def sockets(pid: int) -> frozenset[int] | None:
    """Inodes of the sockets a process holds; None when we may not look."""
    try:
        entries = list((_PROC / str(pid) / "fd").iterdir())
    except PermissionError:
        return None
    except OSError:
        return frozenset()
    return frozenset(inode for entry in entries if (inode := _socket_inode(entry)) is not None)


def _socket_inode(entry: Path) -> int | None:
    try:
        target = str(entry.readlink())
    except OSError:
        return None
    return int(target[8:-1]) if target.startswith("socket:[") else None
