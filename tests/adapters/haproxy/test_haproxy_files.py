"""Static releases: which file server host is asked, what is cached, what clients are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from haproxy_parts import Answer, fetch, free_port, proxy, server, settled, upstreams

from noren.core.model import App, Backend, Kind, Routing, Server


@asynccontextmanager
async def file_server(path: Path) -> AsyncIterator[list[str]]:
    """Answers as Noren's file server does, and lists the heads of requests that reach it."""
    seen: list[str] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                seen.append(head)
                host = head.partition("\r\nhost: ")[2].partition("\r\n")[0]
                target = head.split()[1]
                if target == "/about":
                    writer.write(b"HTTP/1.1 308 Moved\r\nLocation: /about/\r\nContent-Length: 0\r\n\r\n")
                elif target == "/missing":
                    writer.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nCache-Control: no-cache\r\n\r\n")
                else:
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=31536000\r\nVary: Accept-Encoding\r\n"
                        b'ETag: "%d"\r\nLast-Modified: Mon, 23 Nov 2026 00:00:00 GMT\r\n'
                        b"Content-Length: %d\r\n\r\n%s" % (len(host), len(host), host.encode())
                    )
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(accept, path)
    try:
        yield seen
    finally:
        server.close()


async def until(holds: Callable[[], bool]) -> None:
    """Within two seconds: HAProxy leaves idle connections open for five and more."""
    for _ in range(200):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("two seconds were not enough")


def site(release: int, socket: Path) -> Backend:
    return Backend(
        app="a",
        release=release,
        rollout=release,
        servers=(Server(instance=f"i{release}", release=release, address=f"unix@{socket}"),),
        site=f"a-{release}",
        cache_control=(("assets/*", "public, max-age=31536000, immutable"), ("*.txt", "max-age=60")),
    )


def of(release: int, socket: Path, *hosts: str) -> Routing:
    one = site(release, socket)
    return Routing(app="a", hosts=hosts or ("a.example",), backends=(one,), active=one.name)


def test_files_are_cached_by_release_and_counted(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        socket = tmp_path / "files.sock"
        async with proxy(tmp_path, port) as haproxy, file_server(socket) as seen:
            await haproxy.apply(of(1, socket))
            answers = [await fetch(port, "/x.css") for _ in range(5)]
            assert len(seen) == 1 and {answer.body for answer in answers} == {"a-1.id.noren"}
            assert {answer.headers["x-noren-release"] for answer in answers} == {"a@1"}
            assert not any({"age", "last-modified"} & answer.headers.keys() for answer in answers)
            await haproxy.apply(of(2, socket))
            await haproxy.confirm(App(name="a", kind=Kind.STATIC, repo="", hosts=("a.example",)), 2, 3)
            assert (await fetch(port, "/x.css")).body == "a-2.id.noren"
            assert sum(each.both.ok for each in (await settled(haproxy, 6)).releases.values()) == 6

    asyncio.run(check())


def test_no_connection_to_the_file_server_waits_for_another_request(tmp_path: Path) -> None:
    """Each would be a try in vain once the file server has died, and 20 are more than a read has."""

    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("files") as (files,):
            served = replace(site(1, tmp_path), servers=(server("i1", 1, files),))
            await haproxy.apply(Routing(app="a", hosts=("a.example",), backends=(served,), active=served.name))
            pages = [asyncio.ensure_future(fetch(port, f"/wait?{number}")) for number in range(20)]
            await until(lambda: len(files.writers) == 20)
            files.go.set()
            assert {page.status for page in await asyncio.gather(*pages)} == {200}
            await until(lambda: not files.writers)

    asyncio.run(check())


def test_each_encoding_is_a_host_of_its_own(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        socket = tmp_path / "files.sock"
        async with proxy(tmp_path, port) as haproxy, file_server(socket) as seen:
            await haproxy.apply(of(1, socket))
            for accepted, encoding in (
                ("gzip, deflate, br", "gz"),
                ("gzip, deflate, br, zstd", "zst"),
                ("br;q=1.0, gzip;q=0.8", "gz"),
                ("identity", "id"),
                ("gzip;q=0", "id"),
            ):
                answer = await fetch(port, headers=f"Accept-Encoding: {accepted}\r\n")
                assert answer.body == f"a-1.{encoding}.noren"
            assert len(seen) == 3

    asyncio.run(check())


def test_clients_are_told_to_ask_again_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        socket = tmp_path / "files.sock"
        async with proxy(tmp_path, port) as haproxy, file_server(socket):
            await haproxy.apply(of(1, socket))

            async def told(path: str) -> str:
                first, again = await fetch(port, path), await fetch(port, path)
                assert first.headers["cache-control"] == again.headers["cache-control"]
                return again.headers["cache-control"]

            assert await told("/") == "no-cache"
            assert await told("/assets/app.js") == "public, max-age=31536000, immutable"
            assert await told("/assets/deep/app.js") == "no-cache"
            assert await told("/robots.txt") == "max-age=60"
            assert await told("/missing") == "no-cache"

    asyncio.run(check())


def test_conditions_are_by_content_and_ranges_pass_by_the_cache(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        socket = tmp_path / "files.sock"
        async with proxy(tmp_path, port) as haproxy, file_server(socket) as seen:
            await haproxy.apply(of(1, socket))
            tag = (await fetch(port, "/x")).headers["etag"]
            answer = await fetch(port, "/x", headers=f"If-None-Match: {tag}\r\n")
            assert answer.status == 304 and "transfer-encoding" not in answer.headers
            answer = await fetch(port, "/x", headers="If-Modified-Since: Tue, 24 Nov 2026 00:00:00 GMT\r\n")
            assert answer.status == 200 and len(seen) == 1
            await fetch(port, "/x", headers="Range: bytes=0-1\r\n")
            assert len(seen) == 2 and "range: bytes=0-1" in seen[-1]

    asyncio.run(check())


def test_redirects_of_files_stay_below_the_prefix(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        socket = tmp_path / "files.sock"
        async with proxy(tmp_path, port) as haproxy, file_server(socket):
            await haproxy.apply(of(1, socket, "a.example/docs"))
            answer: Answer = await fetch(port, "/docs/about")
            assert (answer.status, answer.headers["location"]) == (308, "/docs/about/")
            await haproxy.apply(replace(of(1, socket), hosts=("a.example",)))
            assert (await fetch(port, "/about")).headers["location"] == "/about/"

    asyncio.run(check())
