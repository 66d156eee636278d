"""Another version of Noren takes over from an older one, its state and its running apps, and nobody notices."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from noren.prove.keepalive import KeepAlive, NewConnection
from noren.prove.request import Target
from tests.daemon import Daemon, Repository, no_leftovers
from tests.docs.pages import ROOT
from tests.proofs.background import Background

# The newest version before `init`, `doctor` and `install`; its state has the first schema.
OLD = "9ffec78ea01b"
SETTINGS = """
[server]
listen = ["127.0.0.1:{port}"]
[defaults]
verify = { bake_time = "1s" }
triggers = { poll = "500ms" }
[apps.site]
repo = "repo"
hosts = ["site.example"]
[apps.api]
repo = "repo"
run = "exec python3 server.py"
hosts = ["api.example"]
"""
SERVER = """\
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def old_source(folder: Path) -> Path:
    """The source of the older version, from this project's own history."""
    argv = ["git", "archive", OLD, "src"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, check=False, timeout=30)
    if done.returncode != 0:
        pytest.skip(f"the history of this checkout does not hold {OLD}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


def test_a_newer_version_takes_state_and_apps_over_and_no_request_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = old_source(tmp_path / "old")
    repository = Repository(tmp_path / "repo")
    first = repository.commit({"index.html": "one", "server.py": SERVER})
    with no_leftovers(tmp_path), monkeypatch.context() as older:
        older.setenv("PYTHONPATH", str(source))
        asked = "import noren.main, noren.cli.commands as c; print(noren.main.__file__, 'doctor' in c.VERBS)"
        told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=20)
        assert told.stdout.split() == [str(source / "noren" / "main.py"), "False"]
        with Daemon(tmp_path, SETTINGS) as noren:
            kept = [noren.kept(app, first) for app in ("site", "api")]
            targets = [Target(port=noren.port, host=f"{app}.example", app=app) for app in ("site", "api")]
            loads = [KeepAlive(name=f"{at.app} kept alive", target=at, rate=50, connections=4) for at in targets]
            fresh = [NewConnection(name=f"{at.app} new", target=at, rate=50) for at in targets]
            with Background(*loads, *fresh) as traffic:
                assert noren.end(signal.SIGTERM) == 0
                older.undo()
                noren.up()
                assert [noren.client.releases(app)[0] for app in ("site", "api")] == kept
                second = repository.commit({"index.html": "two"})
                for app in ("site", "api"):
                    noren.kept(app, second)
                    receipt = noren.client.receipt(app)
                    assert receipt["requests"]["failed"] == 0, receipt
    assert traffic.proof.lost == 0, "\n".join(traffic.proof.lines())
    assert traffic.proof.summary.requests > 300
