"""Polls are each other's strangers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.engine.test_upgrades import API, started
from tests.fakes import World
from tests.virtual_time import run


def test_an_unforeseen_fault_at_one_repository_is_told_and_the_others_go_on() -> None:
    async def main() -> None:
        world = World()
        other = replace(API, name="other", repo="/other", hosts=("other.example",))
        world.source.push(other, "b" * 40)  # and nothing at /repo: the fake raises KeyError
        async with started(world, API, other) as host:
            await asyncio.sleep(120)
            assert world.proxy.release("other") == 1
            assert any("looking at /repo failed: KeyError" in line["text"] for line in world.ledger.lines)
            world.source.push(API, "a" * 40)
            await asyncio.sleep(900)
            assert world.proxy.release("api") == 1
            assert host.loops["api"].book.rollout is None

    run(main())
