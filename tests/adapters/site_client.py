"""A real Caddy, sites made of given files, and a client that sends requests exactly as they are written."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noren.adapters.caddy import Caddy
from noren.adapters.static import Sites
from noren.address import reachable
from noren.core.model import App, Artifact, Instance, Kind, Release, Static

BINARY = Path(sys.executable).with_name("caddy")
DEADLINE = 10.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def etag(self) -> str:
        return self.headers["etag"]


@asynccontextmanager
async def running(state: Path) -> AsyncGenerator[Caddy]:
    async with Caddy(state, BINARY) as caddy:
        try:
            yield caddy
        finally:
            await caddy.shutdown()


@asynccontextmanager
async def site(folder: Path, files: dict[str, str], **static: Any) -> AsyncGenerator[Caddy]:
    """Release 42 of app web, made of ``files``, served by a Caddy of its own."""
    async with running(folder / "state") as caddy:
        await Sites(caddy).start(release(artifact(folder / "build", files), **static), instance())
        yield caddy


def artifact(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder


def release(path: Path, number: int = 42, app: str = "web", **static: Any) -> Release:
    settings = App(name=app, kind=Kind.STATIC, repo="r", static=Static(**static))
    made = Artifact(key="k", path=str(path), digest="d", seconds=0.0)
    return Release(app=settings, number=number, revision="a" * 40, artifact=made)


def instance(name: str = "i1", number: int = 42, app: str = "web") -> Instance:
    return Instance(id=name, app=app, release=number, ordinal=0)


def ask(
    caddy: Caddy,
    path: str | bytes,
    host: str = "web-42.id.noren",
    method: str = "GET",
    **headers: str,
) -> Answer:
    """One request on a connection of its own; header names are written with underscores."""
    with connected(caddy) as connection:
        connection.sendall(request(path, host, method, **headers))
        return answer(connection)


def connected(caddy: Caddy) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(DEADLINE)
    with reachable(Path(caddy.address.removeprefix("unix@"))) as address:
        connection.connect(address)
    return connection


def request(path: str | bytes, host: str = "web-42.id.noren", method: str = "GET", **headers: str) -> bytes:
    target = path if isinstance(path, bytes) else path.encode()
    lines = [f"Host: {host}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return method.encode() + b" " + target + b" HTTP/1.1\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n"


def answer(connection: socket.socket) -> Answer:
    received = b""
    while part := connection.recv(65536):
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)
