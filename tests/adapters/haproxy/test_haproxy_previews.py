"""Previews of pull requests: kept from search engines, and by a login from strangers."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

from haproxy_parts import app, backend, fetch, free_port, proxy, routing, server, upstreams

from noren.core.forge import Preview

OPEN = Preview(of="a", number=12, fork=False)


def login(text: str) -> str:
    return f"Authorization: Basic {b64encode(text.encode()).decode()}\r\n"


def test_a_preview_is_kept_from_search_engines_and_the_app_itself_is_not(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("x") as (x,):
            plain = routing(backend(1, server("x", 1, x)))
            await haproxy.apply(plain)
            assert "x-robots-tag" not in (await fetch(port)).headers
            await haproxy.apply(replace(plain, preview=OPEN))
            answer = await fetch(port)
            assert (answer.status, answer.headers["x-robots-tag"]) == (200, "noindex, nofollow")
            await haproxy.apply(plain)
            assert "x-robots-tag" not in (await fetch(port)).headers

    asyncio.run(check())


def test_a_login_keeps_strangers_out_and_never_reaches_the_app(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"team:a: long password").hexdigest().upper()

    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("x") as (x,):
            locked = replace(routing(backend(1, server("x", 1, x))), preview=replace(OPEN, login=digest))
            await haproxy.apply(locked)
            await haproxy.confirm(app(), 1, 3)  # our own look goes through
            asked = len(x.seen)
            for wrong in (
                "",
                login("team:wrong"),
                login(":"),
                login("team"),
                "Authorization: Bearer x\r\n",
                login(digest),
            ):
                answer = await fetch(port, headers=wrong)
                assert (answer.status, "basic" in answer.headers["www-authenticate"].lower()) == (401, True), wrong
            assert len(x.seen) == asked
            assert (await fetch(port, headers=login("team:a: long password"))).status == 200
            assert "authorization" not in x.seen[-1].lower()

    asyncio.run(check())


def test_a_login_whose_variable_is_missing_lets_nobody_in(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("x") as (x,):
            await haproxy.apply(replace(routing(backend(1, server("x", 1, x))), preview=replace(OPEN, login="")))
            for said in ("", login(":"), login("-"), login("team:x")):
                assert (await fetch(port, headers=said)).status == 401

    asyncio.run(check())


def test_what_is_a_preview_is_known_after_a_restart_of_everything(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"a:b").hexdigest().upper()

    async def check() -> None:
        port = free_port()
        async with upstreams("x") as (x,):
            async with proxy(tmp_path, port) as haproxy:
                locked = replace(routing(backend(1, server("x", 1, x))), preview=replace(OPEN, login=digest))
                await haproxy.apply(locked)
            async with proxy(tmp_path, port):
                assert (await fetch(port)).status == 401
                assert (await fetch(port, headers=login("a:b"))).headers["x-robots-tag"] == "noindex, nofollow"

    asyncio.run(check())
