"""Releases that accept requests and do not answer them."""

from __future__ import annotations

import asyncio

import pytest

from noren.core.errors import TrafficError
from noren.core.model import ProbeAnswer
from noren.core.record import QuarantineRecord
from tests.engine.test_upgrades import API, kept, started, until
from tests.fakes import World
from tests.virtual_time import run


def test_requests_that_hang_send_a_release_back_although_its_health_check_is_good() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            world.proxy.hanging.add(2)
            world.source.push(API, "b" * 40)
            await until(lambda: world.proxy.release("api") == 2)
            await asyncio.sleep(10)
            assert world.proxy.release("api") == 1
        receipt = world.ledger.receipts("api")[1]
        assert receipt["outcome"] == "rolled_back"
        assert "got no answer within 2 s" in receipt["reason"]
        assert receipt["requests"]["failed"] == world.proxy.hung > 0
        assert world.ledger.only("api", QuarantineRecord)

    run(main())


@pytest.mark.parametrize("answers", [True, False])
def test_a_switch_that_is_not_seen_is_the_fault_of_a_release_that_is_silent_when_asked_directly(answers: bool) -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            world.proxy.trouble.errors["confirm"] = [TrafficError("api@2 does not answer")]
            world.proxy.on_confirm = lambda: None if answers else world.probes.bad.update({2: _SILENT})
            world.source.push(API, "b" * 40)
            await asyncio.sleep(300)
            assert world.proxy.release("api") == (3 if answers else 1)
        receipt = world.ledger.receipts("api")[1]
        assert receipt["outcome"] == "rolled_back"
        assert ("stopped answering at the switch" in receipt["reason"]) is not answers
        assert len(world.ledger.only("api", QuarantineRecord)) == (0 if answers else 1)

    run(main())


_SILENT = ProbeAnswer(ok=False, url="http://127.0.0.1:1/", problem="did not answer within 2 s")
