"""Apps that serve without us: what was found serving, what others change, and traffic that no proxy of ours counts."""

from __future__ import annotations

import asyncio

from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import Artifact, Found, Instance, ProbeAnswer, settings_digest
from noren.engine import command
from tests.engine.test_upgrades import API, kept, outcomes, started, until
from tests.fakes import World
from tests.virtual_time import run


def _serving(world: World, *, release: int = 1, rollout: int = 0, settings: str | None = None) -> None:
    instance = Instance(id=f"api-{release}-{rollout}-0", app="api", release=release, ordinal=0, address="cluster:api")
    world.runner.alive[instance.id] = instance
    artifact = Artifact(key="found", path="registry.example/api:latest", digest="", seconds=0.0)
    world.runner.serving["api"] = Found(
        instance=instance, rollout=rollout, revision="old", artifact=artifact, settings=settings
    )


def test_what_is_found_serving_is_a_release_that_a_first_bad_rollout_goes_back_to() -> None:
    async def scenario() -> None:
        world = World()
        _serving(world)
        world.source.push(API, "bad")
        world.probes.bad[2] = ProbeAnswer(ok=False, url="u", problem="answered 500")
        async with started(world) as host:
            book = host.loops["api"].book
            assert (book.record.active.release, book.record.last_good) == (1, 1)
            await asyncio.sleep(150)
            assert outcomes(world) == [(2, "aborted")]
            await kept(world, host, "good")
            assert outcomes(world)[-1] == (3, "kept")
            assert await command.rollback(host.loops["api"], 1, "ann") == 3

    run(scenario())


def test_a_lost_ledger_takes_over_the_release_that_serves_and_does_not_release_it_again() -> None:
    async def scenario() -> None:
        world = World()
        _serving(world, release=7, rollout=9, settings=settings_digest(API))
        world.source.push(API, "old")
        async with started(world) as host:
            await asyncio.sleep(150)
            assert outcomes(world) == []
            await kept(world, host, "new")
            assert [(r["release"], r["rollout"], r["from_release"]) for r in world.ledger.receipts("api")] == [
                (8, 10, 7)
            ]

    run(scenario())


def test_what_serves_is_looked_for_again_when_it_could_not_be_seen_at_the_start() -> None:
    async def scenario() -> None:
        world = World()
        _serving(world)
        world.runner.trouble.errors["found"] = [OutsideError("the API server does not answer")]
        async with started(world) as host:
            assert host.loops["api"].book.record.active is None
            await kept(world, host, "new")
            assert outcomes(world) == [(2, "kept")]

    run(scenario())


def test_nothing_is_released_while_what_serves_cannot_be_seen_for_there_would_be_no_way_back() -> None:
    async def scenario() -> None:
        world = World()
        _serving(world)
        world.runner.trouble.errors["found"] = [OutsideError("the API server does not answer")] * 3
        world.source.push(API, "bad")
        world.probes.bad[2] = ProbeAnswer(ok=False, url="u", problem="answered 500")
        async with started(world) as host:
            await asyncio.sleep(150)
            assert host.loops["api"].book.record.active.release == 1
            assert outcomes(world) == [(2, "aborted")]
            await kept(world, host, "good")

    run(scenario())


def test_what_somebody_else_changes_is_said_and_left_alone() -> None:
    async def scenario() -> None:
        world = World()
        world.source.push(API, "one")
        async with started(world):
            await until(lambda: outcomes(world) == [(1, "kept")])
            (name,) = world.runner.of(1)
            for who in ("by kubectl-edit", "by kubectl-rollout"):
                world.runner.change(name, who)
                await asyncio.sleep(5)
            texts = [line["text"] for line in world.ledger.lines if line["kind"] == "exit"]
            assert texts == [f"{name} was changed by kubectl-edit", f"{name} was changed by kubectl-rollout"]
            assert world.runner.of(1) == [name]

    run(scenario())


def test_a_change_by_somebody_else_while_it_is_judged_sends_the_release_back() -> None:
    async def scenario() -> None:
        world = World()
        world.source.push(API, "one")
        async with started(world) as host:
            await until(lambda: outcomes(world) == [(1, "kept")])
            world.source.push(API, "two")
            await until(lambda: world.proxy.release("api") == 2)
            await asyncio.sleep(1)
            world.runner.change(world.runner.of(2)[0], "by kubectl-rollout: release 1 is back")
            await until(lambda: host.loops["api"].book.rollout is None)
            (receipt,) = world.ledger.receipts("api")[1:]
            assert receipt["outcome"] == "rolled_back"
            assert "was changed by kubectl-rollout: release 1 is back after the switch" in receipt["reason"]

    run(scenario())


def test_a_receipt_without_a_proxy_of_ours_has_null_where_only_a_proxy_can_count() -> None:
    async def scenario() -> None:
        world = World()
        world.proxy.carrying = False
        world.source.push(API, "one")
        async with started(world) as host:
            await kept(world, host, "two")
            receipt = world.ledger.receipts("api")[-1]
            absent = ("requests", "complete", "by_release", "latency_ms", "longest_hold_ms")
            assert [receipt[key] for key in absent] == [None] * 5
            assert (receipt["outcome"], receipt["switch_ms"] is None) == ("kept", False)

    run(scenario())


def test_a_switch_that_names_the_release_s_own_fault_is_quarantined() -> None:
    async def scenario() -> None:
        world = World()
        world.source.push(API, "one")
        async with started(world) as host:
            await until(lambda: outcomes(world) == [(1, "kept")])
            world.proxy.trouble.errors["confirm"] = [ReleaseError("CrashLoopBackOff")]
            await kept(world, host, "two")
            assert outcomes(world)[-1] == (2, "rolled_back")
            assert [q.revision for q in host.loops["api"].book.quarantined] == ["two"]

    run(scenario())
