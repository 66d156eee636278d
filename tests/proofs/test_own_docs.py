"""Noren's own documentation, built by MkDocs from its own history and rolled out commit by commit under load."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from noren.prove.keepalive import KeepAlive
from noren.prove.request import Target, gets
from tests.daemon import Daemon, no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim, sized

PROJECT = Path(__file__).parents[2]
# Commits from before there was a settings file or a first page are built with today's, so that history can be walked.
SETTINGS = """
[server]
listen = ["127.0.0.1:{port}"]
[apps.docs]
repo = "repo"
branch = "walk"
watch = ["docs/**", "mkdocs.yml"]
hosts = ["docs.example"]
triggers = { poll = "300ms" }
verify = { bake_time = "1s" }
env = { PYTHON = "PYTHON_HERE", TODAY = "PROJECT_HERE" }
[apps.docs.build]
run = '''
test -f mkdocs.yml || cp "$TODAY/mkdocs.yml" .
test -f docs/index.md || echo "# Noren" >docs/index.md
"$PYTHON" -m mkdocs build --quiet --strict --site-dir "$NOREN_OUTPUT"
'''
"""


class History:
    """A clone of the project whose branch ``walk`` the test moves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._git(path.parent, "clone", "--quiet", "--bare", str(PROJECT), str(path))

    def of_docs(self, most: int) -> list[str]:
        """The newest commits that touch the documentation, oldest first."""
        listed = self._git(self.path, "log", f"-{most}", "--format=%H", "HEAD", "--", "docs", "mkdocs.yml")
        return listed.split()[::-1]

    def move(self, revision: str) -> str:
        """Let the branch name this commit."""
        self._git(self.path, "update-ref", "refs/heads/walk", revision)
        return revision

    def tomorrow(self, folder: Path) -> str:
        """A commit on top that adds a page."""
        self._git(folder.parent, "clone", "--quiet", "--branch", "walk", str(self.path), str(folder))
        (folder / "docs/tomorrow.md").write_text("# Tomorrow\n\nA page that does not exist yet.\n")
        self._git(folder, "add", "docs")
        self._git(folder, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-qm", "Tomorrow")
        self._git(folder, "push", "--quiet", "origin", "HEAD:walk")
        return self._git(folder, "rev-parse", "HEAD")

    def _git(self, folder: Path, *words: str) -> str:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.path.parent), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(["git", *words], cwd=folder, env=env, check=True, capture_output=True, text=True)
        return done.stdout.strip()


def outcome(noren: Daemon, revision: str) -> str:
    """Wait for the outcome of a revision; what fails must fail by MkDocs' own word."""

    def there() -> dict[str, str] | None:
        rows = [row for row in noren.client.releases("docs") if row["revision"] == revision and row["outcome"]]
        return rows[0] if rows else None

    row = noren.until(there, f"{revision} has its outcome")
    assert row["outcome"] == "kept" or "strict mode" in row["reason"], row
    return row["outcome"]


@pytest.mark.skipif(not (PROJECT / ".git").exists() or not shutil.which("git"), reason="no checkout with history")
@sized("most", 3, 15)
def test_its_own_documentation_goes_live_commit_by_commit(tmp_path: Path, most: int) -> None:
    history = History(tmp_path / "repo")
    commits = history.of_docs(most)
    settings = SETTINGS.replace("PYTHON_HERE", sys.executable).replace("PROJECT_HERE", str(PROJECT))
    history.move(commits[0])
    with no_leftovers(tmp_path), Daemon(tmp_path, settings) as noren:
        walk = iter(commits)
        outcomes = [next(kept for kept in (outcome(noren, history.move(r)) for r in walk) if kept == "kept")]
        target = Target(port=noren.port, host="docs.example", app="docs")
        with Background(KeepAlive(name="readers", target=target, rate=100, requests=gets("/"))) as traffic:
            outcomes += [outcome(noren, history.move(revision)) for revision in walk]
            noren.kept("docs", history.tomorrow(tmp_path / "clone"))
        proof = traffic.proof
        figures = f"{outcomes.count('kept') + 1} of {len(commits) + 1} commits kept, {proof.lost} lost"
        claim("own documentation", f"{figures} in {proof.summary.requests} requests", seed=proof.summary.seed)
        assert proof.lost == 0
