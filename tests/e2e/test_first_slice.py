"""The shortest way from a commit to a kept release, with every real part."""

from __future__ import annotations

import signal
import urllib.request
from pathlib import Path

from tests.daemon import Daemon, Repository, no_leftovers

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
run = "exec python3 -m http.server --bind 127.0.0.1 $PORT"
hosts = ["api.example", "site.example/api"]
"""


def get(port: int, host: str, path: str = "/") -> tuple[int, str, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": host})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.status, answer.headers["X-Noren-Release"], answer.read().decode()


def test_a_commit_goes_live_survives_the_daemon_and_leaves_nothing_behind(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    first = repository.commit({"index.html": "one"})
    with no_leftovers(tmp_path), Daemon(tmp_path, SETTINGS) as noren:
        noren.kept("site", first)
        noren.kept("api", first)
        assert get(noren.port, "site.example") == (200, "site@1", "one")
        assert get(noren.port, "site.example", "/api/") == (200, "api@1", "one")
        assert noren.end(signal.SIGTERM) == 0
        assert get(noren.port, "site.example") == (200, "site@1", "one")
        assert get(noren.port, "api.example") == (200, "api@1", "one")
        second = repository.commit({"index.html": "two"})
        noren.up()
        noren.kept("site", second)
        noren.kept("api", second)
        assert get(noren.port, "site.example") == (200, "site@2", "two")
        assert get(noren.port, "api.example") == (200, "api@2", "two")
        assert noren.client.receipt("api")["requests"]["failed"] == 0
