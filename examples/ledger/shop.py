"""What the three Python servers of this example have in common: the answers, the ledger of orders, the faults.

One behaviour, four servers (`server.js` repeats it for Node), so that whatever a proof finds is the server's doing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

APP = os.environ.get("NOREN_APP", "ledger")
RELEASE = os.environ.get("NOREN_RELEASE", "0")
BLOCK = hashlib.shake_128(b"noren").digest(65_536)

PROCESSES = [os.getpid()]  # what a crash takes along

Answer = tuple[int, dict[str, str], bytes]


def fault(name: str) -> str:
    """A fault is switched on by the environment, or by the release itself: a line NAME=VALUE in the file `faults`."""
    file = Path(__file__).with_name("faults")
    lines = file.read_text().splitlines() if file.exists() else []
    return os.environ.get(name) or dict(line.split("=", 1) for line in lines if "=" in line).get(name, "")


FAIL_RATE = float(fault("FAIL_RATE") or 0)
HANG = float(fault("HANG") or 0)
NEVER_READY = bool(fault("NEVER_READY"))
HOSTS = [host for host in fault("HOST_CHECK").split(",") if host]
EXIT_AFTER = fault("EXIT_AFTER")


def begin() -> None:
    """Faults at the start of the process, before it listens."""
    time.sleep(float(fault("SLOW_START") or 0))
    if seconds := fault("FORK_CHILD"):
        code = f"import time; time.sleep({float(seconds)})"
        subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    if seconds := fault("EXIT_AFTER_START"):
        exit_in(float(seconds))


def exit_in(seconds: float) -> None:
    """Die without a goodbye, as a crash does."""
    timer = threading.Timer(seconds, crash)
    timer.daemon = True
    timer.start()


def crash() -> None:
    """End all processes of the app, the own one last."""
    for pid in reversed(PROCESSES):
        os.kill(pid, signal.SIGKILL)


@functools.cache
def first_request() -> None:
    """EXIT_AFTER counts from the first request that is no probe."""
    if EXIT_AFTER:
        exit_in(float(EXIT_AFTER))


def trouble(path: str, host: str) -> Answer | None:
    """The answer that a fault gives instead of the right one. Sleep HANG seconds before; the servers do that."""
    if HOSTS and host.partition(":")[0] not in HOSTS:
        return text(400, f"bad host {host}")
    if path == "/healthz":
        return text(503, "not ready") if NEVER_READY else text(200, "ok")
    first_request()
    return text(500, "FAIL_RATE") if random.random() < FAIL_RATE else None


def answer(method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Answer:
    """Answer a short request. Header names are lower case."""
    path = urlsplit(target).path
    if wrong := trouble(path, headers.get("host", "")):
        return wrong
    if path == "/orders" and method == "POST":
        return order(body)
    if path in ("/", "/hello") and method in ("GET", "HEAD"):
        return page(path, headers.get("if-none-match"))
    return text(404, f"no {method} {path}")


def page(path: str, held: str | None) -> Answer:
    """JSON that names the release, with an ETag from its content."""
    content = json.dumps({"app": APP, "release": RELEASE, "path": path}).encode()
    etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    if held == etag:
        return 304, {"etag": etag}, b""
    return 200, {"etag": etag, "content-type": "application/json"}, content


def order(body: bytes) -> Answer:
    """Execute an order: one line in the ledger of all releases, by one write."""
    id = json.loads(body)["id"]
    file = os.open(Path(os.environ.get("NOREN_DATA", ".")) / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, f"{id} {RELEASE}\n".encode())
    finally:
        os.close(file)
    content = json.dumps({"app": APP, "release": RELEASE, "id": id}).encode()
    return 201, {"content-type": "application/json"}, content


def uploaded(sha256: str) -> Answer:
    """What the receiver of an upload got."""
    return 200, {"content-type": "application/json"}, json.dumps({"release": RELEASE, "sha256": sha256}).encode()


def text(status: int, words: str) -> Answer:
    """A plain answer."""
    return status, {"content-type": "text/plain"}, words.encode()


def query(target: str, name: str, default: float) -> float:
    """A number from the query."""
    return float(parse_qs(urlsplit(target).query).get(name, [default])[0])


def event(number: int) -> bytes:
    """One server-sent event."""
    return f"id: {number}\ndata: {APP}@{RELEASE}\n\n".encode()


def blocks(size: int) -> Iterator[bytes]:
    """The bytes of a download, the same for every server and release."""
    for start in range(0, size, len(BLOCK)):
        yield BLOCK[: size - start]


@functools.lru_cache(8)
def sha256(size: int) -> str:
    """Of a download of this size."""
    digest = hashlib.sha256()
    for block in blocks(size):
        digest.update(block)
    return digest.hexdigest()
