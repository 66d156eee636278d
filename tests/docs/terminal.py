"""A terminal in which the commands of a page are typed as they stand; used by test_walks.

Only what cannot be here is replaced: the port 8080, and hosts and revisions that are examples.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.daemon import free_port

_ADA = {"NAME": "Ada", "EMAIL": "ada@example.org"}
ADA = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _ADA.items()}


class Terminal:
    """Commands in ``folder``; ``said`` is all they wrote. ``swaps``: text of a page → what stands for it here."""

    def __init__(self, folder: Path, swaps: Mapping[str, str] | None = None, **env: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.swaps = {"8080": str(self.port), **(swaps or {})}
        self.said = ""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        keep = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
        self._env = {**keep, "PATH": path, "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **ADA, **env}
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGINT)
            self._daemon.wait(60)

    def write(self, name: str, text: str) -> None:
        """A file of a page."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.here(text))

    def block(self, text: str) -> None:
        """Type a block: what stays in the foreground is left running or ended with Ctrl-C, the rest must succeed."""
        lines: list[str] = []
        for line in text.splitlines():
            if line == "noren up" or line.endswith(" -f"):
                self._together(lines)
                lines = []
                self._up() if line == "noren up" else self._followed(line)
            else:
                lines.append(line)
        self._together(lines)

    def run(self, line: str) -> str:
        """Type this; what it said."""
        line = self.here(line)
        done = subprocess.run(
            ["bash", "-ec", line], cwd=self.folder, env=self._env, capture_output=True, text=True, timeout=150
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        self.said += f"$ {line}\n{done.stdout}"
        return done.stdout

    def until(self, line: str, words: str, timeout: float = 40) -> str:
        """Type this until it says so."""
        end = time.monotonic() + timeout
        while not re.search(words, said := self.run(line)):
            assert time.monotonic() < end, f"{line} never said {words}:\n{said}\n{self._log()}"
            time.sleep(0.2)
        return said

    def here(self, text: str) -> str:
        """As it must be here."""
        for page, ours in self.swaps.items():
            text = text.replace(page, ours)
        return text

    def _together(self, lines: list[str]) -> None:
        if lines:
            self.run("\n".join(lines))

    def _up(self) -> None:
        if self._daemon is not None:
            self._daemon.wait(60)  # ended by `noren down`
        with (self.folder / "up.log").open("ab") as log:
            self._daemon = subprocess.Popen(
                ["noren", "up"], cwd=self.folder, env=self._env, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + 30
        while not self._all_run():
            assert self._daemon.poll() is None and time.monotonic() < end, self._log()
            time.sleep(0.1)

    def _all_run(self) -> bool:
        """Whether the daemon answers, and what ran before it was stopped runs again."""
        asked = ["noren", "status"]
        told = subprocess.run(asked, cwd=self.folder, env=self._env, capture_output=True, text=True, timeout=30)
        return told.returncode == 0 and "instances run" not in told.stdout

    def _followed(self, line: str) -> None:
        """``-f``: it says something, and Ctrl-C ends it."""
        follower = subprocess.Popen(
            ["bash", "-c", f"exec {self.here(line)}"], cwd=self.folder, env=self._env, stdout=subprocess.PIPE
        )
        time.sleep(1.5)
        assert follower.poll() is None, line
        follower.send_signal(signal.SIGINT)
        said, _ = follower.communicate(timeout=20)
        self.said += f"$ {line}\n{said.decode()}"

    def _log(self) -> str:
        log = self.folder / "up.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""
