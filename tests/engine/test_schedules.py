"""Schedules, windows and tags over the real engine in virtual time: what comes of them, and what never does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import App, ProbeAnswer, Triggers
from noren.core.record import QuarantineRecord
from noren.engine import command, report
from noren.engine.host import Host
from tests.engine.test_upgrades import API, kept, outcomes, started, until
from tests.fakes import World
from tests.virtual_time import run

A, B, C = "a" * 40, "b" * 40, "c" * 40
HOURLY = replace(API, triggers=Triggers(poll=None, schedule="hourly"))
DAY = 86400.0


def lines(world: World, kind: str) -> list[str]:
    return [line["text"] for line in world.ledger.lines if line["kind"] == kind]


def waiting(host: Host, app: str = "api") -> dict[str, str] | None:
    return report.status(host.loops[app].book, [])["waiting"]


async def served(world: World, app: App = HOURLY) -> None:
    world.source.push(app, A)
    await until(lambda: outcomes(world)[:1] == [(1, "kept")])


def test_a_new_app_does_not_wait_for_its_first_scheduled_time() -> None:
    async def main() -> None:
        world = World()
        world.source.push(HOURLY, A)
        async with started(world, HOURLY):
            await asyncio.sleep(150)
            assert outcomes(world) == [(1, "kept")]
            assert world.ledger.receipts("api")[0]["trigger"] == "schedule"

    run(main())


def test_what_is_built_again_is_a_release_only_if_it_differs() -> None:
    async def main() -> None:
        world = World()
        world.source.push(HOURLY, A)
        async with started(world, HOURLY) as host:
            await asyncio.sleep(2 * 3600 + 1800)
            assert world.builder.built == [A] * 3, "once for the commit, once at one o'clock, once at two"
            assert outcomes(world) == [(1, "kept")]
            assert [r["release"] for r in report.releases(host.loops["api"].book)] == [1]
            assert lines(world, "schedule")[-1] == "aaaaaaaaaaaa built again: unchanged: what release 1 serves"
            world.builder.weather = "rain"
            await asyncio.sleep(3600)
            assert outcomes(world) == [(1, "kept"), (2, "kept")]
            await asyncio.sleep(2 * 3600)
            assert outcomes(world) == [(1, "kept"), (2, "kept")], "the same rain"
            told = report.status(host.loops["api"].book, [])["schedule"]
            assert told == {
                "next": "2026-01-01T06:00:00.000Z",
                "last": told["last"],
                "result": "unchanged: what release 2 serves",
            }

    run(main())


def test_a_scheduled_time_finds_a_new_commit() -> None:
    async def main() -> None:
        world = World()
        async with started(world, HOURLY):
            await served(world)
            world.source.push(HOURLY, B)
            await asyncio.sleep(1800)
            assert outcomes(world) == [(1, "kept")], "poll is off"
            await asyncio.sleep(3600)
            assert outcomes(world) == [(1, "kept"), (2, "kept")]
            assert world.builder.built == [A, B]

    run(main())


def test_a_scheduled_build_that_fails_quarantines_nothing_and_is_tried_at_the_next_time() -> None:
    async def main() -> None:
        world = World()
        async with started(world, HOURLY) as host:
            await served(world)
            world.builder.failing[A] = ReleaseError("exit code 3")
            await asyncio.sleep(3 * 3600)
            failed = [text for text in lines(world, "schedule") if "failed, release 1 stays active" in text]
            assert len(failed) == 3
            assert outcomes(world) == [(1, "kept")]
            assert not world.ledger.only("api", QuarantineRecord)
            assert waiting(host) is None
            world.builder.failing.clear()
            world.builder.weather = "rain"
            await asyncio.sleep(3900)
            assert outcomes(world) == [(1, "kept"), (2, "kept")]

    run(main())


def test_a_network_that_fails_a_scheduled_look_or_build_is_tried_again_soon() -> None:
    async def main() -> None:
        world = World()
        async with started(world, HOURLY):
            await served(world)
            world.builder.weather = "rain"
            world.source.trouble.errors["tip"] = [OutsideError("no network") for _ in range(3)]
            await until(lambda: not world.source.trouble.errors["tip"])
            world.builder.failing[A] = OutsideError("no network")
            await until(lambda: any("next try in" in text for text in lines(world, "schedule")))
            world.builder.failing.clear()
            await asyncio.sleep(300)
            assert outcomes(world) == [(1, "kept"), (2, "kept")], "long before the next hour"
            assert len([t for t in lines(world, "source") if "the schedule has to wait" in t]) == 1

    run(main())


def test_a_rebuilt_release_that_is_bad_goes_back_and_only_that_artifact_is_barred() -> None:
    async def main() -> None:
        world = World()
        async with started(world, HOURLY) as host:
            await served(world)
            world.builder.weather = "rain"
            world.proxy.failing[2] = 1.0
            await asyncio.sleep(3 * 3600)
            assert outcomes(world) == [(1, "kept"), (2, "rolled_back")], "the same rain is not tried again"
            assert any("no upgrade: quarantined since" in text for text in lines(world, "schedule"))
            world.builder.weather = "sun"
            await asyncio.sleep(3900)
            assert outcomes(world)[2:] == [(3, "kept")]
            await command.lift(host.loops["api"], A[:7], "me")
            assert not world.ledger.only("api", QuarantineRecord)

    run(main())


def test_after_a_rollback_by_hand_no_schedule_builds_that_commit_again_until_the_next() -> None:
    async def main() -> None:
        world = World()
        async with started(world, HOURLY) as host:
            await served(world)
            world.builder.weather = "rain"
            await until(lambda: outcomes(world)[1:] == [(2, "kept")])
            await command.rollback(host.loops["api"], None, "me")
            await until(lambda: outcomes(world)[2:] == [(1, "kept")])
            world.builder.weather = "more rain"
            await asyncio.sleep(DAY)
            assert len(outcomes(world)) == 3
            world.source.push(HOURLY, B)
            await asyncio.sleep(3700)
            assert outcomes(world)[3:] == [(3, "kept")]

    run(main())


def test_the_same_revision_with_other_settings_does_not_go_back_to_its_first_build() -> None:
    async def main() -> None:
        world = World()
        async with started(world, HOURLY) as host:
            await served(world)
            world.builder.weather = "rain"
            await until(lambda: outcomes(world)[1:] == [(2, "kept")])
            await host.change({"api": replace(HOURLY, instances=2)})
            await asyncio.sleep(150)
            book = host.loops["api"].book
            assert book.releases[3].artifact and book.releases[2].artifact
            assert book.releases[3].artifact.key == book.releases[2].artifact.key

    run(main())


def test_after_downtime_over_three_scheduled_times_one_is_caught_up_with() -> None:
    async def main() -> None:
        world = World()
        async with started(world, HOURLY):
            await served(world)
            await asyncio.sleep(3600)
        built = len(world.builder.built)
        await asyncio.sleep(3 * 3600)
        async with started(world, HOURLY):
            await asyncio.sleep(600)
            assert len(world.builder.built) == built + 1
        async with started(world, HOURLY):
            await asyncio.sleep(600)
            assert len(world.builder.built) == built + 1, "once"

    run(main())


@pytest.mark.parametrize("after", [0.0, 0.5, 1.5, 30.0])
def test_a_crash_during_a_scheduled_run_makes_it_neither_lost_nor_double(after: float) -> None:
    async def main() -> None:
        world = World()
        async with started(world, HOURLY):
            await served(world)
            world.builder.weather = "rain"
            await asyncio.sleep(4600.0 - asyncio.get_running_loop().time() + after)  # one o'clock, and a bit
        async with started(world, HOURLY):
            await asyncio.sleep(600)
            good = [number for number, outcome in outcomes(world) if outcome == "kept"]
            assert len(good) == 2 and good[0] == 1, outcomes(world)

    run(main())


def test_a_hold_stops_the_schedule_and_its_end_catches_up_once() -> None:
    async def main() -> None:
        world = World()
        async with started(world, HOURLY) as host:
            await served(world)
            await command.hold(host.loops["api"], "freeze", "me")
            world.source.push(HOURLY, B)
            await asyncio.sleep(3 * 3600)
            assert outcomes(world) == [(1, "kept")]
            await command.resume(host.loops["api"], "me")
            await asyncio.sleep(300)
            assert outcomes(world) == [(1, "kept"), (2, "kept")]
            assert world.builder.built == [A, B]

    run(main())


def test_a_commit_supersedes_a_scheduled_build_and_a_schedule_disturbs_no_upgrade() -> None:
    both = replace(API, triggers=Triggers(poll=10.0, schedule="hourly"))

    async def main() -> None:
        world = World()
        world.builder.seconds = 60.0
        async with started(world, both):
            await served(world, both)
            await until(lambda: any("is built again" in text for text in lines(world, "schedule")))
            world.source.push(both, B)
            await until(lambda: outcomes(world)[1:] == [(2, "kept")])
            assert world.builder.cancelled == [A]
            loop = asyncio.get_running_loop()
            await asyncio.sleep(8200.0 - 30 - loop.time())  # half a minute before two
            world.source.push(both, C)
            await asyncio.sleep(1800)
            assert outcomes(world)[2:] == [(3, "kept")]
            assert world.builder.built == [A, B, C]

    run(main())


# --- windows --------------------------------------------------------------------------------


NIGHT = replace(API, triggers=Triggers(windows=("22:00-04:00",)))


def test_outside_its_window_an_upgrade_waits_and_the_newest_goes_out_when_it_opens() -> None:
    async def main() -> None:
        world = World()
        async with started(world, NIGHT) as host:
            await served(world, NIGHT)  # midnight: open
            await asyncio.sleep(5 * 3600)
            world.source.push(NIGHT, B)
            await asyncio.sleep(60)
            world.source.push(NIGHT, C)
            await asyncio.sleep(60)
            assert waiting(host) == {"revision": C, "trigger": "poll", "until": "2026-01-01T22:00:00.000Z"}
            assert "waits for its window, which opens at 2026-01-01T22:00:00.000Z" in lines(world, "trigger")
            await asyncio.sleep(16 * 3600)
            assert outcomes(world) == [(1, "kept")]
        async with started(world, NIGHT):  # a restart forgets nothing of it
            await asyncio.sleep(3600)
            assert outcomes(world) == [(1, "kept"), (2, "kept")]
            assert world.ledger.receipts("api")[1]["revision"] == C

    run(main())


def test_people_and_rollbacks_wait_for_no_window_and_what_waits_disturbs_them_not() -> None:
    async def main() -> None:
        world = World()
        async with started(world, NIGHT) as host:
            await served(world, NIGHT)
            await asyncio.sleep(5 * 3600)
            world.source.push(NIGHT, B)
            await asyncio.sleep(60)
            await command.deploy(host.loops["api"], world.source, B, "me")
            world.source.push(NIGHT, C)
            await asyncio.sleep(150)
            assert outcomes(world) == [(1, "kept"), (2, "kept")], "not superseded by what waits"
            waits = waiting(host)
            assert waits and waits["revision"] == C
            await command.rollback(host.loops["api"], None, "me")
            await asyncio.sleep(150)
            assert outcomes(world)[2:] == [(1, "kept")]

    run(main())


def test_windows_that_a_reload_opens_let_it_begin_and_changed_settings_wait_for_none() -> None:
    async def main() -> None:
        world = World()
        async with started(world, NIGHT) as host:
            await served(world, NIGHT)
            await asyncio.sleep(5 * 3600)
            world.source.push(NIGHT, B)
            await asyncio.sleep(60)
            await host.change({"api": replace(NIGHT, triggers=Triggers())})
            await asyncio.sleep(150)
            assert outcomes(world) == [(1, "kept"), (2, "kept")]
            await host.change({"api": replace(NIGHT, instances=2)})
            await asyncio.sleep(150)
            assert outcomes(world)[2:] == [(3, "kept")]

    run(main())


# --- tags -----------------------------------------------------------------------------------


TAGGED = replace(API, tags="v*")


def test_a_tag_that_moved_goes_out_and_one_that_is_deleted_leads_to_no_older_version() -> None:
    async def main() -> None:
        world = World()
        async with started(world, TAGGED):
            for tag, revision in (("v1.0", A), ("v1.1", B), ("v1.1", C), ("v1.0", A)):
                world.source.tag = tag
                world.source.push(TAGGED, revision)
                await asyncio.sleep(150)
            assert [r["revision"] for r in world.ledger.receipts("api")] == [A, B, C]
            told = lines(world, "trigger")
            assert told[0].startswith("poll: v1.0 (aaaaaaaaaaaa) ")
            assert told[2].startswith("poll: v1.1 (cccccccccccc), moved ")
            assert told[3] == "v1.0 (aaaaaaaaaaaa) is no upgrade: v1.0 is older than v1.1, which came before it"

    run(main())


def test_a_tag_that_moved_between_the_look_and_the_fetch_is_looked_at_again() -> None:
    async def main() -> None:
        world = World()
        world.source.push(TAGGED, A)
        async with started(world, TAGGED):
            await asyncio.sleep(300)
            assert outcomes(world) == []
            world.source.tag = "v1.0"
            await asyncio.sleep(150)
            assert outcomes(world) == [(1, "kept")]

    run(main())


# --- the queue ------------------------------------------------------------------------------


def test_a_commit_waits_for_a_rollback_that_has_to_start_its_release() -> None:
    cold = replace(API, keep_warm=1.0)

    async def main() -> None:
        world = World()
        async with started(world, cold) as host:
            await kept(world, host, A, B, app=cold)
            slow = ProbeAnswer(ok=False, url="u", problem="not yet")
            world.probes.bad[1] = slow
            number = await command.rollback(host.loops["api"], None, "me")
            world.source.push(cold, C)
            await asyncio.sleep(40)
            assert host.loops["api"].book.rollout and host.loops["api"].book.rollout.rollout.id == number
            world.probes.bad.clear()
            await asyncio.sleep(150)
            assert outcomes(world)[2:] == [(1, "kept"), (3, "kept")]

    run(main())
