"""A real registry (Debian's docker-registry) on a free port, for tests; with a password when asked."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class DockerRegistry:
    """``host`` as it is written in front of a name."""

    host: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def docker_registry(
    folder: Path, *, htpasswd: str | None = None, token_realm: str | None = None
) -> Iterator[DockerRegistry]:
    """Runs until the block ends; skips the test where the program is missing."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is missing: apt-get install docker-registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if htpasswd:
        (folder / "htpasswd").write_text(htpasswd)
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    (folder / "registry.yaml").write_text(json.dumps(config))
    with subprocess.Popen(
        ["docker-registry", "serve", str(folder / "registry.yaml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _until_it_listens(port)
            yield DockerRegistry(f"127.0.0.1:{port}", process)
        finally:
            process.kill()


def _until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"no registry on port {port}")
