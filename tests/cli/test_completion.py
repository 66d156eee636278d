"""What a shell completes: verbs, options, and the names of apps of the running daemon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon import Daemon, Repository

NOREN = str(Path(sys.executable).with_name("noren"))


def completed(folder: Path, line: str) -> list[str]:
    """What bash would offer at the end of a line."""
    words = line.split(" ")
    env = {**os.environ, "_NOREN_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run([NOREN], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=20)
    return [row.partition(",")[2] for row in done.stdout.splitlines() if row]


def test_verbs_and_options_are_completed(tmp_path: Path) -> None:
    assert completed(tmp_path, "noren ro") == ["rollback"]
    assert completed(tmp_path, "noren deploy --w") == ["--wait"]


def test_apps_are_completed_while_the_daemon_runs_and_nothing_is_said_without_it(tmp_path: Path) -> None:
    Repository(tmp_path / "site").commit({"index.html": "hello"})
    apps = "".join(f'[apps.{name}]\nrepo = "site"\nhosts = ["{name}.example"]\n' for name in ("website", "wiki", "api"))
    assert completed(tmp_path, "noren status w") == []
    with Daemon(tmp_path, '[server]\nlisten = ["127.0.0.1:{port}"]\n' + apps):
        assert completed(tmp_path, "noren rollback w") == ["website", "wiki"]
        assert completed(tmp_path, "noren status a") == ["api"]
    assert completed(tmp_path, "noren status w") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    env = {**os.environ, "_NOREN_COMPLETE": f"{shell}_source"}
    done = subprocess.run([NOREN], env=env, capture_output=True, text=True, check=False, timeout=20)
    assert "_NOREN_COMPLETE" in done.stdout
