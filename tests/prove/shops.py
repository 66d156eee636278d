"""The example app as a real process of each of its servers, for the tests of this folder."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "ledger"
BIN = Path(sys.executable).parent
COMMANDS = {
    "uvicorn": f"{BIN}/uvicorn app:app --host 127.0.0.1 --port PORT --no-access-log --log-level warning",
    "gunicorn": f"{BIN}/gunicorn --worker-class gthread --threads 8 --no-control-socket --log-level warning"
    " --bind 127.0.0.1:PORT wsgi:app",
    "node": "node server.js",
    "simple": f"{sys.executable} simple.py PORT",
}
SERVERS = [name for name, command in COMMANDS.items() if shutil.which(command.split()[0])]


@dataclass
class Shop:
    """A running example app."""

    port: int
    process: subprocess.Popen[bytes]
    data: Path

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Status and body; raises OSError when there is no answer."""
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers or {})
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionResetError("the answer is incomplete") from error

    def wait_until_it_answers(self) -> None:
        """At most 10 seconds."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self.get("/healthz")
                return
            except OSError:
                assert time.monotonic() < deadline, "the app did not start"
                time.sleep(0.05)


@contextlib.contextmanager
def running(server: str, folder: Path, *, wait: bool = True, **faults: str) -> Iterator[Shop]:
    """Start a server in its own process group on a free port, end all of it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    plain = {"PATH": os.environ["PATH"], "HOME": str(folder), "PORT": str(port), "PYTHONDONTWRITEBYTECODE": "1"}
    noren = {"NOREN_DATA": str(folder), "NOREN_APP": "shop", "NOREN_RELEASE": "1"}
    command = COMMANDS[server].replace("PORT", str(port)).split()
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=EXAMPLE, env=plain | noren | faults, stdout=log, stderr=log, start_new_session=True
        )
    try:
        shop = Shop(port, process, folder)
        if wait:
            shop.wait_until_it_answers()
        yield shop
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=5)
