"""What clients get: hosts, prefixes, errors, headers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from haproxy_parts import app, backend, fetch, free_port, proxy, routing, server, upstreams

from noren.adapters.haproxy.folder import Folder
from noren.adapters.haproxy.plan import plan
from noren.adapters.haproxy.runtime import Runtime
from noren.adapters.haproxy.table import Table
from noren.core.errors import TrafficError
from noren.core.model import Routing


def test_the_longest_whole_prefix_wins_and_is_stripped(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("root", "api", "deep") as (root, api, deep):
            for name, upstream, hosts in (
                ("root", root, ("A.example", "other.example")),
                ("api", api, ("a.example/api",)),
                ("deep", deep, ("a.example/api/v2/x",)),
            ):
                one = backend(1, server(name, 1, upstream), name=name)
                await haproxy.apply(Routing(app=name, hosts=hosts, backends=(one,), active=one.name))

            async def served(path: str, host: str = "a.example") -> tuple[str, str]:
                answer = await fetch(port, path, host=host)
                upstream = {"root": root, "api": api, "deep": deep}[answer.body]
                return answer.body, upstream.seen[-1].split()[1]

            assert await served("/") == ("root", "/")
            assert await served("/x?q=/api/", host="A.Example:81") == ("root", "/x?q=/api/")
            assert await served("/api", host="other.example") == ("root", "/api")
            assert await served("/api") == ("api", "/")
            assert await served("/api?x=1") == ("api", "/?x=1")
            assert await served("/api/") == ("api", "/")
            assert await served("/api/users//7?q=a/b") == ("api", "/users//7?q=a/b")
            assert await served("/apis") == ("root", "/apis")
            assert await served("/API/x") == ("root", "/API/x")
            assert await served("/api/v2") == ("api", "/v2")
            assert await served("/api/v2/x/y") == ("deep", "/y")
            assert (await fetch(port, host="a.example", at="::1")).body == "root"

    asyncio.run(check())


def test_unknown_hosts_get_404_and_apps_without_release_503(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy:
            answer = await fetch(port, host="nobody.example")
            assert answer.status == 404 and "nobody.example" in answer.body
            await haproxy.apply(Routing(app="a", hosts=("a.example",)))
            answer = await fetch(port)
            assert (answer.status, answer.headers["retry-after"]) == (503, "5") and "a has no release" in answer.body
            await haproxy.apply(Routing(app="a", hosts=()))
            assert (await fetch(port)).status == 404

    asyncio.run(check())


def test_what_clients_claim_about_releases_and_origins_is_replaced(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one") as (one,):
            await haproxy.apply(routing(backend(1, server("i1", 1, one)), hosts=("a.example/p",)))
            spoofed = (
                "X-Noren-Release: a@9\r\nX-Noren-Token: guess\r\nx-noren-anything: 1\r\nForwarded: for=6.6.6.6\r\n"
                "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n"
                "X-Forwarded-Prefix: /e\r\n"
            )
            await fetch(port, "/p/x", headers=spoofed)
            seen = one.seen[-1].lower()
            assert "x-noren" not in seen and "6.6.6.6" not in seen and "evil" not in seen
            for line in ("for: 127.0.0.1", "proto: http", "host: a.example", "prefix: /p"):
                assert f"x-forwarded-{line}\r\n" in seen

    asyncio.run(check())


def test_answers_name_their_release_unless_switched_off_and_probes_always_get_it(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one") as (one,):
            shown = routing(backend(7, server("i1", 7, one)))
            await haproxy.apply(shown)
            assert (await fetch(port)).headers["x-noren-release"] == "a@7"
            assert (await fetch(port, "/vanish", method="POST")).headers["x-noren-release"] == "a@7"
            await haproxy.apply(replace(shown, release_header=False))
            assert "x-noren-release" not in (await fetch(port)).headers
            await haproxy.confirm(app(), 7, 3)

    asyncio.run(check())


def test_confirm_says_what_answers_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noren.adapters.haproxy.proxy._CONFIRM_DEADLINE", 0.3)

    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one") as (one,):
            await haproxy.apply(routing(backend(1, server("i1", 1, one))))
            with pytest.raises(TrafficError, match="a@2 does not answer") as caught:
                await haproxy.confirm(app(), 2, 3)
            assert "a@1 answered with status 200" in caught.value.seen

    asyncio.run(check())


def test_a_candidate_gets_its_share(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one", "two") as (one, two):
            first, second = backend(1, server("i1", 1, one)), backend(2, server("i2", 2, two))
            both = routing(first, second)
            await haproxy.apply(replace(both, candidate=second.name, weight=0.3))
            answers = [(await fetch(port)).body for _ in range(200)]
            assert 30 <= answers.count("two") <= 90
            await haproxy.apply(replace(both, candidate=second.name, weight=1.0))
            assert {(await fetch(port)).body for _ in range(20)} == {"two"}

    asyncio.run(check())


def test_applied_twice_nothing_is_left_to_do_and_what_was_damaged_is_mended(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one", "two") as (one, two):
            first = backend(1, server("i1", 1, one))
            second = backend(2, server("i2", 2, two), server("i1", 1, one, backup=True))
            files = replace(first, release=3, rollout=3, site="a-3", cache_control=((r"a\b c/**", "a; b"), ("x*", "y")))
            wanted = replace(routing(second, first, files), candidate=first.name, weight=0.5)
            await haproxy.apply(wanted)
            runtime = Runtime(Folder(tmp_path / "haproxy"))
            view = Table().put(wanted).view()
            assert not plan(view, await runtime.view())

            await runtime.do(["del map routes.map a.example/", "set map active.map a s999", "add map names.map s5 x@1"])
            await runtime.do(["set server s000-read/2-i2 state maint", "del server s000-read/2-i2"])
            await runtime.do(["set server s001-write/1-i1 state maint", "add server s200-read/9-x 127.0.0.1:1"])
            assert plan(view, await runtime.view())
            await haproxy.apply(wanted)
            assert not plan(view, await runtime.view())

    asyncio.run(check())


def test_a_refused_change_leaves_what_was_routed(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one") as (one,):
            good = backend(1, server("i1", 1, one))
            await haproxy.apply(routing(good))
            bad = replace(
                good, release=2, rollout=2, servers=(replace(server("i2", 2, one), address="no such:address:1"),)
            )
            with pytest.raises(TrafficError, match="refused"):
                await haproxy.apply(routing(bad, good))
            assert (await fetch(port)).headers["x-noren-release"] == "a@1"
            await haproxy.apply(routing(good))
            assert (await fetch(port)).body == "one"

    asyncio.run(check())
