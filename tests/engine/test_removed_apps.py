"""Apps that leave the settings."""

from __future__ import annotations

import pytest

from noren.core.errors import UsageError
from tests.engine.test_upgrades import API, kept, started
from tests.fakes import World
from tests.virtual_time import run


def test_a_removed_app_gets_no_new_requests_then_drains_then_stops() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            (instance,) = world.runner.of(1)
            with pytest.raises(UsageError, match="would be removed"):
                host.plan({}, prune=False)
            await host.change({})
            assert world.proxy.drained == world.runner.stopped == [instance]
            unrouted, gone = world.proxy.history[-2:]
            assert (unrouted.hosts, len(unrouted.backends)) == ((), 1)
            assert gone.backends == ()

    run(main())


def test_an_app_that_comes_back_goes_on_where_it_was() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            await host.change({})
            await host.change({"api": API})
            assert host.loops["api"].book.record.active is not None
        async with started(world) as host:
            await kept(world, host, "b" * 40)
            assert world.proxy.release("api") == 2
            assert len(world.runner.of(2)) == 1

    run(main())
