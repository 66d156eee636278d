"""Requests are issued at their intended times whatever the server does, and a run always ends."""

from __future__ import annotations

import asyncio
import gc
import time
from datetime import UTC, datetime, timedelta

import pytest
from faulty import OK, Client, good, outcomes, run_for, serving

from noren.core.errors import NorenError
from noren.prove.keepalive import KeepAlive, NewConnection
from noren.prove.ledger import Ledger
from noren.prove.load import Load, Stage
from noren.prove.outcome import Outcome
from noren.prove.request import gets
from noren.prove.run import Run
from noren.prove.summary import Percentiles, Summary
from noren.prove.uploads import Uploads


@pytest.mark.parametrize("kind", [KeepAlive, NewConnection])
def test_the_rate_is_reached_within_two_percent(kind: type[KeepAlive]) -> None:
    async def scenario() -> Ledger:
        async with serving(good) as target:
            return await run_for(1.0, kind(name="load", target=target, rate=300))

    load = Summary.of(asyncio.run(scenario())).loads[0]
    assert load.outcomes == {"ok": load.requests}
    assert load.requests in range(294, 307)
    assert load.rate == pytest.approx(300, rel=0.02)


def test_latency_counts_from_the_intended_start_while_the_server_stalls() -> None:
    """A stall of 200 ms at 200/s must be seen by 40 requests, not by the one that was in flight."""
    stall = asyncio.Lock()

    async def stalls_once(client: Client, number: int, head: str) -> None:
        if number == 60:
            async with stall:
                await asyncio.sleep(0.2)
        async with stall:
            client.send(OK)

    async def scenario() -> Ledger:
        async with serving(stalls_once) as target:
            return await run_for(1.0, KeepAlive(name="load", target=target, rate=200, connections=2))

    ledger = asyncio.run(scenario())
    slow = [record for record in ledger.records if record.latency > 0.02]
    assert set(outcomes(ledger)) == {Outcome.OK}
    assert len(slow) in range(32, 48)
    assert max(record.latency for record in ledger.records) == pytest.approx(0.2, abs=0.05)
    assert Summary.of(ledger).loads[0].late.p99 < 50


def test_a_generator_that_is_too_slow_says_so() -> None:
    async def blocks(client: Client, number: int, head: str) -> None:
        if number == 20:
            time.sleep(0.1)  # noqa: ASYNC251 - stops the generator too, which lives in the same loop
        client.send(OK)

    async def scenario() -> Ledger:
        async with serving(blocks) as target:
            return await run_for(0.4, KeepAlive(name="load", target=target, rate=100))

    load = Summary.of(asyncio.run(scenario())).loads[0]
    assert load.late.max > 80
    assert load.requests in range(39, 42)


def test_a_window_of_wall_clock_time_names_the_requests_under_way_in_it() -> None:
    window: list[datetime] = []

    async def fails_for_a_while(client: Client, number: int, head: str) -> None:
        if number == 20:
            window.append(datetime.now(UTC) - timedelta(milliseconds=5))
        if number == 30:
            window.append(datetime.now(UTC) + timedelta(milliseconds=5))
        client.send(OK.replace(b"200", b"500") if 20 <= number <= 30 else OK)

    async def scenario() -> Ledger:
        async with serving(fails_for_a_while) as target:
            return await run_for(0.5, KeepAlive(name="load", target=target, rate=100))

    ledger = asyncio.run(scenario())
    before, after = (window[0] - timedelta(seconds=9), window[0]), (window[1], window[1] + timedelta(seconds=9))
    assert len(ledger.lost(*window)) == len(ledger.lost()) == 11
    assert ledger.lost(*before) == ledger.lost(*after) == []
    assert Percentiles.of(record.latency for record in ledger.between(*window)).samples >= 11


def test_the_same_seed_asks_the_same_in_another_run_with_other_ids() -> None:
    async def paths() -> tuple[list[str], list[str]]:
        seen: list[str] = []

        async def notes(client: Client, number: int, head: str) -> None:
            seen.append(head.split()[1])
            client.send(OK)

        async with serving(notes) as target:
            load = KeepAlive(name="load", target=target, rate=100, requests=gets("/a", "/b", "/c"))
            ledger = await run_for(0.2, load)
        return seen[:15], [record.id for record in ledger.records]

    (one, ids), (two, others) = asyncio.run(paths()), asyncio.run(paths())
    assert one == two
    assert not set(ids) & set(others)


def test_a_load_that_breaks_ends_the_run_and_is_heard() -> None:
    class Broken(Load):
        async def run(self, stage: Stage) -> None:
            raise KeyError("bug")

    async def scenario() -> None:
        async with serving(good) as target, Run(seed=1, duration=30) as run:
            run.start(Broken(name="broken", target=target))
            await run.wait()

    begin = time.monotonic()
    with pytest.raises(KeyError, match="bug"):
        asyncio.run(scenario())
    assert time.monotonic() - begin < 5


def test_leaving_a_run_without_stop_drops_what_is_in_flight() -> None:
    async def hangs(client: Client, number: int, head: str) -> None:
        await asyncio.sleep(30)

    async def scenario() -> None:
        async with serving(hangs) as target, Run(seed=1, duration=30) as run:
            run.start(KeepAlive(name="load", target=target, rate=100))
            run.start(Uploads(name="upload", target=target, size=10_000_000, speed=1_000_000))
            await asyncio.sleep(0.2)
            raise LookupError("the rollout failed")

    begin = time.monotonic()
    with pytest.raises(LookupError):
        asyncio.run(scenario())
    gc.collect()
    assert time.monotonic() - begin < 5


def test_two_loads_of_one_name_are_refused() -> None:
    async def scenario() -> None:
        async with serving(good) as target, Run(seed=1, duration=5) as run:
            run.start(KeepAlive(name="same", target=target, rate=10))
            with pytest.raises(NorenError, match="same"):
                run.start(KeepAlive(name="same", target=target, rate=10))

    asyncio.run(scenario())
