"""Switching, counting and draining under traffic."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from haproxy_parts import (
    Answer,
    Upstream,
    app,
    backend,
    fetch,
    free_port,
    proxy,
    routing,
    server,
    settled,
    upstreams,
)

from noren.core.traffic import Counts


def test_switching_back_and_forth_under_load_loses_no_request(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one", "two") as (one, two):
            first, second = backend(1, server("i1", 1, one)), backend(2, server("i2", 2, two))
            await haproxy.apply(routing(first))
            answers: list[Answer] = []
            stop = asyncio.Event()

            async def client(method: str) -> None:
                while not stop.is_set():
                    answers.append(await fetch(port, method=method))

            clients = [asyncio.create_task(client(method)) for method in ("GET", "GET", "POST", "POST")]
            for number in range(6):
                old, new = (first, second) if number % 2 == 0 else (second, first)
                await haproxy.apply(routing(new, old))
                await haproxy.confirm(app(), new.release, 2)
                await haproxy.drain("a", [old.servers[0].instance], requests=5, connections=5)
                await haproxy.apply(routing(new))
            stop.set()
            await asyncio.gather(*clients)

            assert {answer.status for answer in answers} == {200} and len(answers) > 100
            assert {answer.body for answer in answers} == {"one", "two"}
            seen = await settled(haproxy, len(answers))
            for number, name in ((1, "one"), (2, "two")):
                assert seen.releases[number].both.ok == sum(answer.body == name for answer in answers)
            assert sum(traffic.both.failed for traffic in seen.releases.values()) == 0

    asyncio.run(check())


def test_each_failure_is_counted_once_and_clients_that_leave_are_not_failures(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one") as (one,):
            await haproxy.apply(routing(backend(1, server("i1", 1, one))))
            for path in ("/", "/e500", "/cut", "/reset", "/vanish", "/"):
                for method in ("GET", "POST"):
                    try:
                        await fetch(port, path, method=method)
                    except (asyncio.IncompleteReadError, OSError):
                        assert path in ("/cut", "/reset")
            await haproxy.confirm(app(), 1, 5)
            await leave(port, "/wait")
            one.go.set()

            seen = (await settled(haproxy, 13)).releases[1]
            assert (seen.reads.failed, seen.writes.failed) == (4, 4)
            assert seen.writes.ok == 2 and 2 <= seen.reads.ok <= 3
            assert seen.reads.retried > 0 and seen.writes.retried == 0

    asyncio.run(check())


async def leave(port: int, path: str) -> None:
    """Ask and go away before the answer."""
    try:
        async with asyncio.timeout(0.1):
            await fetch(port, path)
    except TimeoutError:
        return


def test_a_killed_server_is_replaced_by_its_warm_predecessor_whose_answers_count_for_it(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one", "two") as (one, two):
            new = backend(2, server("i2", 2, two), server("i1", 1, one, backup=True))
            await haproxy.apply(routing(new, backend(1, server("i1", 1, one))))
            assert (await fetch(port)).body == "two"
            two.kill()
            for method in ("GET", "POST"):
                begun = time.monotonic()
                answers = [await fetch(port, method=method) for _ in range(20)]
                assert {(answer.status, answer.headers["x-noren-release"]) for answer in answers} == {(200, "a@1")}
                assert time.monotonic() - begun < 2
            seen = await settled(haproxy, 41)
            assert (seen.releases[1].both.ok, seen.releases[2].both) == (
                40,
                Counts(1, 0, seen.releases[2].both.retried),
            )

            await two.start()
            await haproxy.apply(routing(backend(2, server("i2", 2, two))))
            assert (await fetch(port)).body == "two"
            seen = await settled(haproxy, 42)
            assert (seen.releases[1].both.ok, seen.releases[2].both.ok) == (40, 2)

    asyncio.run(check())


def test_an_app_that_refused_connections_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    """Alone, and alone after another release stood by: one connection error is not the end of it."""

    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one", "two") as (one, two):

            async def refuses_once(upstream: Upstream) -> None:
                upstream.kill()
                assert {(await fetch(port, method=method)).status for method in ("GET", "POST")} == {503}
                await upstream.start()
                answers = [await fetch(port, method=method) for method in ("GET", "POST")]
                assert {(answer.status, answer.body) for answer in answers} == {(200, upstream.name)}

            first = backend(1, server("i1", 1, one))
            await haproxy.apply(routing(first))
            await refuses_once(one)
            beside = backend(2, server("i2", 2, two), server("i1", 1, one, backup=True))
            await haproxy.apply(routing(beside, first))
            await haproxy.apply(routing(backend(2, server("i2", 2, two))))
            await refuses_once(two)

    asyncio.run(check())


def test_drain_waits_for_requests_and_upgraded_connections(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one", "two") as (one, two):
            old, new = (
                backend(1, server("i1", 1, one)),
                backend(2, server("i2", 2, two), server("i1", 1, one, backup=True)),
            )
            await haproxy.apply(routing(old))
            request = asyncio.create_task(fetch(port, "/wait", method="POST"))
            reader, writer = await upgraded(port)
            await haproxy.apply(routing(new, old))
            drained = asyncio.create_task(haproxy.drain("a", ["i1"], requests=10, connections=10))
            await asyncio.sleep(0.3)
            writer.write(b"ping")
            assert await reader.readexactly(4) == b"ping" and not drained.done()
            one.go.set()
            assert (await request).body == "one"
            await asyncio.sleep(0.2)
            assert not drained.done()
            writer.close()
            assert await asyncio.wait_for(drained, 3) == 0

    asyncio.run(check())


async def upgraded(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /upgrade HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def test_idle_clients_do_not_hold_a_drain_and_get_the_new_release_on_their_connection(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one", "two") as (one, two):
            old, new = backend(1, server("i1", 1, one)), backend(2, server("i2", 2, two))
            await haproxy.apply(routing(old))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)

            async def ask(method: str) -> str:
                writer.write(f"{method} / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n".encode())
                await reader.readuntil(b"\r\n\r\n")
                return (await reader.readexactly(3)).decode()

            assert [await ask("GET"), await ask("POST")] == ["one", "one"]
            await haproxy.apply(routing(new, old))
            begun = time.monotonic()
            assert await haproxy.drain("a", ["i1"], requests=5, connections=5) == 0
            await haproxy.apply(routing(new))
            assert time.monotonic() - begun < 0.5
            assert [await ask("POST"), await ask("GET")] == ["two", "two"]
            writer.close()

    asyncio.run(check())


def test_drain_waits_for_what_an_instance_answers_as_a_backup_that_is_no_longer_named(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("warm", "died", "healed") as (warm, died, healed):
            old = backend(1, server("i1", 1, warm))
            await haproxy.apply(routing(backend(2, server("i2", 2, died), server("i1", 1, warm, backup=True)), old))
            died.kill()
            long = asyncio.create_task(fetch(port, "/wait"))
            while not any("/wait" in head for head in warm.seen):  # noqa: ASYNC110 - the app tells by what it saw
                await asyncio.sleep(0.01)
            await haproxy.apply(routing(backend(2, server("i3", 2, healed)), old))

            draining = asyncio.create_task(haproxy.drain("a", ["i1"], requests=10, connections=10))
            await asyncio.sleep(1.5)
            assert not draining.done(), "its process would be stopped in the middle of an answer"
            warm.go.set()
            assert (await long).body == "warm"
            assert await draining == 0

    asyncio.run(check())


def test_drain_cuts_what_is_left_at_its_limit_and_counts_it(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one", "two") as (one, two):
            old, new = backend(1, server("i1", 1, one)), backend(2, server("i2", 2, two))
            await haproxy.apply(routing(old))
            connections = [await upgraded(port) for _ in range(3)]
            await haproxy.apply(routing(new, old))
            assert await haproxy.drain("a", ["i1"], requests=0.1, connections=0.2) == 3
            for reader, writer in connections:
                assert await asyncio.wait_for(reader.read(), 1) == b""
                writer.close()
            assert await haproxy.drain("a", ["i1"], requests=0.1, connections=0.1) == 0
            await haproxy.apply(routing(new))
            assert (await fetch(port)).body == "two"

    asyncio.run(check())


def test_samples_tell_release_status_and_whether_the_answer_was_whole(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one") as (one,):
            await haproxy.apply(routing(backend(3, server("i1", 3, one))))
            await haproxy.confirm(app(), 3, 2)
            since = time.monotonic()
            await fetch(port, "/hello?secret=1")
            await fetch(port, "/e500", method="POST")
            await asyncio.gather(fetch(port, "/cut"), return_exceptions=True)
            await settled(haproxy, 3)
            samples = haproxy.samples("a", since)
            assert [(s.release, s.method, s.path, s.status, s.complete) for s in samples] == [
                (3, "GET", "/hello", 200, True),
                (3, "POST", "/e500", 500, True),
                (3, "GET", "/cut", 200, False),
            ]
            assert haproxy.samples("a", time.monotonic()) == []

    asyncio.run(check())
