"""Who listens on a public port, as the kernel tells it: the proof that nothing was reloaded or bound again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Listener:
    """Inodes of the listening sockets of a port, and the HAProxy processes that work in a state directory."""

    inodes: frozenset[str]
    proxies: frozenset[int]

    @staticmethod
    def of(port: int, state: Path) -> Listener:
        """Look now; fails when nobody listens."""
        listener = Listener(frozenset(_inodes(port)), frozenset(_proxies(state)))
        assert listener.inodes and listener.proxies, f"nobody listens on {port}"
        return listener


def _inodes(port: int) -> list[str]:
    rows = [line.split() for table in ("tcp", "tcp6") for line in _lines(Path("/proc/net") / table)]
    return [row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port]


def _lines(table: Path) -> list[str]:
    return table.read_text().splitlines()[1:] if table.exists() else []


def _proxies(state: Path) -> list[int]:
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = (process / "cwd").readlink().is_relative_to(state.resolve())
            if ours and (process / "comm").read_text().strip() == "haproxy":
                found.append(int(process.name))
        except OSError:
            continue
    return found
