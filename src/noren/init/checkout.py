"""The Git checkout that ``noren init`` was pointed at: its top, where it came from, and its files.

Used by ``first``. Git runs hardened as everywhere: hooks and settings of strangers do nothing.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from noren.core.errors import NorenError, UsageError
from noren.init.tree import Tree

_LARGEST = 200_000
_QUICK = 20.0


@dataclass(frozen=True, slots=True)
class Checkout:
    """``top`` is the folder of the whole repository; ``origin`` an https or ssh URL, if there is one."""

    top: Path
    origin: str | None
    tree: Tree


def checkout(folder: Path) -> Checkout:
    """Look at a folder; raises UsageError when it is not in a Git repository or has no files there."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="noren init FOLDER, with the folder of a Git checkout")
    told = _git(folder, "rev-parse", "--show-toplevel")
    if told is None:
        raise UsageError(
            f"{folder} is not in a Git repository",
            hint="noren releases what is committed: git init, git add, git commit there, or name a checkout",
        )
    top = Path(told.strip())
    listed = _git(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard") or ""
    files = frozenset(name for name in listed.split("\0") if name)
    if not files:
        raise UsageError(f"the repository {top} has no files", hint="git add and git commit what shall be served")
    return Checkout(
        top, _usable(_git(top, "remote", "get-url", "origin")), Tree(".", files, lambda name: _text(top / name))
    )


def _usable(url: str | None) -> str | None:
    """Only what Noren may fetch from, without a password in it."""
    bare = re.sub(r"^(https://)[^@/]*@", r"\1", (url or "").strip())
    return bare if re.match(r"https://|ssh://|[\w.-]+@[\w.-]+:[^/:]", bare) else None


def _text(file: Path) -> str:
    try:
        if not file.is_file() or file.is_symlink():
            return ""
        with file.open("rb") as opened:
            return opened.read(_LARGEST).decode(errors="replace")
    except OSError:
        return ""


def _git(folder: Path, *words: str) -> str | None:
    """What git answers, None when it says no."""
    argv = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *words)
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=_QUICK, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise NorenError("git could not be asked", seen=str(exc), hint="noren doctor") from exc
    return done.stdout if done.returncode == 0 else None
