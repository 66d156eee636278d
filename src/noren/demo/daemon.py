"""The demo's daemon: ``noren up`` as a process of its own, as on a real host, stopped with all it runs at the end.

``story`` starts it.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from noren.api.client import Client
from noren.core.errors import HostError, NotRunningError

START = 60.0  # seconds
STOP = 60.0  # seconds


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def daemon(settings: Path) -> Generator[Client]:
    """A running daemon of these settings; raises HostError with what it said when it does not start."""
    output = settings.with_name("noren.log")
    with output.open("wb") as log:
        argv = [sys.executable, "-m", "noren.main", "-c", str(settings), "up"]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    client = Client(settings.with_name(".noren") / "noren.sock", by="the demo")
    try:
        _wait(client, process, output)
        yield client
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP)


def _wait(client: Client, process: subprocess.Popen[bytes], output: Path) -> None:
    end = time.monotonic() + START
    while True:
        try:
            client.status()
            return
        except NotRunningError as exc:
            if process.poll() is not None or time.monotonic() > end:
                raise HostError(
                    "the daemon did not start", seen=output.read_text()[-2000:], hint="noren doctor"
                ) from exc
            with suppress(subprocess.TimeoutExpired):  # its API has no event for "it answers"; its end is one
                process.wait(0.05)
