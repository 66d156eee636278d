"""Noren's own documentation as the team's third site: from its own Git history where the demo runs in a checkout.

An installed Noren carries the pages but no history: then the history begins with the demo, and ``told`` says so.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from noren.core.errors import HostError
from noren.demo.repository import Repository

CHECKOUT = Path(__file__).parents[3]
INSTALLED = Path(__file__).with_name("docs")  # put there by the wheel (pyproject.toml)
LAST = 3  # commits of the history that are released one after the other


class Documentation:
    """The repository at ``path``; ``waiting`` are the revisions that are still to be pushed, oldest first."""

    def __init__(self, path: Path, checkout: Path = CHECKOUT, installed: Path = INSTALLED) -> None:
        history = _history(checkout)
        if history:
            Repository(path.parent).git("clone", "--quiet", str(checkout), str(path))
            self.repository = Repository(path)
            self.repository.git("checkout", "--quiet", "-B", "main", history[0])
            self.told = f"docs is Noren's own documentation, from the last {len(history)} commits that changed it."
        else:
            pages = checkout / "docs" if (checkout / "docs" / "index.md").is_file() else installed
            shutil.copytree(pages, path / "docs", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
            self.repository = Repository.new(path)
            self.repository.commit({}, "The documentation as it was installed")
            self.told = "docs is Noren's own documentation; this Noren came without its Git history, which begins now."
        self.waiting = history[1:]

    def advance(self) -> tuple[str, str] | None:
        """Push the next commit of the history; revision and subject, None when there is none left."""
        if not self.waiting:
            return None
        revision = self.waiting.pop(0)
        self.repository.git("reset", "--quiet", "--hard", revision)
        return revision, self.repository.git("log", "-1", "--format=%s")


def _history(checkout: Path) -> list[str]:
    """The last commits of the documentation; none without a history, or with one that Git refuses to read."""
    if not (checkout / ".git").exists() or not (checkout / "docs" / "index.md").is_file():
        return []
    ours = Repository(checkout)
    try:
        if ours.git("rev-parse", "--is-shallow-repository") != "false":
            return []
        return ours.git("log", "--first-parent", f"-{LAST}", "--format=%H", "HEAD", "--", "docs").split()[::-1]
    except HostError:
        return []
