"""What an idle Noren costs: memory and processor time of the daemon and all that it runs, ten sites at rest."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from tests.daemon import Daemon, Repository

from bench.table import Row

APPS = 10
_APP = """
[apps.site-{n}]
repo = "repo-{n}"
hosts = ["site-{n}.example"]
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """Megabytes resident, megabytes by proportional share, seconds of processor time with children that ended."""

    name: str
    resident: float
    share: float
    seconds: float

    @staticmethod
    def of(process: psutil.Process, *, children: bool) -> Usage:
        """Now."""
        memory, times = process.memory_full_info(), process.cpu_times()
        ended = times.children_user + times.children_system if children else 0.0
        return Usage(process.name(), memory.rss / 1e6, memory.pss / 1e6, times.user + times.system + ended)


def footprint(minutes: float) -> list[Row]:
    """Ten static apps from ten repositories, polled as often as by default."""
    settings = '[server]\nlisten = ["127.0.0.1:{port}"]\n' + "".join(_APP.format(n=n) for n in range(APPS))
    with TemporaryDirectory(prefix="noren-bench-") as name:
        folder = Path(name)
        revisions = [Repository(folder / f"repo-{n}").commit({"index.html": f"site {n}"}) for n in range(APPS)]
        with Daemon(folder, settings) as noren:
            for n, revision in enumerate(revisions):
                noren.kept(f"site-{n}", revision, timeout=120)
            assert noren.process is not None
            return _rows(psutil.Process(noren.process.pid), minutes)


def _rows(daemon: psutil.Process, minutes: float) -> list[Row]:
    before, began = _usages(daemon), time.monotonic()
    time.sleep(minutes * 60)
    after, seconds = _usages(daemon), time.monotonic() - began
    spent = {pid: after[pid].seconds - before[pid].seconds for pid in before if pid in after}
    each = [
        Row(f"{usage.name}, resident", usage.resident, "MB", 1, note=_note(usage, spent.get(pid, 0.0), seconds))
        for pid, usage in after.items()
    ]
    idle = f"{APPS} apps, {minutes:g} minutes, children that ended included"
    return [
        *each,
        Row("resident, sum", sum(u.resident for u in after.values()), "MB", len(after), most=120),
        Row("proportional share, sum", sum(u.share for u in after.values()), "MB", len(after)),
        Row("idle processor time", sum(spent.values()) / seconds * 100, "% of a core", len(after), most=1, note=idle),
    ]


def _note(usage: Usage, spent: float, seconds: float) -> str:
    return f"share {usage.share:.1f} MB, {spent / seconds * 100:.2f} % of a core"


def _usages(daemon: psutil.Process) -> dict[int, Usage]:
    """The daemon and what lasts of its children; a git that happens to run is counted when it ends."""
    lasting = [p for p in daemon.children(recursive=True) if p.name() in ("haproxy", "caddy")]
    return {p.pid: Usage.of(p, children=p == daemon) for p in (daemon, *lasting)}
