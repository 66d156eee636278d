"""A real repository that tests commit to and push around in; nobody's settings but its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from noren.core.model import App, Build, Kind

_ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.com",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.com",
}


class Repository:
    """A work tree with the branch main."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str, **env: str) -> str:
        """Run git here; its output."""
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *words],
            cwd=self.path,
            env={**_ENV, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, files: dict[str, str], message: str = "change", **env: str) -> str:
        """Write files, commit them; the sha."""
        for name, text in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "-m", message, **env)
        return self.git("rev-parse", "HEAD")

    def app(self, name: str = "website", **settings: Any) -> App:
        """An app of this repository."""
        return replace(App(name=name, kind=Kind.STATIC, repo=str(self.path)), **settings)

    def site(self, run: str, /, name: str = "website", timeout: float = 20.0, **settings: Any) -> App:
        """A static app with a build command."""
        return self.app(name, build=Build(run=run, timeout=timeout), **settings)
