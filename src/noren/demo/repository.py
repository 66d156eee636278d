"""A Git repository of the sample team: commits, and nothing of the Git settings of whoever runs the demo.

``team`` and ``documentation`` make theirs.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from noren.core.errors import HostError

_ADA = {"NAME": "Ada", "EMAIL": "ada@team.example"}


class Repository:
    """The checkout at ``path``; pushing is committing, for Noren watches the folder itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def new(path: Path) -> Repository:
        """Make the folder a repository without a commit."""
        made = Repository(path)
        made.git("init", "--quiet", "--initial-branch=main")
        return made

    def commit(self, files: dict[str, str], message: str) -> str:
        """Write these files and commit all there are; the new revision."""
        for name, text in files.items():
            (self.path / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def read(self, name: str) -> str:
        """A file as it is now."""
        return (self.path / name).read_text()

    def git(self, *words: str) -> str:
        """What git says; raises HostError when it fails."""
        who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _ADA.items()}
        env = {"PATH": os.environ["PATH"], "HOME": str(self.path.parent), "GIT_CONFIG_NOSYSTEM": "1", **who}
        try:
            done = subprocess.run(
                ["git", *words], cwd=self.path, env=env, check=True, capture_output=True, text=True, timeout=60
            )
        except FileNotFoundError as exc:
            raise HostError("git is not installed", hint="install git 2.31 or newer with your package manager") from exc
        except subprocess.CalledProcessError as exc:
            raise HostError(f"git {words[0]} failed in {self.path}", seen=exc.stderr.strip()) from exc
        return done.stdout.strip()
