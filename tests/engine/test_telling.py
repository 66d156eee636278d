"""People are told of outcomes: once each, of nothing that is well unless they ask, and beside everything else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import Notify, Triggers
from noren.core.record import MessageRecord
from noren.engine import command
from tests.engine.test_upgrades import API, kept, started
from tests.fakes import World
from tests.virtual_time import run

A, B, C = "a" * 40, "b" * 40, "c" * 40


def world_with(*sinks: str) -> World:
    world = World()
    world.notifier.names = list(sinks)
    return world


def told(world: World) -> list[tuple[str, str]]:
    return [(message["id"], message["outcome"]) for _, message in world.notifier.told]


def test_a_failure_is_told_once_by_each_sink_and_success_is_not() -> None:
    async def main() -> None:
        world = world_with("webhook", "command")
        world.builder.failing[B] = ReleaseError("exit code 3")
        async with started(world) as host:
            await kept(world, host, A, B, C)
            assert told(world) == [("api/2", "failed")] * 2
            assert {sink for sink, _ in world.notifier.told} == {"webhook", "command"}
            message = world.notifier.told[0][1]
            assert message["text"].startswith("receipt api rollout 2: ")
            assert message["text"].endswith("; failed: exit code 3")
            assert not world.ledger.only("api", MessageRecord)
        async with started(world):
            await asyncio.sleep(600)
            assert len(told(world)) == 2, "a restart tells nothing again"

    run(main())


def test_all_and_none_are_told_when_asked_for() -> None:
    async def main() -> None:
        for notify, expected in ((Notify.ALL, [("api/1", "kept"), ("api/2", "failed")]), (Notify.NONE, [])):
            world = world_with("webhook")
            world.builder.failing[B] = ReleaseError("exit code 3")
            app = replace(API, notify=notify)
            async with started(world, app) as host:
                await kept(world, host, A, B, app=app)
                assert told(world) == expected

    run(main())


def test_a_rollback_by_itself_is_told_and_one_by_a_person_is_not() -> None:
    async def main() -> None:
        world = world_with("webhook")
        async with started(world) as host:
            await kept(world, host, A, B)
            await command.rollback(host.loops["api"], None, "me")
            await asyncio.sleep(150)
            assert told(world) == []
            world.source.push(API, C)
            await asyncio.sleep(150)
            for _ in range(3):
                world.runner.kill(world.runner.of(3)[0])
                await asyncio.sleep(5)
            await asyncio.sleep(150)
            assert told(world) == [("api/5", "kept")]
            assert world.notifier.told[0][1]["trigger"] == "crash loop of release 3"

    run(main())


def test_a_sink_that_fails_is_tried_again_and_given_up_in_the_end_and_delays_no_rollout() -> None:
    async def main() -> None:
        world = world_with("webhook", "command")
        world.notifier.trouble.errors["webhook"] = [OutsideError("status 503") for _ in range(3)]
        world.notifier.trouble.errors["command"] = [OutsideError("exit code 1") for _ in range(100)]
        world.builder.failing[A] = ReleaseError("exit code 3")
        async with started(world) as host:
            await kept(world, host, A, B)
            assert world.proxy.release("api") == 2
            assert told(world) == [("api/1", "failed")]
            await asyncio.sleep(3600)
            assert told(world) == [("api/1", "failed")]
            given_up = [line["text"] for line in world.ledger.lines if line["kind"] == "notify"]
            assert given_up == ["command could not be told of api/1: exit code 1"]
            assert not world.ledger.only("api", MessageRecord)

    run(main())


def test_a_sink_that_hangs_delays_nothing_and_a_crash_loses_no_message() -> None:
    async def main() -> None:
        world = world_with("webhook")
        world.notifier.trouble.stall.add("webhook")
        world.builder.failing[A] = ReleaseError("exit code 3")
        async with started(world) as host:
            await kept(world, host, A, B)
            assert world.proxy.release("api") == 2
            assert told(world) == []
        world.notifier.trouble.stall.clear()
        async with started(world):
            await asyncio.sleep(60)
            assert told(world) == [("api/1", "failed")]

    run(main())


def test_of_tries_that_fail_by_the_same_outside_fault_the_first_is_told() -> None:
    async def main() -> None:
        world = world_with("webhook")
        world.builder.failing[A] = OutsideError("no network")
        world.source.push(API, A)
        async with started(world):
            await asyncio.sleep(3600)
            assert len(world.ledger.receipts("api")) > 5
            assert told(world) == [("api/1", "failed")]

    run(main())


def test_of_scheduled_builds_that_fail_the_first_is_told_and_the_next_one_after_a_good_one() -> None:
    hourly = replace(API, triggers=Triggers(poll=None, schedule="hourly"))

    async def main() -> None:
        world = world_with("webhook")
        world.source.push(hourly, A)
        async with started(world, hourly):
            await asyncio.sleep(600)
            for problem in (ReleaseError("exit code 3"), None, ReleaseError("exit code 4")):
                world.builder.failing = {A: problem} if problem else {}
                await asyncio.sleep(3 * 3600)
            messages: list[dict[str, Any]] = [message for _, message in world.notifier.told]
            assert [(m["kind"], m["outcome"], m["reason"], m["rollout"], m["from_release"]) for m in messages] == [
                ("rebuild", "failed", "exit code 3", None, 1),
                ("rebuild", "failed", "exit code 4", None, 1),
            ]

    run(main())
