"""Another binary takes over from a running HAProxy: no connection ends, and those of the old one are not forgotten."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from haproxy_parts import another, backend, fetch, free_port, kill, routing, server, upstreams
from test_haproxy_lives import inode

from noren.adapters.haproxy import HAProxy, end_left, find_binary
from noren.adapters.haproxy.proxy import HAProxy as Proxy
from noren.adapters.identity import Identity

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def upgraded(binary: Path) -> Path:
    """The file is another one: what an upgrade of the package does. Its libraries are found beside it."""
    binary.parent.mkdir(exist_ok=True)
    if not (binary.parent / "lib").exists():
        (binary.parent / "lib").symlink_to(find_binary().parent / "lib")
    fresh = binary.with_suffix(".new")
    shutil.copy2(find_binary(), fresh)
    return fresh.replace(binary)


@asynccontextmanager
async def daemon(state: Path, port: int, binary: Path, *, end: bool = False) -> AsyncIterator[Proxy]:
    """One life of the daemon."""
    async with HAProxy(state, [f"127.0.0.1:{port}"], binary) as proxy:
        yield proxy
        if end:
            await proxy.shutdown()


async def asked(streams: Streams, path: str = "/", more: str = "") -> str:
    """One request on a connection that stays; what comes back first."""
    reader, writer = streams
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a.example\r\n{more}\r\n".encode())
    return (await reader.readuntil(b"\r\n\r\n")).decode()


async def websocket(port: int) -> Streams:
    """An upgraded connection that echoes."""
    streams = await asyncio.open_connection("127.0.0.1", port)
    assert " 101 " in await asked(streams, "/upgrade", "Connection: upgrade\r\nUpgrade: echo\r\n")
    return streams


async def echoes(streams: Streams) -> bool:
    """Whether it still lives."""
    streams[1].write(b"x")
    return await streams[0].read(1) == b"x"


def test_another_binary_takes_over_and_no_connection_ends(tmp_path: Path) -> None:
    async def check() -> None:
        port, binary = free_port(), upgraded(tmp_path / "bin/haproxy")
        async with upstreams("one", "two") as (one, two):
            async with daemon(tmp_path, port, binary) as haproxy:
                await haproxy.apply(routing(backend(1, server("i1", 1, one))))
                old, listener = haproxy.pid, inode(port)
                idle, talking = await asyncio.open_connection("127.0.0.1", port), await websocket(port)
                assert "a@1" in await asked(idle)
                await idle[0].readexactly(3)
            upgraded(binary)
            async with daemon(tmp_path, port, binary, end=True) as haproxy:
                assert haproxy.pid != old and inode(port) == listener
                assert (await fetch(port)).headers["x-noren-release"] == "a@1"
                await haproxy.apply(routing(backend(2, server("i2", 2, two)), backend(1, server("i1", 1, one))))
                assert "a@2" in await asked(idle), "a client of the old process gets the release of now"
                assert await echoes(talking)
                draining = asyncio.create_task(haproxy.drain("a", ["i1"], requests=5, connections=30))
                await asyncio.sleep(0.5)
                assert not draining.done(), "a connection of the old process is waited for as well"
                for _, writer in (idle, talking):
                    writer.close()
                assert await asyncio.wait_for(draining, 5) == 0
                identity = Identity.of(old)
                if identity is not None:
                    await asyncio.wait_for(identity.ended(), 5)

    asyncio.run(check())


def test_the_same_binary_is_left_alone(tmp_path: Path) -> None:
    async def check() -> None:
        port, binary = free_port(), upgraded(tmp_path / "bin/haproxy")
        async with daemon(tmp_path, port, binary) as haproxy:
            pid = haproxy.pid
        async with daemon(tmp_path, port, binary, end=True) as haproxy:
            assert haproxy.pid == pid

    asyncio.run(check())


@pytest.mark.parametrize("content", [b"", b"\x7fELF cut off", b"#!/bin/sh\nexit 3\n"])
def test_a_binary_that_does_not_start_replaces_nothing_and_a_killed_haproxy_comes_back_without_it(
    content: bytes, tmp_path: Path
) -> None:
    async def check() -> None:
        port, binary = free_port(), upgraded(tmp_path / "bin/haproxy")
        async with upstreams("one") as (one,):
            async with daemon(tmp_path, port, binary) as haproxy:
                await haproxy.apply(routing(backend(1, server("i1", 1, one))))
                pid, listener = haproxy.pid, inode(port)
            broken = binary.with_suffix(".new")
            broken.write_bytes(content)
            broken.chmod(0o755)
            broken.replace(binary)
            async with daemon(tmp_path, port, binary, end=True) as haproxy:
                assert haproxy.pid == pid
                await kill(pid)
                assert (await fetch(port)).body == "one"
                await another(haproxy, pid)
                assert inode(port) == listener
                binary.unlink()
                await kill(haproxy.pid)
                assert (await fetch(port)).body == "one"

    asyncio.run(check())


def test_what_was_replaced_is_ended_with_the_rest_by_whichever_daemon(tmp_path: Path) -> None:
    async def check() -> None:
        port, binary = free_port(), upgraded(tmp_path / "bin/haproxy")
        async with upstreams("one") as (one,):
            async with daemon(tmp_path, port, binary) as haproxy:
                await haproxy.apply(routing(backend(1, server("i1", 1, one))))
                old = Identity.of(haproxy.pid)
                talking = await websocket(port)
            upgraded(binary)
            async with daemon(tmp_path, port, binary):
                pass
            async with daemon(tmp_path, port, binary):
                assert await echoes(talking)
            talking[1].close()
            assert await end_left(tmp_path)
            assert old is not None and not old.alive() and not inode(port)

    asyncio.run(check())
