"""Polls are each other's strangers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from noren.core.model import Triggers
from noren.engine import command
from tests.engine.test_upgrades import API, outcomes, started
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
            assert "looking at /repo failed: KeyError" in host.loops["api"].source_problem
            assert not host.loops["other"].source_problem
            world.source.push(API, "a" * 40)
            await asyncio.sleep(900)
            assert not host.loops["api"].source_problem
            assert world.proxy.release("api") == 1
            assert host.loops["api"].book.rollout is None

    run(main())


def test_a_repository_that_is_not_looked_at_any_more_has_no_problem() -> None:
    async def main() -> None:
        async with started(World()) as host:
            await asyncio.sleep(120)
            assert host.loops["api"].source_problem
            await host.change({"api": replace(API, triggers=replace(API.triggers, poll=None))})
            assert not host.loops["api"].source_problem

    run(main())


def test_another_repository_is_looked_at_before_anything_is_released_from_it() -> None:
    moved = replace(API, repo="/moved")

    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await asyncio.sleep(150)
            assert host.plan({"api": moved}, prune=False) == [
                "api: changed to the default branch of /moved, its tip is considered next"
            ]
            await host.change({"api": moved})
            await asyncio.sleep(150)
            assert [r["release"] for r in world.ledger.receipts("api")] == [1], "nothing can be read there"
            assert world.proxy.release("api") == 1
            world.source.push(moved, "b" * 40)
            await asyncio.sleep(900)
            assert [r["revision"][0] for r in world.ledger.receipts("api")] == ["a", "b"]

    run(main())


def test_a_repository_that_changed_while_noren_was_down_is_looked_at_too() -> None:
    moved = replace(API, repo="/moved")

    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        world.source.push(moved, "a" * 40)
        async with started(world):
            await asyncio.sleep(150)
        async with started(world, moved):
            await asyncio.sleep(150)
            triggers = [r["trigger"] for r in world.ledger.receipts("api")]
            assert triggers == ["poll", "poll"], "the same commit, but not taken for granted"

    run(main())


def test_with_poll_off_another_repository_waits_for_a_person() -> None:
    quiet = replace(API, triggers=replace(API.triggers, poll=None))
    moved = replace(quiet, repo="/moved", branch="next")

    async def main() -> None:
        world = World()
        async with started(world, quiet) as host:
            assert host.plan({"api": moved}, prune=False) == [
                "api: changed to next of /moved, poll is off: noren deploy api"
            ]

    run(main())


@pytest.mark.parametrize(
    "triggers",
    [Triggers(poll=3600.0), Triggers(poll=None, schedule="hourly")],
    ids=["poll", "schedule"],
)
def test_what_a_person_deploys_is_not_taken_back_by_a_look_that_began_before(triggers: Triggers) -> None:
    app = replace(API, triggers=triggers)

    async def main() -> None:
        world = World()
        world.source.push(app, "a" * 40)
        async with started(world, app) as host:
            await asyncio.sleep(3500)
            world.source.push(app, "b" * 40)
            world.source.seconds = 600.0
            await asyncio.sleep(600)  # a look has seen that, and fetches it
            world.source.push(app, "c" * 40)
            world.source.seconds = 0.0
            await command.deploy(host.loops["api"], world.source, None, "ada")
            await asyncio.sleep(2000)
            assert [r["revision"][0] for r in world.ledger.receipts("api")] == ["a", "c"]
            assert outcomes(world) == [(1, "kept"), (2, "kept")]
            assert world.proxy.release("api") == 2

    run(main())
