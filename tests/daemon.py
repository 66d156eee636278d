"""A real daemon in a folder of its own, with real Git, HAProxy and Caddy, for tests and benchmarks.

with Daemon(folder, toml) as noren:
    noren.kept("website", revision)
    noren.client.receipt("website")

Leaving it stops everything it started.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from noren.api.client import Client
from noren.core.errors import NorenError, NotRunningError

T = TypeVar("T")


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Daemon:
    """``noren up`` on ``folder``/noren.toml; ``port`` is its public listener, ``{port}`` in ``toml`` is replaced."""

    def __init__(self, folder: Path, toml: str, *, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port or free_port()
        self.settings = folder / "noren.toml"
        self.configure(toml)
        self.state = folder / ".noren"
        self.client = Client(self.state / "noren.sock", by="test")
        self.output = folder / "up.log"
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, toml: str) -> None:
        """Write the settings; a running daemon reads them with ``client.reload``."""
        self.settings.write_text(toml.replace("{port}", str(self.port)))

    def __enter__(self) -> Daemon:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is None or self.process.poll() is not None:
            self.up()
        self.end(signal.SIGINT)

    def up(self, timeout: float = 20.0) -> float:
        """Start the daemon; seconds until it answers."""
        began = time.monotonic()
        self.spawn()
        self.until(self._answers, "the daemon answers", timeout)
        return time.monotonic() - began

    def spawn(self) -> int:
        """Start the daemon and wait for nothing; its pid."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "noren.daemon", str(self.settings)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self.process.pid

    def end(self, number: signal.Signals, timeout: float = 60.0) -> int:
        """Send the daemon a signal and wait for its end: SIGINT stops all, SIGTERM and SIGKILL leave all running."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def kept(self, app: str, revision: str, timeout: float = 60.0) -> dict[str, Any]:
        """Wait until a release of this revision is active and kept; its line of ``releases``."""
        return self.outcome(app, revision, "kept", timeout)

    def outcome(self, app: str, revision: str, outcome: str, timeout: float = 60.0) -> dict[str, Any]:
        """Wait until the newest release of a revision has this outcome; its line of ``releases``."""

        def there() -> dict[str, Any] | None:
            rows = [r for r in self.client.releases(app) if r["revision"] == revision]  # type: ignore[union-attr]
            return rows[0] if rows and rows[0]["outcome"] == outcome else None

        return self.until(there, f"{app} {revision[:12]} is {outcome}", timeout)

    def status(self, app: str) -> dict[str, Any]:
        """One app of ``noren status``."""
        return next(a for a in self.client.status()["apps"] if a["name"] == app)  # type: ignore[index]

    def until(self, ask: Callable[[], T | None], what: str, timeout: float = 60.0, pause: float = 0.05) -> T:
        """Ask until the answer is true; AssertionError with the daemon's output after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.tail()}")
            try:
                answer = ask()
            except NotRunningError:
                answer = None
            if answer:
                return answer
            time.sleep(pause)
        raise AssertionError(f"not within {timeout:g} s: {what}\n{self.tail()}")

    def tail(self, lines: int = 40) -> str:
        """The end of the daemon's output."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])

    def _answers(self) -> bool:
        try:
            self.client.status()
        except NotRunningError:
            return False
        return True


class Repository:
    """A Git repository to push to; ``commit`` writes files and returns the new revision."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self._git("init", "-q", "-b", "main")

    def commit(self, files: dict[str, str | None], message: str = "change") -> str:
        """Write (None: remove) files and commit them."""
        for name, text in files.items():
            file = self.path / name
            if text is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        self._git("add", "-A")
        self._git("commit", "-q", "--allow-empty", "-m", message)
        return self.tip()

    def tip(self) -> str:
        """The newest revision."""
        return self._git("rev-parse", "HEAD")

    def _git(self, *words: str) -> str:
        who = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
        who |= {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
        env = {"PATH": os.environ["PATH"], "HOME": str(self.path), "GIT_CONFIG_NOSYSTEM": "1", **who}
        done = subprocess.run(["git", *words], cwd=self.path, env=env, check=True, capture_output=True, text=True)
        return done.stdout.strip()


@contextmanager
def no_leftovers(folder: Path) -> Iterator[None]:
    """Fail when a process that works for this folder is left behind."""
    yield
    end = time.monotonic() + 5
    while left := _of(folder):
        if time.monotonic() > end:
            raise AssertionError("left behind: " + "; ".join(left))
        time.sleep(0.1)


def _of(folder: Path) -> list[str]:
    mine = str(folder).encode()
    found: list[str] = []
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            words = (proc / "cmdline").read_bytes()
            told = words + (proc / "environ").read_bytes() + bytes((proc / "cwd").readlink())
        except OSError:
            continue
        if mine in told and int(proc.name) != os.getpid():
            command = words.replace(b"\0", b" ").decode(errors="replace")
            found.append(f"{proc.name} {command[:120]}")
    return found


__all__ = ["Daemon", "NorenError", "Repository", "free_port", "no_leftovers"]
