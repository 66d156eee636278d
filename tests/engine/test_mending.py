"""What the simulator found, each as a promise of its own: healing, crashes, holds and the way back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from noren.core.errors import OutsideError, ReleaseError, TrafficError, UsageError
from noren.core.model import Instance, Strategy, Verify
from noren.core.phase import Phase
from noren.core.record import QuarantineRecord
from noren.engine import command
from tests.engine.simulated import MoodyWorld, Nature
from tests.engine.test_upgrades import API, kept, outcomes, started, until
from tests.fakes import World
from tests.virtual_time import run

A, B, C = "a" * 40, "b" * 40, "c" * 40
A1 = f"{1:040x}"  # the first revision of a MoodyWorld


def test_an_instance_healed_while_a_rollout_goes_on_is_retired_with_its_release() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            world.source.push(API, B)
            loop = host.loops["api"]
            await until(lambda: bool(loop.book.rollout and loop.book.rollout.rollout.phase is Phase.BAKING))
            world.runner.kill(world.runner.of(1)[0])
            await asyncio.sleep(10)
            assert world.runner.of(1), "the way back is healed while the candidate bakes"
            await asyncio.sleep(900)
            assert not world.runner.of(1)
            assert set(world.runner.alive) == set(world.runner.of(2))

    run(main())


async def killed_while_healing(world: MoodyWorld) -> None:
    """Noren dies while it starts an instance in the place of one that exited."""
    world.push(API, Nature.GOOD)
    async with started(world) as host:
        await asyncio.sleep(150)
        world.runner.kill(world.runner.of(1)[0])
        await until(lambda: bool(world.runner.alive) and not host.loops["api"].book.record.left)
        assert host.loops["api"].book.record.healing


def test_two_exits_one_after_the_other_leave_no_orphan() -> None:
    async def main() -> None:
        world = MoodyWorld()
        app = replace(API, instances=3)
        world.push(app, Nature.GOOD)
        async with started(world, app) as host:
            await asyncio.sleep(150)
            for _ in range(2):
                world.runner.kill(world.runner.of(1)[0])
                await asyncio.sleep(0.5)
            await asyncio.sleep(60)
            active = host.loops["api"].book.record.active
            assert active and {i.id for i in active.instances} == set(world.runner.alive)
            assert len(world.runner.alive) == 3

    run(main())


def test_a_crash_while_an_instance_is_being_healed_leaves_no_orphan() -> None:
    async def main() -> None:
        world = MoodyWorld()
        await killed_while_healing(world)
        async with started(world) as host:
            await asyncio.sleep(60)
            active = host.loops["api"].book.record.active
            assert active and [i.id for i in active.instances] == list(world.runner.alive)
            assert host.loops["api"].book.record.healing is None

    run(main())


def test_what_a_start_cannot_end_is_ended_though_noren_is_killed_meanwhile() -> None:
    async def main() -> None:
        world = MoodyWorld()
        await killed_while_healing(world)
        world.runner.trouble.errors["stop"] = [OutsideError("stuck in the kernel")] * 2
        async with started(world) as host:
            await asyncio.sleep(1)
            assert host.loops["api"].book.record.left
        async with started(world) as host:
            await asyncio.sleep(60)
            active = host.loops["api"].book.record.active
            assert active and [i.id for i in active.instances] == list(world.runner.alive)
            assert not host.loops["api"].book.record.left

    run(main())


@pytest.mark.parametrize("retired", [False, True])
def test_what_an_instance_left_that_exited_is_ended_though_noren_is_killed_meanwhile(retired: bool) -> None:
    async def main() -> None:
        world = MoodyWorld()
        world.push(API, Nature.GOOD)
        async with started(world) as host:
            await asyncio.sleep(150)
            if retired:
                world.push(API, Nature.GOOD)
                await until(lambda: bool(host.loops["api"].book.retiring))
            (exited,) = world.runner.of(1)
            world.runner.trouble.stall = {"stop"}
            world.runner.kill(exited)
            await asyncio.sleep(1)
            assert world.runner.children == {exited}
        world.runner.trouble.stall = set()
        async with started(world):
            await until(lambda: not world.runner.children)

    run(main())


def test_an_app_can_be_removed_although_an_earlier_instance_of_it_cannot_be_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        world = MoodyWorld()
        await killed_while_healing(world)
        world.runner.trouble.errors["stop"] = [OutsideError("stuck in the kernel")]
        async with started(world) as host:
            await until(lambda: bool(host.loops["api"].book.record.left))
            (stuck,) = host.loops["api"].book.record.left
            ended = world.runner.stop

            async def stop(instance: Instance, grace: float) -> None:
                if instance.id == stuck.id:
                    raise OutsideError("stuck in the kernel")
                await ended(instance, grace)

            monkeypatch.setattr(world.runner, "stop", stop)
            await host.change({})
            assert not host.loops and set(world.runner.alive) <= {stuck.id}
            assert any(f"{stuck.id} is still there" in line["text"] for line in world.ledger.lines)

    run(main())


def test_healing_goes_on_when_what_it_gives_up_cannot_be_ended() -> None:
    async def main() -> None:
        world = MoodyWorld()
        app = replace(API, instances=2)
        world.push(app, Nature.GOOD)
        async with started(world, app) as host:
            await asyncio.sleep(150)
            world.natures[A1] = Nature.NEVER_READY
            gone = world.runner.of(1)[0]
            world.runner.kill(gone)
            await until(lambda: gone in world.runner.stopped and len(world.runner.alive) == 2)
            world.runner.trouble.errors["stop"] = [OutsideError("stuck in the kernel")]
            await until(lambda: not world.runner.trouble.errors["stop"])
            world.natures[A1] = Nature.GOOD
            await asyncio.sleep(300)
            active = host.loops["api"].book.record.active
            assert active and {i.id for i in active.instances} == set(world.runner.alive)
            assert len(world.runner.alive) == 2

    run(main())


def test_a_release_that_cannot_be_started_again_goes_back_to_the_one_before() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A, B)
            await asyncio.sleep(600)
            world.runner.trouble.errors["start"] = [ReleaseError("its directory is gone")] * 2
            world.runner.kill(world.runner.of(2)[0])
            await asyncio.sleep(60)
            assert world.proxy.release("api") == 1
            assert len(world.runner.of(1)) == 1

    run(main())


def test_the_active_release_is_healed_after_a_reboot_though_a_build_goes_on() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            world.builder.seconds = 600
            world.source.push(API, B)
            await until(lambda: host.loops["api"].book.rollout is not None)
        world.runner.kill(world.runner.of(1)[0])
        async with started(world) as host:
            await asyncio.sleep(10)
            assert host.loops["api"].book.rollout
            assert len(world.runner.of(1)) == 1

    run(main())


def test_a_reboot_keeps_no_release_warm_for_longer_than_the_settings_say() -> None:
    world = World()

    async def before() -> None:
        world.source.push(API, A)
        async with started(world) as host:
            await asyncio.sleep(5000)
            await kept(world, host, A, B)
            assert world.runner.of(1)

    async def after() -> None:
        async with started(world):
            await asyncio.sleep(API.keep_warm + 60)
            assert not world.runner.of(1)

    run(before())
    run(after())


def test_a_proxy_that_does_not_answer_for_a_moment_sends_no_release_back() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            world.source.push(API, B)
            loop = host.loops["api"]
            await until(lambda: bool(loop.book.rollout and loop.book.rollout.rollout.phase is Phase.BAKING))
            world.proxy.trouble.errors["observe"] = [TrafficError("starting")] * 8
            await asyncio.sleep(150)
        assert outcomes(world) == [(1, "kept"), (2, "kept")]

    run(main())


def test_a_hold_stops_the_next_try_of_a_trigger_until_it_is_resumed() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            world.source.trouble.errors["keep"] = [OutsideError("disk full")] * 3
            world.source.push(API, B)
            await until(lambda: len(outcomes(world)) == 2)
            await command.hold(host.loops["api"], "freeze", "me")
            await asyncio.sleep(3600)
            assert len(outcomes(world)) == 2
            await command.resume(host.loops["api"], "me")
            await asyncio.sleep(300)
            assert world.proxy.release("api") == 5

    run(main())


def test_the_next_try_of_what_a_person_asked_for_is_not_held() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            loop = host.loops["api"]
            await command.hold(loop, "freeze", "me")
            world.source.trouble.errors["keep"] = [OutsideError("disk full")]
            await command.deploy(loop, world.source, B, "me")
            await asyncio.sleep(150)
            assert world.proxy.release("api") == 3

    run(main())


def test_a_manual_rollback_is_not_undone_by_the_next_try_of_a_commit() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A, B)
            world.source.trouble.errors["keep"] = [OutsideError("disk full")]
            world.source.push(API, C)
            await until(lambda: len(outcomes(world)) == 3)
            await command.rollback(host.loops["api"], None, "me")
            await asyncio.sleep(3600)
            assert world.proxy.release("api") == 1

    run(main())


def test_back_off_goes_on_growing_over_a_restart_of_noren() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        world.source.trouble.errors["keep"] = [OutsideError("disk full")] * 30
        for _ in range(3):
            async with started(world) as host:
                await asyncio.sleep(0.1)
                wanted = host.loops["api"].book.record.wanted
        assert wanted and wanted.attempt == 3

    run(main())


def test_settings_that_go_back_to_those_under_which_a_revision_failed_do_not_try_it_again() -> None:
    async def main() -> None:
        world = World()
        app = replace(API, env=(("V", "1"),))
        world.source.push(API, A)
        world.builder.failing[B] = ReleaseError("exit code 3")
        async with started(world) as host:
            await kept(world, host, A, B)
            await host.change({"api": app})
            await asyncio.sleep(150)
            await host.change({"api": API})
            await asyncio.sleep(150)
            assert len(world.ledger.only("api", QuarantineRecord)) == 2
            assert [r["revision"][0] for r in world.ledger.receipts("api")] == ["a", "b", "b", "a"]

    run(main())


def test_a_revision_that_is_being_aborted_can_be_deployed_again_at_once() -> None:
    async def main() -> None:
        world = MoodyWorld()
        world.push(API, Nature.GOOD)
        async with started(world) as host:
            await asyncio.sleep(150)
            loop = host.loops["api"]
            world.push(API, Nature.GOOD)
            first = await command.deploy(loop, world.source, None, "me")
            await until(lambda: bool(world.runner.of(2)))
            await command.abort(loop, "me")
            assert await command.deploy(loop, world.source, None, "me") == first + 1
            await asyncio.sleep(150)
            assert world.proxy.release("api") == 3

    run(main())


def test_a_reload_while_the_proxy_does_not_answer_goes_on_looking_at_repositories() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            world.proxy.trouble.errors["apply"] = [TrafficError("starting")]
            await host.change({"api": replace(API, hosts=("new.example",))})
            await kept(world, host, B)
            assert world.proxy.routing["api"].hosts == ("new.example",)

    run(main())


def test_rolling_back_and_forth_quickly_leaves_no_orphan() -> None:
    async def main() -> None:
        world = MoodyWorld()
        app = replace(API, instances=3, strategy=Strategy.ROLLING, verify=Verify(bake_time=1.0))
        world.push(app, Nature.GOOD)
        async with started(world, app) as host:
            await asyncio.sleep(60)
            loop = host.loops["api"]
            for _ in range(3):
                await command.restart(loop, "me")
                await until(lambda: bool(loop.book.rollout and loop.book.rollout.rollout.done))
                await command.abort(loop, "me")
                await until(lambda: loop.book.rollout is None and len(loop.book.record.active.instances) == 3)  # type: ignore[union-attr]
            await asyncio.sleep(900)
            active = loop.book.record.active
            assert active and {i.id for i in active.instances} == set(world.runner.alive)

    run(main())


def test_the_hint_of_a_rollback_that_cannot_be_names_the_release() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A, B)
            world.proxy.trouble.stall.add("confirm")
            loop = host.loops["api"]
            await command.deploy(loop, world.source, C, "me")
            await until(lambda: bool(loop.book.rollout and loop.book.rollout.rollout.phase is Phase.SHIFTING))
            with pytest.raises(UsageError) as caught:
                await command.rollback(loop, None, "me")
            assert caught.value.hint.endswith("noren rollback api 1")

    run(main())


def test_a_healed_instance_is_routed_as_soon_as_the_proxy_answers_again() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            world.proxy.trouble.errors["apply"] = [TrafficError("starting")] * 5
            world.runner.kill(world.runner.of(1)[0])
            await asyncio.sleep(10)
            (backend,) = world.proxy.routing["api"].backends
            assert [s.instance for s in backend.servers] == world.runner.of(1)

    run(main())


def test_what_is_quarantined_while_it_waits_for_its_turn_is_not_tried() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, A)
        async with started(world) as host:
            await kept(world, host, A)
            loop = host.loops["api"]
            world.source.push(API, B)
            await until(lambda: bool(loop.book.rollout and loop.book.rollout.rollout.phase is Phase.BAKING))
            await host.change({"api": replace(API, env=(("V", "1"),))})
            await host.change({"api": API})
            assert loop.book.record.wanted
            await command.abort(loop, "me")
            await asyncio.sleep(150)
            assert loop.book.record.wanted is None
        assert outcomes(world) == [(1, "kept"), (2, "rolled_back")]

    run(main())


def test_a_release_that_cannot_be_started_again_is_sent_back_once_and_then_tried_with_back_off() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40, "b" * 40)
            await asyncio.sleep(400)  # the first release is no longer warm
            world.runner.trouble.errors["start"] = [ReleaseError("the directory does not exist")] * 1000
            world.runner.kill(world.runner.of(2)[0])
            await asyncio.sleep(1800)
            assert len(world.ledger.receipts("api")) == 3
            tried = 1000 - len(world.runner.trouble.errors["start"])
            assert tried < 60
            world.runner.trouble.errors.clear()
            await asyncio.sleep(120)
            assert len(world.runner.of(2)) == 1

    run(main())
