"""``noren doctor`` on this host: with and without settings, beside a running daemon, and what it finds bad."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.daemon import Daemon, Repository, free_port

SITE = '[apps.site]\nrepo = "site"\nhosts = ["a.example"]\n'


def doctor(folder: Path, *words: str, path: str = "") -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code and the findings by name."""
    env = {**os.environ, "PATH": path or os.environ["PATH"]}
    argv = [sys.executable, "-m", "noren.main", "doctor", "--json", *words]
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, {row["name"]: row for row in json.loads(done.stdout)["findings"]}


def test_it_needs_no_settings_and_leaves_nothing_behind(tmp_path: Path) -> None:
    code, found = doctor(tmp_path)
    assert found["settings"]["level"] == "risk" and "noren init" in found["settings"]["hint"]
    assert found["git"]["level"] == found["HAProxy"]["level"] == found["Caddy"]["level"] == "fine"
    assert {"disk", "open files", "ports of instances", "clock", "waiting connections"} <= set(found)
    assert code == any(row["level"] == "bad" for row in found.values())
    assert not list(tmp_path.iterdir())


def test_a_port_that_another_program_has_is_bad_and_one_of_ours_is_fine(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        (tmp_path / "noren.toml").write_text(f'[server]\nlisten = ["{address}"]\n{SITE}')
        code, found = doctor(tmp_path)
    assert code == 1
    assert found[f"listen {address}"]["level"] == "bad" and "ss -ltnp" in found[f"listen {address}"]["hint"]
    Repository(tmp_path / "site").commit({"index.html": "hello"})
    with Daemon(tmp_path, '[server]\nlisten = ["127.0.0.1:{port}"]\n' + SITE) as noren:
        _, found = doctor(tmp_path)
        assert found[f"listen 127.0.0.1:{noren.port}"]["seen"] == "Noren listens there"


def test_settings_that_are_wrong_and_a_missing_git_are_bad(tmp_path: Path) -> None:
    (tmp_path / "noren.toml").write_text(f'[server]\nlisten = ["127.0.0.1:{free_port()}"]\n{SITE}kepe = 3\n')
    code, found = doctor(tmp_path, path=str(tmp_path))
    assert code == 1
    assert found["settings"]["level"] == "bad" and "kepe" in found["settings"]["seen"]
    assert found["git"]["level"] == "bad" and "install git" in found["git"]["hint"]
