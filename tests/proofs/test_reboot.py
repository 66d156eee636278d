"""F35: a machine with many apps is started again: all serve soon, started a few at a time, without a build.

Everything is ended at once, with nobody left to notice, and the daemon is started, as the system would. Short: 12 apps.
Full: 100.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.daemon import Daemon, Repository, no_leftovers
from tests.proofs.claim import claim, sized
from tests.proofs.ledger_app import app_settings
from tests.proofs.test_harmed_state import power_off, served

# Says when its process began and when it was first asked, which is when it listens: between them it is being started.
SERVER = """\
import os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
told = Path(os.environ["NOREN_DATA"], "started")

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if not told.exists():
            told.write_text(f"{began} {time.clock_gettime(time.CLOCK_BOOTTIME)}")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *words):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
AT_ONCE = max(4, 2 * (os.cpu_count() or 1))
TARGET = 30.0  # seconds, for 100 apps on two cores


def settings(names: list[str]) -> str:
    """All from one repository, released once."""
    lines = '[server]\nlisten = ["127.0.0.1:{port}"]\n[defaults]\ntriggers = { poll = "1s" }\n'
    lines += 'verify = { bake_time = "0s" }\n'
    return lines + "\n".join(app_settings(name, "exec python3 server.py", build='"true"') for name in names)


def at_once(files: list[Path]) -> int:
    """How many were being started at the same time at most."""
    spans = [tuple(map(float, file.read_text().split())) for file in files]
    return max(sum(began <= at < ready for began, ready in spans) for at, _ in spans)


@sized(("number", "patience"), (12, 60.0), (100, TARGET), seconds=240, minutes=15)
def test_f35_after_a_reboot_all_apps_are_back_a_few_at_a_time_and_without_a_build(
    number: int, patience: float, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "repo")
    revision = repository.commit({"server.py": SERVER})
    names = [f"app{n}" for n in range(number)]
    with no_leftovers(tmp_path), Daemon(tmp_path, settings(names)) as noren:
        for name in names:
            noren.kept(name, revision, timeout=600)
        before = {name: noren.client.releases(name) for name in names}
        builds = {file: file.stat().st_mtime_ns for file in noren.state.glob("builds/*")}
        power_off(noren)
        told = list(noren.state.glob("data/*/started"))
        for file in told:
            file.unlink()
        began = time.monotonic()
        noren.spawn()
        for name in names:
            noren.until(lambda name=name: served(noren.port, name), f"{name} serves", 120, pause=0.02)
        took = time.monotonic() - began
        most = at_once(told)
        claim(
            f"{number} apps after a reboot",
            f"all serve after {took:.1f} s, {most} started at a time",
            settings=f"{os.cpu_count()} cores",
        )
        assert len(told) == number
        assert most <= AT_ONCE
        assert {name: noren.client.releases(name) for name in names} == before
        assert {file: file.stat().st_mtime_ns for file in noren.state.glob("builds/*")} == builds, "something was built"
        assert took <= patience
