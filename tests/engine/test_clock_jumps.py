"""The wall clock jumps, by NTP, by daylight saving, by hand: no deadline fires early or late."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from noren.core.phase import Phase
from noren.engine.ports import Clock, Ports
from noren.timetable import rfc3339
from tests.engine.test_upgrades import API, kept, outcomes, started, until
from tests.fakes import World
from tests.virtual_time import run

JUMPS = {
    "an hour on": 3600,
    "an hour back": -3600,
    "ten years on": 10 * 365 * 86400,
    "ten years back": -10 * 365 * 86400,
}


class JumpingWorld(World):
    """``jumped`` is how far the wall clock went astray; the monotonic one goes on."""

    jumped = timedelta()

    def ports(self) -> Ports:
        ports, loop = super().ports(), asyncio.get_running_loop()

        def utc() -> str:
            return rfc3339(self.began + timedelta(seconds=loop.time() - 1000) + self.jumped)

        return replace(ports, clock=Clock(monotonic=loop.time, utc=utc))


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("phase", [Phase.WAITING_READY, Phase.BAKING])
def test_a_rollout_takes_as_long_as_its_settings_say_whatever_the_wall_clock_does(phase: Phase, jump: str) -> None:
    async def main() -> float:
        world = JumpingWorld()
        world.source.push(API, "a" * 40)
        loop = asyncio.get_running_loop()
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            book = host.loops["api"].book
            world.source.push(API, "b" * 40)
            await until(lambda: book.rollout is not None and book.rollout.rollout.phase is phase)
            world.jumped = timedelta(seconds=JUMPS[jump])
            await until(lambda: book.rollout is not None and book.rollout.rollout.phase is Phase.BAKING)
            began = loop.time()
            await until(lambda: book.rollout is None)
            took = loop.time() - began
            await kept(world, host, "c" * 40)
        assert outcomes(world) == [(1, "kept"), (2, "kept"), (3, "kept")]
        return took

    assert run(main()) == pytest.approx(API.verify.bake_time, abs=1.5)


@pytest.mark.parametrize("jump", JUMPS)
def test_an_old_release_is_kept_warm_as_long_as_the_settings_say(jump: str) -> None:
    async def main() -> float:
        world = JumpingWorld()
        world.source.push(API, "a" * 40)
        loop = asyncio.get_running_loop()
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            world.source.push(API, "b" * 40)
            await until(lambda: bool(host.loops["api"].book.retiring))
            began = loop.time()
            world.jumped = timedelta(seconds=JUMPS[jump])
            await until(lambda: not host.loops["api"].book.retiring)
            return loop.time() - began

    assert run(main()) == pytest.approx(API.keep_warm, abs=2.0)
