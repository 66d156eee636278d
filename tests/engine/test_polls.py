"""Polls are each other's strangers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from noren.core.errors import OutsideError
from noren.core.model import App, Triggers, Webhook
from noren.engine import command
from noren.engine.desk import Desk
from noren.engine.host import Host
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


HOOKED = replace(API, triggers=Triggers(poll=None), webhook=Webhook(secret_env="SECRET"))
HOURLY = replace(API, triggers=Triggers(poll=None, schedule="hourly"))


def released(world: World) -> str:
    return "".join(receipt["revision"][0] for receipt in world.ledger.receipts("api"))


async def overtaken(world: World, host: Host, app: App, revision: str | None) -> None:
    """A is kept; a look has seen B and fetches it for ten minutes; meanwhile C is pushed, and a person deploys it."""
    world.source.push(app, "a" * 40)
    await host.hint("api", None)
    await asyncio.sleep(3500)
    assert released(world) == "a"
    world.source.push(app, "b" * 40)
    world.source.seconds = 600.0
    await host.hint("api", None)
    await asyncio.sleep(300)
    world.source.seconds = 0.0
    world.source.push(app, "c" * 40)
    await command.deploy(host.loops["api"], world.source, revision, "ada")


@pytest.mark.parametrize("app", [HOOKED, HOURLY], ids=["webhook", "schedule"])
@pytest.mark.parametrize("revision", [None, "c" * 40], ids=["tip", "revision"])
def test_what_a_person_deploys_is_not_taken_back_by_a_look_that_began_before(app: App, revision: str | None) -> None:
    async def main() -> None:
        world = World()
        async with started(world, app) as host:
            await overtaken(world, host, app, revision)
            await asyncio.sleep(1200)
            assert released(world).rstrip("c") == "a" and world.proxy.release("api") == len(released(world))
            assert "b" not in released(world)

    run(main())


@pytest.mark.parametrize("app", [HOOKED, HOURLY], ids=["webhook", "schedule"])
def test_what_was_pushed_while_a_look_was_overtaken_is_found_by_another_look(app: App) -> None:
    async def main() -> None:
        world = World()
        async with started(world, app) as host:
            await overtaken(world, host, app, None)
            world.source.push(app, "d" * 40)  # and nobody says so
            await asyncio.sleep(1200)
            assert released(world) == "acd"

    run(main())


def test_a_deploy_that_was_overtaken_by_a_trigger_looks_again() -> None:
    async def main() -> None:
        world = World()
        async with started(world, HOOKED) as host:
            world.source.push(HOOKED, "a" * 40)
            await host.hint("api", None)
            await asyncio.sleep(150)
            world.source.push(HOOKED, "b" * 40)
            world.source.seconds = 60.0
            deploying = asyncio.create_task(command.deploy(host.loops["api"], world.source, None, "ada"))
            await asyncio.sleep(10)
            world.source.push(HOOKED, "c" * 40)
            world.source.seconds = 0.0
            await host.hint("api", None)
            await deploying
            await asyncio.sleep(150)
            assert released(world).endswith("c") and "b" not in released(world)

    run(main())


def test_one_of_several_apps_that_could_not_be_fetched_is_tried_again_without_a_poll() -> None:
    other = replace(HOOKED, name="other", hosts=("other.example",))

    async def main() -> None:
        world = World()
        async with started(world, HOOKED, other) as host:
            world.source.push(HOOKED, "a" * 40)
            world.source.trouble.errors["commit"] = [OutsideError("no network")]
            await host.hint("api", None)
            await asyncio.sleep(300)
            assert world.proxy.release("api") == world.proxy.release("other") == 1

    run(main())


def test_what_a_hold_kept_back_is_looked_at_again_when_it_ends() -> None:
    async def main() -> None:
        world = World()
        async with started(world, HOOKED) as host:
            desk = Desk(host, urls=lambda _: [], environment=None, reload=None, stop=None, variable=None)
            await desk.hold("api", "freeze", "ada")
            world.source.push(HOOKED, "a" * 40)
            await host.hint("api", None)
            await asyncio.sleep(300)
            assert not released(world)
            await desk.resume("api", "ada")
            await asyncio.sleep(300)
            assert released(world) == "a"

    run(main())
