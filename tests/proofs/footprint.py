"""What a daemon and everything it runs take of the machine: to compare early with late."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import psutil

from tests.daemon import Daemon


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory in kB of the daemon and its proxy, descriptors of all, and what there is of everything else.

    ``disk_kb`` is without the ledger and the mirrors, which grow by what happened and by the team's commits.
    """

    daemon_kb: int
    haproxy_kb: int
    descriptors: int
    processes: int
    listening: int
    disk_kb: int
    mirrors_kb: int
    ledger_kb: int
    wal_kb: int

    @staticmethod
    def of(noren: Daemon) -> Footprint:
        """Look now."""
        assert noren.process is not None
        processes = mine(noren)
        kb = {process.name(): process.memory_info().rss // 1024 for process in processes}
        ports = {c.laddr.port for p in processes for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
        files = [file for file in noren.state.rglob("*") if file.is_file() and not file.is_symlink()]
        return Footprint(
            daemon_kb=psutil.Process(noren.process.pid).memory_info().rss // 1024,
            haproxy_kb=kb.get("haproxy", 0),
            descriptors=sum(process.num_fds() for process in processes),
            processes=len(processes),
            listening=len(ports),
            disk_kb=_kb(file for file in files if "noren.db" not in file.name and "mirrors" not in file.parts),
            mirrors_kb=_kb(file for file in files if "mirrors" in file.parts),
            ledger_kb=(noren.state / "noren.db").stat().st_size // 1024,
            wal_kb=(noren.state / "noren.db-wal").stat().st_size // 1024,
        )

    def __str__(self) -> str:
        return ", ".join(f"{field.name} {getattr(self, field.name)}" for field in fields(self))


def _kb(files: Iterable[Path]) -> int:
    return sum(file.stat().st_blocks for file in files) // 2


def mine(noren: Daemon) -> list[psutil.Process]:
    """The daemon and what works in its state directory."""
    assert noren.process is not None
    return [p for p in psutil.process_iter() if p.pid == noren.process.pid or _works_in(p, noren.state)]


def _works_in(process: psutil.Process, state: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(state.resolve())
    except (psutil.Error, OSError):
        return False
