"""Requests that an instance accepted and does not answer."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

from haproxy_parts import app, backend, fetch, free_port, proxy, routing, server, upstreams

from noren.adapters.haproxy.drain import in_flight
from noren.adapters.haproxy.folder import ADMIN, Folder
from noren.adapters.haproxy.runtime import Runtime
from noren.adapters.haproxy.waiting import seconds
from noren.core.model import Ready
from noren.core.traffic import Counts, Observation, Traffic


def test_ages_are_read_as_haproxy_writes_them() -> None:
    assert [seconds(age) for age in ("0s", "3s", "1m5s", "2h3m", "1d2h")] == [0, 3, 65, 7380, 93600]


def test_what_waits_is_counted_by_twin_also_when_its_client_left_but_no_stream_and_no_probe_of_ours(
    tmp_path: Path,
) -> None:
    async def check() -> Observation:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one") as (one,):
            await haproxy.apply(routing(backend(1, server("i1", 1, one))))
            asked = [asyncio.create_task(fetch(port, "/wait", method=method)) for method in ("GET", "GET", "POST")]
            upgraded = asyncio.create_task(fetch(port, "/upgrade", headers="Upgrade: echo\r\n"))
            await asyncio.sleep(0.1)
            asked[0].cancel()
            probed = asyncio.create_task(haproxy.confirm(replace(app(), ready=Ready(path="/wait")), 1, 1))
            await asyncio.sleep(3.2)
            seen = await haproxy.observe("a")
            one.go.set()
            for task in (*asked[1:], upgraded, probed):
                task.cancel()
            await asyncio.gather(*asked, upgraded, probed, return_exceptions=True)
            return seen

    seen = asyncio.run(check())
    expected = {1: Traffic(reads=Counts(failed=2), writes=Counts(failed=1))}
    assert (seen.waiting, seen.overdue) == (expected, expected)


def test_a_haproxy_that_stands_still_may_have_requests_in_flight_and_one_that_is_gone_has_none(tmp_path: Path) -> None:
    async def run() -> None:
        folder = Folder(tmp_path)
        runtime = Runtime(folder, deadline=0.2)
        assert await in_flight(runtime, {"s000-read/1-a"}) == 0
        with socket.socket(socket.AF_UNIX) as still:
            still.bind(folder.socket(ADMIN))
            still.listen()
            assert await in_flight(runtime, {"s000-read/1-a"}) == 1
        folder.close()

    asyncio.run(run())
