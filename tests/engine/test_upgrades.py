"""The engine over fakes in virtual time: what becomes of commits, good and bad."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from noren.core.errors import OutsideError, ReleaseError, TrafficError, UsageError
from noren.core.model import App, Kind, ProbeAnswer, Strategy
from noren.core.record import QuarantineRecord
from noren.engine import command
from noren.engine.host import Host
from tests.fakes import World
from tests.virtual_time import run

API = App(name="api", kind=Kind.PROCESS, repo="/repo", run="serve", hosts=("api.example",))


@asynccontextmanager
async def started(world: World, *apps: App) -> AsyncIterator[Host]:
    """A host as after ``noren up``; leaving it is a crash: every task is cancelled where it stands."""
    try:
        async with asyncio.TaskGroup() as group:
            host = Host(world.ports(), group)
            await host.start(apps or (API,))
            yield host
            group.create_task(_crash())
    except* _CrashError:
        pass


class _CrashError(Exception):
    pass


async def _crash() -> None:
    raise _CrashError


async def until(true: Callable[[], bool]) -> None:
    """Let virtual time pass until something is so, for an hour at most."""
    async with asyncio.timeout(3600):
        while not true():  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.05)


async def kept(world: World, host: Host, *revisions: str, app: App = API) -> None:
    for revision in revisions:
        world.source.push(app, revision)
        await asyncio.sleep(150)
        assert host.loops[app.name].book.rollout is None


def outcomes(world: World) -> list[tuple[int, str]]:
    return [(r["release"], r["outcome"]) for r in world.ledger.receipts("api")]


def test_a_commit_is_built_started_shifted_baked_and_kept() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40, "b" * 40)
        receipt = world.ledger.receipts("api")[1]
        assert [p["phase"] for p in receipt["phases"]] == [
            "queued",
            "building",
            "starting",
            "waiting_ready",
            "shifting",
            "baking",
        ]
        assert (receipt["release"], receipt["from_release"], receipt["outcome"]) == (2, 1, "kept")
        assert receipt["requests"]["failed"] == 0
        assert receipt["complete"]
        assert sum(receipt["by_release"].values()) == receipt["requests"]["total"] > 0
        assert world.proxy.release("api") == 2

    run(main())


def test_the_old_release_stays_warm_and_is_then_drained_and_stopped() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40, "b" * 40)
            assert world.runner.of(1)
            await asyncio.sleep(400)
            assert not world.runner.of(1)
            assert world.proxy.drained == world.runner.stopped
            assert [b.release for b in world.proxy.routing["api"].backends] == [2]

    run(main())


def test_a_build_that_fails_changes_nothing_and_is_quarantined() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        world.builder.failing["b" * 40] = ReleaseError("build failed", seen="exit code 3")
        async with started(world) as host:
            await kept(world, host, "a" * 40, "b" * 40, "c" * 40)
        assert outcomes(world) == [(1, "kept"), (2, "failed"), (3, "kept")]
        (barred,) = world.ledger.only("api", QuarantineRecord)
        assert barred.quarantined.revision == "b" * 40
        assert "exit code 3" in barred.quarantined.reason

    run(main())


def test_an_outside_fault_is_tried_again_and_not_quarantined() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        world.source.trouble.errors["keep"] = [OutsideError("disk full"), OutsideError("disk full")]
        async with started(world) as host:
            await kept(world, host, "a" * 40)
        assert outcomes(world) == [(1, "failed"), (2, "failed"), (3, "kept")]
        assert not world.ledger.only("api", QuarantineRecord)

    run(main())


def test_a_release_that_never_becomes_ready_is_aborted_with_its_last_answer() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        world.probes.bad[2] = ProbeAnswer(
            ok=False, url="http://x/", status=404, problem="answered 404", hint="set ready"
        )
        async with started(world) as host:
            await kept(world, host, "a" * 40, "b" * 40)
            assert not world.runner.of(2)
        receipt = world.ledger.receipts("api")[1]
        assert receipt["outcome"] == "aborted"
        assert "answered 404" in receipt["reason"] and "set ready" in receipt["reason"]
        assert "Traceback: boom" in receipt["reason"]
        assert world.proxy.release("api") == 1

    run(main())


def test_bad_answers_after_the_switch_send_it_back_by_itself() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        world.proxy.failing[2] = 0.3
        async with started(world) as host:
            await kept(world, host, "a" * 40, "b" * 40)
            assert not world.runner.of(2)
        receipt = world.ledger.receipts("api")[1]
        assert receipt["outcome"] == "rolled_back"
        assert "failed" in receipt["reason"]
        assert receipt["phases"][-2]["seconds"] < 5
        assert world.proxy.release("api") == 1

    run(main())


def test_an_exit_while_baking_sends_it_back_at_once() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            world.source.push(API, "b" * 40)
            await asyncio.sleep(45)
            assert host.loops["api"].book.rollout
            (instance,) = world.runner.of(2)
            world.runner.kill(instance)
            await asyncio.sleep(0.001)
            assert world.proxy.release("api") == 1
            await asyncio.sleep(5)
        assert outcomes(world)[1] == (2, "rolled_back")

    run(main())


def test_a_hung_release_does_not_slip_through_the_end_of_its_bake_time() -> None:
    async def main() -> None:
        world = World()
        app = replace(API, verify=replace(API.verify, bake_time=5.0))
        world.source.push(API, "a" * 40)
        world.proxy.rate = 0
        async with started(world, app) as host:
            await kept(world, host, "a" * 40)
            world.source.push(API, "b" * 40)
            await until(lambda: world.proxy.release("api") == 2)
            await asyncio.sleep(3)
            world.probes.hung.add(2)
            await asyncio.sleep(20)
        assert outcomes(world)[1] == (2, "rolled_back")

    run(main())


def test_a_newer_commit_supersedes_what_has_no_traffic_yet() -> None:
    async def main() -> None:
        world = World()
        world.builder.seconds = 100
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await asyncio.sleep(10)
            world.source.push(API, "b" * 40)
            await asyncio.sleep(300)
            assert host.loops["api"].book.rollout is None
        assert outcomes(world) == [(1, "superseded"), (2, "kept")]
        assert world.builder.cancelled == ["a" * 40]

    run(main())


def test_rolling_never_runs_more_than_wanted_plus_surge_and_ends_whole() -> None:
    async def main() -> None:
        world = World()
        app = replace(API, instances=3, strategy=Strategy.ROLLING)
        world.source.push(API, "a" * 40)
        async with started(world, app) as host:
            await kept(world, host, "a" * 40, "b" * 40)
            assert len(world.runner.of(2)) == 3
            assert world.runner.most <= 4
        weights = [round(r.weight, 2) for r in world.proxy.history if r.weight]
        assert sorted(set(weights)) == [0.33, 0.67]

    run(main())


def test_a_rolling_release_that_fails_half_way_goes_back_and_the_old_one_is_whole_again() -> None:
    async def main() -> None:
        world = World()
        app = replace(API, instances=3, strategy=Strategy.ROLLING)
        world.source.push(API, "a" * 40)
        async with started(world, app) as host:
            await kept(world, host, "a" * 40)
            world.source.push(API, "b" * 40)
            await until(lambda: len(world.runner.of(2)) >= 2)
            world.runner.kill(world.runner.of(2)[0])
            await asyncio.sleep(60)
            assert len(world.runner.of(1)) == 3
            assert not world.runner.of(2)
        assert outcomes(world)[1] == (2, "rolled_back")

    run(main())


def test_a_manual_rollback_is_one_switch_to_the_warm_release_and_stays() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40, "b" * 40)
            loop = host.loops["api"]
            starts = len(world.runner.alive)
            await command.rollback(loop, None, "me")
            await asyncio.sleep(0.01)
            assert world.proxy.release("api") == 1
            assert len(world.runner.alive) == starts
            await asyncio.sleep(600)
            assert world.proxy.release("api") == 1
            await command.rollback(loop, 2, "me")
            await asyncio.sleep(200)
            assert world.proxy.release("api") == 2

    run(main())


def test_what_a_rollback_left_is_not_tried_again_until_lifted() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40, "b" * 40)
            loop = host.loops["api"]
            await command.rollback(loop, None, "me")
            await asyncio.sleep(3600)
            assert world.proxy.release("api") == 1
            await command.lift(loop, "bbbb", "me")
            await asyncio.sleep(200)
            assert world.proxy.release("api") == 3

    run(main())


def test_a_kept_release_that_exits_is_started_again() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            world.runner.kill(world.runner.of(1)[0])
            await asyncio.sleep(10)
            assert len(world.runner.of(1)) == 1
            assert len(world.proxy.routing["api"].backends[0].servers) == 1

    run(main())


def test_a_crash_loop_goes_back_to_the_last_good_release() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40, "b" * 40)
            for _ in range(3):
                world.runner.kill(world.runner.of(2)[0])
                await asyncio.sleep(8)
            assert world.proxy.release("api") == 1

    run(main())


def test_held_apps_are_not_upgraded_by_triggers_but_by_people() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            loop = host.loops["api"]
            await command.hold(loop, "freeze", "me")
            world.source.push(API, "b" * 40)
            await asyncio.sleep(300)
            assert world.proxy.release("api") == 1
            await command.resume(loop, "me")
            await asyncio.sleep(300)
            assert world.proxy.release("api") == 2

    run(main())


def test_promote_and_abort_act_on_the_rollout_under_way_only() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            loop = host.loops["api"]
            with pytest.raises(UsageError):
                await command.abort(loop, "me")
            await command.deploy(loop, world.source, "b" * 40, "me")
            await until(lambda: world.proxy.release("api") == 2)
            await command.promote(loop, "me")
            assert loop.book.rollout is None
            await command.deploy(loop, world.source, "c" * 40, "me")
            await command.abort(loop, "me")
            await asyncio.sleep(5)
        assert [o for _, o in outcomes(world)] == ["kept", "kept", "aborted"]

    run(main())


def test_a_drain_that_the_proxy_refuses_is_told_once_and_goes_on() -> None:
    async def main() -> None:
        world = World()
        async with started(world) as host:
            await kept(world, host, "a" * 40, "b" * 40)
            world.proxy.trouble.errors["drain"] = [TrafficError("away") for _ in range(5)]
            await asyncio.sleep(900)
            assert not world.runner.of(1)
        assert len([line for line in world.ledger.lines if "does not drain it yet" in line["text"]]) == 1

    run(main())


@pytest.mark.parametrize(
    "phase", ["building", "starting", "waiting_ready", "shifting", "baking", "rolling_back", "aborting"]
)
def test_a_crash_in_any_phase_ends_with_one_working_release_and_no_leftover(phase: str) -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            if phase == "rolling_back":
                world.proxy.failing[2] = 1.0
            if phase == "shifting":
                world.proxy.trouble.stall.add("confirm")
            if phase == "starting":
                world.runner.trouble.stall.add("start")
            if phase == "aborting":
                world.probes.bad[2] = ProbeAnswer(ok=False, url="/", problem="is answered 500", status=500)
                world.runner.trouble.stall.add("stop")
            world.source.push(API, "b" * 40)
            loop = host.loops["api"]
            await until(lambda: loop.book.rollout is not None and loop.book.rollout.rollout.phase == phase)
        world.proxy.trouble.stall.clear()
        world.runner.trouble.stall.clear()
        async with started(world) as host:
            await asyncio.sleep(900)
            assert host.loops["api"].book.rollout is None
            release = world.proxy.release("api")
            assert release == (1 if phase in ("rolling_back", "aborting") else host.loops["api"].book.record.releases)
            assert [i.release for i in world.runner.alive.values()] == [release]

    run(main())


def test_a_proxy_that_refuses_the_switch_leaves_the_old_release_and_the_commit_is_tried_again() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            world.proxy.trouble.errors["apply"] = [TrafficError("no"), TrafficError("no")]
            await kept(world, host, "b" * 40)
        assert outcomes(world) == [(1, "kept"), (2, "rolled_back"), (3, "kept")]

    run(main())


def test_restart_replaces_the_instances_of_the_same_release() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            before = world.runner.of(1)
            await command.restart(host.loops["api"], "me")
            await asyncio.sleep(200)
            assert len(world.runner.of(1)) == 1
            assert world.runner.of(1) != before
        assert world.ledger.receipts("api")[1]["kind"] == "restart"

    run(main())


def test_changed_settings_are_a_new_release_of_the_same_revision() -> None:
    async def main() -> None:
        world = World()
        world.source.push(API, "a" * 40)
        async with started(world) as host:
            await kept(world, host, "a" * 40)
            await host.change({"api": replace(API, env=(("X", "1"),))})
            await asyncio.sleep(200)
            book = host.loops["api"].book
            assert book.record.active and book.record.active.release == 2
            assert book.releases[2].revision == book.releases[1].revision
            await host.change({"api": replace(API, env=(("X", "1"),), hosts=("b.example",))})
            assert world.proxy.routing["api"].hosts == ("b.example",)
            assert book.record.releases == 2

    run(main())
