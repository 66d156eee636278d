"""Faults of one part that must stay with it: the daemon lives on, the other apps never notice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from noren.core.errors import OutsideError, TrafficError, UsageError
from noren.core.model import Instance, Release, build_key
from noren.core.phase import Phase
from noren.core.record import Note, Record
from tests.engine.test_upgrades import API, kept, outcomes, started, until
from tests.fakes import FakeLedger, FakeRunner, World
from tests.virtual_time import run

A, B = "a" * 40, "b" * 40
OTHER = replace(API, name="other", repo="/other", hosts=("other.example",))


class SlowLedger(FakeLedger):
    """A commit is durable a moment before its caller learns of it, as with a disk."""

    async def commit(
        self, app: str, put: Sequence[Record], *, drop: Sequence[Record] = (), notes: Sequence[Note] = ()
    ) -> None:
        await super().commit(app, put, drop=drop, notes=notes)
        await asyncio.sleep(0.01)

    async def load(self, app: str) -> Sequence[Record]:
        await asyncio.sleep(0.01)
        return await super().load(app)


class Immortal(FakeRunner):
    """One instance survives SIGKILL for as long as it is in ``stuck``."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck: set[str] = set()

    async def stop(self, instance: Instance, grace: float) -> None:
        if instance.id in self.stuck:
            raise OutsideError("it survives SIGKILL")
        await asyncio.sleep(1.0)
        await super().stop(instance, grace)

    async def adopt(self, instance: Instance) -> Instance | None:
        return None if instance.id in self.stuck else await super().adopt(instance)


class Doomed(FakeRunner):
    """Instances of the releases in ``dying`` exit as soon as they are started."""

    def __init__(self) -> None:
        super().__init__()
        self.dying: set[int] = set()

    async def start(self, release: Release, instance: Instance) -> Instance:
        running = await super().start(release, instance)
        if release.number in self.dying:
            self.kill(instance.id)
        return running


def test_pruning_goes_on_while_a_reload_adds_an_app() -> None:
    async def main() -> None:
        world = World()
        for app in (API, OTHER):
            world.source.push(app, A)
        async with started(world) as host:
            await kept(world, host, A)
            async with host.loops["api"].turn:
                pruning = asyncio.ensure_future(host.prune())
                await asyncio.sleep(1)
                await host.change({"api": API, "other": OTHER})
            await pruning

    run(main())


def test_a_reload_while_a_commit_is_being_recorded_does_not_leave_it_lying() -> None:
    async def main() -> None:
        for moment in range(1, 12):
            world = World()
            world.ledger = SlowLedger()
            world.source.push(API, A)
            async with started(world) as host:
                await asyncio.sleep(moment * 0.004)
                await host.change({"api": API})
                await asyncio.sleep(150)
                assert world.proxy.release("api") == 1, f"moment {moment}: {world.ledger.lines}"

    run(main())


def test_what_an_instance_leaves_behind_when_it_exits_by_itself_is_cleaned_up() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            (first,) = world.runner.of(1)
            world.runner.kill(first)
            await asyncio.sleep(10)
            assert first in world.runner.stopped
            await kept(world, host, B)
            (warm,) = world.runner.of(1)
            world.runner.kill(warm)
            await asyncio.sleep(10)
            assert warm in world.runner.stopped

    run(main())


def test_a_process_that_cannot_be_ended_disturbs_neither_a_rollout_nor_the_next_start() -> None:
    async def main() -> None:
        world = World()
        world.runner = runner = Immortal()
        world.probes = type(world.probes)(runner)
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            runner.stuck |= set(runner.of(1))
            await kept(world, host, B)
            world.builder.seconds = 600
            world.source.push(API, "c" * 40)
            await asyncio.sleep(900)
            assert any("survives SIGKILL" in line["text"] for line in world.ledger.lines)
            assert outcomes(world) == [(1, "kept"), (2, "kept"), (3, "kept")]
        async with started(world) as host:
            assert world.proxy.release("api") == 3
            runner.stuck.clear()
            await asyncio.sleep(900)
            assert not host.loops["api"].book.retiring
            assert set(runner.alive) == set(runner.of(3))

    run(main())


def test_stopping_everything_ends_every_other_instance_too() -> None:
    async def main() -> None:
        world = World()
        world.runner = runner = Immortal()
        world.probes = type(world.probes)(runner)
        for app in (API, OTHER):
            world.source.push(app, A)
        async with started(world, API, OTHER) as host:
            await asyncio.sleep(150)
            (stuck,) = (name for name in runner.alive if name.startswith("api"))
            runner.stuck.add(stuck)
            with pytest.raises(OutsideError, match="survives"):
                await host.stop()
            assert set(runner.alive) == {stuck}

    run(main())


def test_a_machine_that_goes_down_right_after_a_verdict_comes_back_whole() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            world.source.push(API, B)
            loop = host.loops["api"]
            await until(lambda: bool(loop.book.rollout and loop.book.rollout.rollout.phase is Phase.BAKING))
            world.proxy.trouble.stall.add("observe")  # the conclusion waits for it
            await until(lambda: bool(loop.book.rollout and loop.book.rollout.rollout.phase is Phase.KEPT))
        world.proxy.trouble.stall.clear()
        for name in list(world.runner.alive):
            world.runner.kill(name)
        async with started(world) as host:
            await asyncio.sleep(30)
            assert [i.id for i in host.loops["api"].book.record.active.instances] == list(world.runner.alive)  # type: ignore[union-attr]
            assert world.runner.of(2)
            routed = {s.instance for b in world.proxy.routing["api"].backends for s in b.servers}
            assert routed == set(world.runner.alive)

    run(main())


def test_a_release_that_exits_at_once_is_sent_back_for_its_exits_not_by_the_deadline_of_its_probes() -> None:
    async def main() -> None:
        world = World()
        world.runner = runner = Doomed()
        world.probes = type(world.probes)(runner)
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A, B)
            await asyncio.sleep(600)
            runner.dying.add(2)
            runner.kill(runner.of(2)[0])
            began = asyncio.get_running_loop().time()
            await until(lambda: world.proxy.release("api") == 1)
            assert asyncio.get_running_loop().time() - began < 20

    run(main())


def test_a_host_that_moves_from_one_app_to_another_is_routed_all_the_time() -> None:
    async def main() -> None:
        world = World()
        for app in (API, OTHER):
            world.source.push(app, A)
        async with started(world, API, OTHER) as host:
            await asyncio.sleep(150)
            seen: dict[str, tuple[str, ...]] = {r.app: r.hosts for r in world.proxy.history}
            done = len(world.proxy.history)
            both = replace(OTHER, hosts=("other.example", "api.example"))
            await host.change({"api": replace(API, hosts=("new.example",)), "other": both})
            await host.change({"api": replace(API, hosts=("api.example",)), "other": OTHER})
            await host.change({"other": both})
            for routing in world.proxy.history[done:]:
                seen[routing.app] = routing.hosts
                assert any("api.example" in hosts for hosts in seen.values())

    run(main())


def test_an_app_whose_removal_fails_is_still_there_to_be_removed() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            world.proxy.trouble.errors["apply"] = [TrafficError("HAProxy does not answer")]
            with pytest.raises(TrafficError):
                await host.change({})
            assert world.runner.alive and "api" in host.loops
            await host.change({})
            assert not world.runner.alive and not host.loops

    run(main())


def test_two_reloads_at_a_time_make_one_app_of_one() -> None:
    async def main() -> None:
        world = World()
        world.ledger = SlowLedger()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            await host.change({})
            await asyncio.gather(host.change({"api": API}), host.change({"api": API}))
            await asyncio.sleep(60)
            assert len(world.runner.alive) == 1

    run(main())


def test_an_app_that_left_the_settings_while_noren_was_down_serves_on_until_it_is_pruned() -> None:
    async def main() -> None:
        world = World()
        for app in (API, OTHER):
            world.source.push(app, A)
        async with started(world, API, OTHER) as host:
            await asyncio.sleep(150)
        async with started(world, replace(OTHER, hosts=("other.example", "api.example"))) as host:
            await asyncio.sleep(10)
            assert world.runner.of(1) and world.proxy.release("api") == 1
            assert world.proxy.routing["api"].hosts == (), "its host is another app's now"
            with pytest.raises(UsageError, match="would be removed"):
                host.plan({"other": OTHER}, prune=False)
            await host.change({"other": OTHER})
            assert [i.app for i in world.runner.alive.values()] == ["other"]
        async with started(world, OTHER) as host:
            assert list(host.loops) == ["other"]

    run(main())


def test_an_app_that_left_the_settings_while_an_instance_of_it_was_replaced_is_taken_up_and_can_be_pruned() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            world.runner.trouble.stall = {"start"}
            world.runner.kill(world.runner.of(1)[0])
            await until(lambda: host.loops["api"].book.record.healing is not None)
        world.runner.trouble.stall = set()
        async with started(world, OTHER) as host:
            await asyncio.sleep(60)
            assert len(world.runner.of(1)) == 1 and not world.runner.children
            await host.change({"other": OTHER})
            assert not world.runner.alive
        async with started(world, OTHER) as host:
            assert list(host.loops) == ["other"]

    run(main())


def test_the_first_candidate_of_an_app_that_left_the_settings_meanwhile_can_be_pruned() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await until(lambda: bool(world.runner.of(1)))
            assert host.loops["api"].book.record.active is None
        async with started(world, OTHER) as host:
            assert list(host.loops) == ["other", "api"]
            await asyncio.sleep(120)
            assert not world.runner.alive and host.loops["api"].book.record.active is None, "nobody wants it any more"
            await host.change({"other": OTHER})
        async with started(world, OTHER) as host:
            assert list(host.loops) == ["other"]
            await host.change({"other": OTHER, "api": API})
            await asyncio.sleep(150)
            assert host.loops["api"].book.record.active, "it is back, and so is what it waited for"
            await host.change({"other": OTHER})
        async with started(world, OTHER) as host:
            assert list(host.loops) == ["other"]

    run(main())


def test_the_builds_of_an_app_that_was_removed_stay_for_the_case_that_it_comes_back() -> None:
    async def main() -> None:
        world = World()
        for app in (API, OTHER):
            world.source.push(app, A)
        async with started(world, API, OTHER) as host:
            await asyncio.sleep(150)
            await host.change({"other": OTHER})
            await host.prune()
            assert world.builder.kept and build_key(API, A) in world.builder.kept

    run(main())
