"""The daemon does not depend on whoever reads what it prints."""

from __future__ import annotations

import os
from pathlib import Path

from tests.daemon import Daemon, Repository, no_leftovers

TOML = """
[server]
listen = ["127.0.0.1:{port}"]

[apps.site]
repo = "REPO"
hosts = ["site.example"]
verify = { bake_time = "500ms" }
triggers = { poll = "500ms" }
"""


def test_a_daemon_whose_output_nobody_reads_any_more_goes_on(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "repo")
    revision = repo.commit({"index.html": "hello"})
    noren = Daemon(tmp_path / "noren", TOML.replace("REPO", str(repo.path)))
    os.mkfifo(noren.output)
    reader = os.open(noren.output, os.O_RDONLY | os.O_NONBLOCK)
    with no_leftovers(noren.folder), noren:
        os.close(reader)
        noren.kept("site", revision)
        second = repo.commit({"index.html": "hello again"})
        noren.kept("site", second)
        noren.output.unlink()
