"""Finds out whether this host has a git that is new enough.

Called by daemon.py before anything is started, and by main.py for ``noren doctor``.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from noren.adapters.remote import plain_environment
from noren.core.errors import HostError

# 2.32 is the first that can be kept from reading anybody's settings (GIT_CONFIG_GLOBAL).
OLDEST = (2, 32)


def check_git(timeout: float = 10.0) -> str:
    """The version of git; raises HostError when there is none or it is older than OLDEST."""
    wanted = ".".join(map(str, OLDEST))
    try:
        done = subprocess.run(
            ("git", "--version"),
            env=plain_environment(Path("/")),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise HostError("git is not installed", seen=str(exc), hint="install git (apt install git)") from exc
    found = re.search(r"(\d+)\.(\d+)[.\d]*", done.stdout)
    if not found or (int(found[1]), int(found[2])) < OLDEST:
        raise HostError("git is too old", seen=done.stdout.strip(), hint=f"install git {wanted} or newer")
    return found[0]
