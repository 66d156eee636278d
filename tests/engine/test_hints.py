"""What webhooks lead to in the engine: durable before it is answered, once each, a look and nothing more."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from noren.core.errors import OutsideError, StateError
from noren.core.model import Triggers, Webhook
from noren.core.record import DeliveryRecord
from noren.engine.hints import KEPT
from tests.engine.test_upgrades import API, kept, started
from tests.fakes import World
from tests.virtual_time import run

TOLD = replace(API, triggers=Triggers(poll=None), webhook=Webhook(secret_env="HOOK"))


def test_a_hint_is_a_look_now_though_polling_is_off() -> None:
    async def main() -> None:
        world = World()
        world.source.push(TOLD, "a" * 40)
        async with started(world, TOLD) as host:
            await asyncio.sleep(150)
            assert world.proxy.release("api") == 1, "what was missed before the start is found at the start"
            world.source.push(TOLD, "b" * 40)
            await asyncio.sleep(3600)
            assert world.proxy.release("api") == 1
            await host.hint("api", "one")
            await asyncio.sleep(150)
            assert world.proxy.release("api") == 2
            assert world.ledger.receipts("api")[-1]["trigger"] == "webhook"

    run(main())


def test_a_look_that_fails_after_a_hint_is_tried_again_until_it_succeeds() -> None:
    async def main() -> None:
        world = World()
        world.source.push(TOLD, "a" * 40)
        async with started(world, TOLD) as host:
            await asyncio.sleep(150)
            world.source.push(TOLD, "b" * 40)
            world.source.trouble.errors["tip"] = [OutsideError("no network")] * 3
            await host.hint("api", "one")
            await asyncio.sleep(600)
            assert world.proxy.release("api") == 2

    run(main())


def test_a_thousand_hints_are_a_look_a_second_and_few_commits_to_the_ledger() -> None:
    async def main() -> None:
        world = World()
        world.source.push(TOLD, "a" * 40)
        async with started(world, TOLD) as host:
            await kept(world, host, "a" * 40)
            looks = commits = 0
            tip, commit = world.source.tip, world.ledger.commit

            async def counted_tip(app):  # type: ignore[no-untyped-def]
                nonlocal looks
                looks += 1
                return await tip(app)

            async def slow_commit(*args, **kwargs):  # type: ignore[no-untyped-def]
                nonlocal commits
                commits += 1
                await asyncio.sleep(0.01)
                await commit(*args, **kwargs)

            world.source.tip, world.ledger.commit = counted_tip, slow_commit  # type: ignore[method-assign]
            await asyncio.gather(*(host.hint("api", f"delivery {number}") for number in range(KEPT + 500)))
            await asyncio.sleep(10)
            assert looks <= 3
            assert commits <= 3, "all that came while one was written are written with the next"
            assert len(world.ledger.only("api", DeliveryRecord)) <= KEPT + 500
            await host.hint("api", "one more")
            assert len(world.ledger.only("api", DeliveryRecord)) == KEPT

    run(main())


def test_a_delivery_that_comes_again_does_nothing_also_after_a_restart() -> None:
    async def main() -> None:
        world = World()
        world.source.push(TOLD, "a" * 40)
        async with started(world, TOLD) as host:
            await kept(world, host, "a" * 40)
            await host.hint("api", "one")
            await asyncio.sleep(5)
        async with started(world, TOLD) as host:
            await asyncio.sleep(60)
            world.source.push(TOLD, "b" * 40)
            await host.hint("api", "one")
            await asyncio.sleep(300)
            assert world.proxy.release("api") == 1
            await host.hint("api", "two")
            await asyncio.sleep(150)
            assert world.proxy.release("api") == 2

    run(main())


def test_a_hint_that_cannot_be_written_down_is_not_acknowledged_to_anybody() -> None:
    async def main() -> None:
        world = World()
        world.source.push(TOLD, "a" * 40)
        async with started(world, TOLD) as host:
            await kept(world, host, "a" * 40)
            world.ledger.trouble.errors["commit"] = [StateError("disk full")] * 5
            outcomes = await asyncio.gather(*(host.hint("api", f"{n}") for n in range(5)), return_exceptions=True)
            assert all(isinstance(outcome, StateError) for outcome in outcomes)
            await host.hint("api", "0")

    run(main())


def test_a_hint_to_an_app_that_does_not_exist_is_refused() -> None:
    async def main() -> None:
        world = World()
        async with started(world, TOLD) as host:
            with pytest.raises(Exception, match="no app nobody"):
                await host.hint("nobody", "one")

    run(main())
