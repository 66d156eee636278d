"""Real parts for the tests of the proxy: a HAProxy on a free port, little applications, and a client."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from noren.adapters.haproxy import HAProxy, find_binary
from noren.adapters.identity import Identity
from noren.core.model import App, Backend, Kind, Routing, Server
from noren.core.traffic import Observation


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def proxy(state: Path, port: int, *, end: bool = True) -> AsyncIterator[HAProxy]:
    """A proxy that ends with the block unless told otherwise."""
    async with HAProxy(state, [f"[::]:{port}"], find_binary()) as started:
        try:
            yield started
        finally:
            if end:
                await started.shutdown()


@dataclass
class Upstream:
    """An application: what it does is named by the last segment of the path; ``seen`` are request heads."""

    name: str
    port: int = 0
    seen: list[str] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> Upstream:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def kill(self) -> None:
        """As kill -9 does it: the listener closes, connections are reset."""
        assert self.server is not None
        self.server.close()
        for writer in list(self.writers):
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        with suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            while await self._answer(reader, writer):
                await writer.drain()
        self.writers.discard(writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.seen.append(head)
        what = head.split()[1].partition("?")[0].rpartition("/")[2]
        match what:
            case "e500":
                writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
            case "cut" | "reset":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
                await writer.drain()
                await asyncio.sleep(0.02)
                if what == "reset":
                    _reset(writer)
                return False
            case "vanish":
                return False
            case "wait":
                await self.go.wait()
                writer.write(self._body())
            case "upgrade":
                writer.write(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
                while data := await reader.read(100):
                    writer.write(data)
                return False
            case _:
                writer.write(self._body())
        return True

    def _body(self) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(self.name), self.name.encode())


def _reset(writer: asyncio.StreamWriter) -> None:
    peer: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def upstreams(*names: str) -> AsyncIterator[list[Upstream]]:
    started = [await Upstream(name).start() for name in names]
    try:
        yield started
    finally:
        for upstream in started:
            upstream.kill()
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str


async def fetch(
    port: int,
    path: str = "/",
    *,
    host: str = "a.example",
    method: str = "GET",
    headers: str = "",
    at: str = "127.0.0.1",
) -> Answer:
    """One request on a connection of its own; raises when it is not answered whole."""
    reader, writer = await asyncio.open_connection(at, port)
    try:
        length = "" if method == "GET" else "Content-Length: 0\r\n"
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{length}{headers}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = (
            await reader.readexactly(int(found["content-length"]))
            if "content-length" in found and " 304 " not in first
            else b""
        )
        return Answer(int(first.split()[1]), found, body.decode())
    finally:
        writer.close()


async def settled(haproxy: HAProxy, requests: int) -> Observation:
    """What is observed once so many are: HAProxy counts and logs an answer a moment after its client has it."""
    end = time.monotonic() + 2
    while True:
        seen = await haproxy.observe("a")
        if sum(traffic.both.total for traffic in seen.releases.values()) >= requests or time.monotonic() > end:
            await asyncio.sleep(0.02)
            return seen
        await asyncio.sleep(0.01)


def app(name: str = "a", *hosts: str) -> App:
    return App(name=name, kind=Kind.PROCESS, repo="", hosts=hosts or (f"{name}.example",))


def server(instance: str, release: int, upstream: Upstream, *, backup: bool = False) -> Server:
    return Server(instance=instance, release=release, address=upstream.address, backup=backup)


def backend(release: int, *servers: Server, name: str = "a") -> Backend:
    return Backend(app=name, release=release, rollout=release, servers=servers)


def routing(active: Backend | None, *others: Backend, hosts: tuple[str, ...] = ("a.example",)) -> Routing:
    """All backends of the app, the first is the active one."""
    backends = (*([active] if active else []), *others)
    return Routing(app="a", hosts=hosts, backends=backends, active=active.name if active else None)


async def kill(pid: int) -> None:
    """kill -9, and wait until it is dead: what was in flight is lost, what comes next is the promise."""
    identity = Identity.of(pid)
    assert identity is not None
    identity.send(signal.SIGKILL)
    await identity.ended()


async def another(haproxy: HAProxy, pid: int) -> None:
    """Wait until another process than this one is known to serve: it answers a moment before."""
    for _ in range(500):
        if haproxy.pid != pid:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"the daemon knows no successor of {pid} after five seconds")
