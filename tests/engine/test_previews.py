"""Previews follow the open pull requests, whatever is missed, and leave nothing behind."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from noren.core.errors import OutsideError, StateError, TrafficError, UsageError
from noren.core.forge import Forge, ForgeKind, PullRequests, State
from noren.core.model import App, Triggers, Webhook, build_key
from noren.core.preview import preview
from noren.core.record import PreviewsRecord, ReleaseRecord
from noren.engine.host import Host
from tests.engine.test_endurance import OTHER
from tests.engine.test_upgrades import API, started
from tests.fakes import World
from tests.virtual_time import run

FORGE = Forge(kind=ForgeKind.GITEA, url="https://git.example", project="team/api", token_env="TOKEN")
PARENT = replace(
    API,
    forge=FORGE,
    submodules=True,
    secrets=(("PASSWORD", "of production"),),
    webhook=Webhook(secret_env="HOOK"),
    pull_requests=PullRequests(hosts="pr-{number}.example", secrets=(("PASSWORD", "of previews"),)),
)
FORKS = replace(PARENT, pull_requests=replace(PARENT.pull_requests, forks=True))  # type: ignore[type-var]


def sha(text: str) -> str:
    return text.encode().hex().ljust(40, "0")[:40]


def shown(world: World, number: int) -> str | None:
    """The commit that a preview shows now."""
    name = f"api-pr-{number}"
    release = world.proxy.release(name)
    found = [r for r in world.ledger.only(name, ReleaseRecord) if r.number == release]
    return found[0].revision if found else None


def orphans(world: World, app: App = PARENT) -> dict[str, list[str]]:
    """Everything of previews whose pull request is not open."""
    wanted = {f"api-pr-{number}" for number in world.forge.open.get(app.repo, {})} | {"api"}
    return {
        "processes": [i.id for i in world.runner.alive.values() if i.app not in wanted],
        "routes": [name for name, r in world.proxy.routing.items() if name not in wanted and (r.hosts or r.backends)],
        "records": sorted({name for name, _, _ in world.ledger.records} - wanted),
        "refs": [f"{name}/{number}" for name, number in world.source.kept if name not in wanted],
        "known": [
            str(pull.number)
            for record in world.ledger.only("api", PreviewsRecord)
            for pull in record.open
            if f"api-pr-{pull.number}" not in wanted
        ],
    }


def none(found: dict[str, list[str]]) -> bool:
    return not any(found.values())


async def begun(world: World, host: Host) -> None:
    world.source.push(PARENT, sha("main"))
    await asyncio.sleep(200)
    assert world.proxy.release("api") == 1


def test_a_pull_request_is_shown_updated_and_gone() -> None:
    async def main() -> None:
        world = World()
        async with started(world, PARENT) as host:
            await begun(world, host)
            world.forge.pull(PARENT, 12, sha("one"))
            await asyncio.sleep(200)
            assert shown(world, 12) == sha("one")
            assert world.proxy.routing["api-pr-12"].hosts == ("pr-12.example",)
            assert world.proxy.routing["api-pr-12"].preview is not None
            world.forge.pull(PARENT, 12, sha("two"))
            await asyncio.sleep(200)
            assert shown(world, 12) == sha("two")
            world.forge.close(PARENT, 12)
            await asyncio.sleep(200)
            assert none(orphans(world)), orphans(world)
            assert "api-pr-12" not in host.loops
            assert world.proxy.release("api") == 1

    run(main())


def test_one_that_comes_back_has_numbers_that_no_cache_has_seen() -> None:
    async def main() -> None:
        world = World()
        async with started(world, PARENT) as host:
            await begun(world, host)
            for _ in range(2):
                world.forge.pull(PARENT, 12, sha("one"))
                await asyncio.sleep(200)
                world.forge.close(PARENT, 12)
                await asyncio.sleep(200)
            world.forge.pull(PARENT, 12, sha("one"))
            await asyncio.sleep(200)
            assert world.proxy.release("api-pr-12") == 3

    run(main())


def test_one_that_is_closed_while_noren_is_down_is_gone_at_the_next_start() -> None:
    async def main() -> None:
        world = World()
        async with started(world, PARENT) as host:
            await begun(world, host)
            world.forge.pull(PARENT, 1, sha("one"))
            world.forge.pull(PARENT, 2, sha("two"))
            await asyncio.sleep(200)
        world.forge.close(PARENT, 1)
        async with started(world, PARENT) as host:
            await asyncio.sleep(60)
            assert none(orphans(world)), orphans(world)
            assert shown(world, 2) == sha("two")
        async with started(world, replace(PARENT, pull_requests=None)) as host:
            await asyncio.sleep(60)
            world.forge.open.clear()
            assert none(orphans(world)), "previews that are no longer wanted go, too"

    run(main())


def test_previews_of_an_app_that_left_the_settings_stand_still_until_it_is_back_or_pruned() -> None:
    async def main() -> None:
        world = World()
        async with started(world, PARENT) as host:
            await begun(world, host)
            world.forge.pull(PARENT, 12, sha("one"))
            await asyncio.sleep(200)
        world.forge.pull(PARENT, 12, sha("two"))
        world.forge.pull(PARENT, 13, sha("three"))
        async with started(world, OTHER) as host:
            await asyncio.sleep(400)
            assert (shown(world, 12), shown(world, 13)) == (sha("one"), None)
            assert host.plan({"other": OTHER, "api": PARENT}, prune=False) == ["api: back in the settings"]
            await host.change({"other": OTHER, "api": PARENT})
            await asyncio.sleep(400)
            assert (shown(world, 12), shown(world, 13)) == (sha("two"), sha("three"))
        async with started(world, OTHER) as host:
            await host.change({"other": OTHER})
            assert [i.app for i in world.runner.alive.values()] == []

    run(main())


def test_a_forge_that_cannot_be_asked_takes_nothing_away_and_is_told_of_once() -> None:
    async def main() -> None:
        world = World()
        async with started(world, PARENT) as host:
            await begun(world, host)
            world.forge.pull(PARENT, 12, sha("one"))
            await asyncio.sleep(200)
            world.forge.trouble.errors["pulls"] = [OutsideError("no network")] * 8
            world.forge.close(PARENT, 12)
            await asyncio.sleep(1000)
            assert shown(world, 12) == sha("one")
            told = [line["text"] for line in world.ledger.lines if "no network" in line["text"]]
            assert len(told) == 1
            await asyncio.sleep(8000)
            assert none(orphans(world)), orphans(world)

    run(main())


def test_the_newest_have_previews_and_the_others_are_told() -> None:
    two = replace(PARENT, pull_requests=replace(PARENT.pull_requests, limit=2))  # type: ignore[type-var]

    async def main() -> None:
        world = World()
        async with started(world, two) as host:
            await begun(world, host)
            for number in range(1, 5):
                world.forge.pull(two, number, sha(f"pull {number}"))
                await asyncio.sleep(200)
            assert [shown(world, number) is not None for number in range(1, 5)] == [False, False, True, True]
            assert host.loops["api"].left_out[1] == (sha("pull 1"), "there are newer ones (limit = 2)")
            world.forge.close(two, 4)
            await asyncio.sleep(200)
            assert [shown(world, number) is not None for number in range(1, 5)] == [False, True, True, False]

    run(main())


def test_one_to_which_nothing_happens_is_removed_and_comes_back_when_something_does() -> None:
    async def main() -> None:
        world = World()
        async with started(world, PARENT) as host:
            await begun(world, host)
            world.forge.pull(PARENT, 12, sha("one"))
            await asyncio.sleep(200)
            world.forge.pull(PARENT, 12, sha("one"), age=8 * 86400)
            await asyncio.sleep(200)
            assert shown(world, 12) is None
            assert "ttl" in host.loops["api"].left_out[12][1]
            world.forge.pull(PARENT, 12, sha("two"))
            await asyncio.sleep(200)
            assert shown(world, 12) == sha("two")

    run(main())


def test_a_pull_request_to_another_branch_or_that_touches_nothing_watched_has_none() -> None:
    app = replace(PARENT, branch="main")

    async def main() -> None:
        world = World()
        async with started(world, app) as host:
            await begun(world, host)
            world.forge.pull(app, 1, sha("one"), base="next")
            world.forge.pull(app, 2, sha("main"))  # the fake's commit touches what the tip touches
            await asyncio.sleep(200)
            left = {number: reason for number, (_, reason) in host.loops["api"].left_out.items()}
            assert left == {1: "goes to next, not to main", 2: "touches nothing that is watched"}
            assert set(host.loops) == {"api"}

    run(main())


def test_a_fork_gets_nothing_unless_that_very_commit_was_approved() -> None:
    async def main() -> None:
        world = World()
        async with started(world, PARENT) as host:
            await begun(world, host)
            world.forge.pull(PARENT, 12, sha("evil"), fork=True)
            await asyncio.sleep(200)
            assert "api-pr-12" not in host.loops
            assert sha("evil") not in world.builder.built
            with pytest.raises(UsageError, match="takes nothing from forks"):
                await host.previews.approve(host.loops["api"], 12, sha("evil"), "ada")
        async with started(world, FORKS) as host:
            await asyncio.sleep(200)
            assert sha("evil") not in world.builder.built
            assert f"noren approve api 12 {sha('evil')}" in host.loops["api"].left_out[12][1]
            with pytest.raises(UsageError, match="cannot be approved"):
                await host.previews.approve(host.loops["api"], 12, sha("another"), "ada")
            await host.previews.approve(host.loops["api"], 12, sha("evil"), "ada")
            await asyncio.sleep(200)
            assert shown(world, 12) == sha("evil")
            world.forge.pull(FORKS, 12, sha("worse"), fork=True)
            await asyncio.sleep(200)
            assert sha("worse") not in world.builder.built, "approve one, push another"
            assert none({k: v for k, v in orphans(world).items() if k == "processes"})
            assert shown(world, 12) is None, "what is approved no more is shown no more"
            world.forge.pull(FORKS, 12, sha("evil"), fork=True)
            await asyncio.sleep(200)
            assert shown(world, 12) is None, "an approval ends with its commit"

    run(main())


def test_a_preview_never_has_the_secrets_of_its_app_and_a_fork_has_none() -> None:
    world = World()
    world.forge.pull(PARENT, 1, sha("one"))
    world.forge.pull(PARENT, 2, sha("two"), fork=True)
    ours, fork = (preview(PARENT, pull) for pull in world.forge.open[PARENT.repo].values())
    assert ours.secrets == (("PASSWORD", "of previews"),)
    assert (fork.secrets, fork.submodules, ours.submodules) == ((), False, True)
    keys = {build_key(app, sha("one")) for app in (PARENT, ours, fork, replace(PARENT, secrets=ours.secrets))}
    assert len(keys) == 4, "what one of them builds is never taken for another's build"


def test_changed_settings_reach_the_previews_and_removed_ones_end_them() -> None:
    other = replace(
        PARENT,
        env=(("COLOUR", "blue"),),
        pull_requests=replace(PARENT.pull_requests, hosts="preview-{number}.example"),  # type: ignore[type-var]
    )

    async def main() -> None:
        world = World()
        async with started(world, PARENT) as host:
            await begun(world, host)
            world.forge.pull(PARENT, 12, sha("one"))
            await asyncio.sleep(200)
            assert not any("pr-12" in line for line in host.plan({"api": other}, prune=False))
            await host.change({"api": other})
            await asyncio.sleep(200)
            assert world.proxy.routing["api-pr-12"].hosts == ("preview-12.example",)
            assert dict(host.loops["api-pr-12"].book.app.env) == {"COLOUR": "blue"}
            assert world.proxy.release("api-pr-12") == 2
            await host.change({})
            world.forge.open.clear()
            found = orphans(world)
            assert none({kind: found[kind] for kind in ("processes", "routes", "refs")}), found
            assert not host.loops

    run(main())


def test_a_preview_that_would_take_the_place_of_an_app_is_not_opened() -> None:
    squatter = replace(API, name="other", repo="/other", hosts=("pr-12.example",))

    async def main() -> None:
        world = World()
        world.source.push(squatter, sha("other"))
        async with started(world, PARENT, squatter) as host:
            await begun(world, host)
            world.forge.pull(PARENT, 12, sha("one"))
            await asyncio.sleep(200)
            assert host.loops["api"].left_out[12][1] == "pr-12.example is a host of other"

    run(main())


def test_the_forge_is_told_of_each_release_once_and_after_an_outage() -> None:
    async def main() -> None:
        world = World()
        world.forge.trouble.errors["tell"] = [OutsideError("no network")] * 3
        async with started(world, PARENT) as host:
            await begun(world, host)
            await asyncio.sleep(300)
            told = [(name, status.revision, status.state) for name, status in world.forge.told]
            assert told[-1] == ("api", sha("main"), State.SUCCESS)
            world.forge.pull(PARENT, 12, sha("one"))
            await asyncio.sleep(200)
            ours = [status for name, status in world.forge.told if name == "api-pr-12"]
            assert [status.state for status in ours] == [State.PENDING, State.SUCCESS]
            assert {status.context for status in ours} == {"noren/api/preview"}
            count = len(world.forge.told)
        async with started(world, PARENT):
            await asyncio.sleep(200)
            assert len(world.forge.told) == count, "what was told is known after a restart"
            world.builder.failing[sha("bad")] = OutsideError("exit code 3\nthe log says: token=hunter2")
            world.source.push(PARENT, sha("bad"))
            await asyncio.sleep(40)
            failed = [status for _, status in world.forge.told if status.state is State.FAILURE]
            assert failed
            assert "hunter2" not in failed[0].text

    run(main())


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_pull_requests_with_missed_events_crashes_and_faults_leave_nothing(seed: int) -> None:
    """Open, update, close; most events are missed, Noren crashes, ports fail: after one quiet look nothing is left."""
    chance = random.Random(seed)

    async def storm(world: World, host: Host, numbers: list[int]) -> None:
        for _ in range(20):
            number = numbers.pop() if numbers and chance.random() < 0.5 else 0
            if number:
                world.forge.pull(PARENT, number, sha(f"{number} first"))
            for there in list(world.forge.open.get(PARENT.repo, {})):
                what = chance.random()
                if what < 0.3:
                    world.forge.pull(PARENT, there, sha(f"{there} {chance.random()}"))
                elif what < 0.6:
                    world.forge.close(PARENT, there)
            if chance.random() < 0.2:
                await host.hint("api", f"{chance.random()}")
            if chance.random() < 0.2:
                world.proxy.trouble.errors["apply"] = [TrafficError("busy")]
            if chance.random() < 0.1:
                world.forge.trouble.errors["pulls"] = [OutsideError("no network")]
            if chance.random() < 0.1:
                world.source.trouble.errors["commit"] = [OutsideError("no network")]
            await asyncio.sleep(chance.uniform(0, 40))

    async def main() -> None:
        world = World()
        numbers = list(range(100, 0, -1))
        async with started(world, PARENT) as host:
            await begun(world, host)
        while numbers:
            async with started(world, PARENT) as host:
                await storm(world, host, numbers)
        async with started(world, PARENT) as host:
            await asyncio.sleep(400)
            assert none(orphans(world)), orphans(world)
            for number in list(world.forge.open[PARENT.repo]):
                world.forge.close(PARENT, number)
            await asyncio.sleep(40)
            assert none(orphans(world)), orphans(world)
            assert set(host.loops) == {"api"}
            assert world.proxy.release("api") == 1

    run(main())


def test_a_disk_that_is_full_while_one_closes_only_puts_it_off() -> None:
    async def main() -> None:
        world = World()
        async with started(world, PARENT) as host:
            await begun(world, host)
            world.forge.pull(PARENT, 12, sha("one"))
            await asyncio.sleep(200)
            world.ledger.trouble.errors["forget"] = [StateError("disk full")] * 2
            world.forge.close(PARENT, 12)
            await asyncio.sleep(400)
            assert none(orphans(world)), orphans(world)
            assert not host.loops["api"].preview_problem

    run(main())


def test_polling_may_be_off_then_previews_are_looked_at_all_the_same() -> None:
    quiet = replace(PARENT, triggers=Triggers(poll=None))

    async def main() -> None:
        world = World()
        async with started(world, quiet) as host:
            await begun(world, host)
            world.forge.pull(quiet, 12, sha("one"))
            await host.hint("api", "opened")
            await asyncio.sleep(100)
            assert shown(world, 12) == sha("one")
            world.forge.close(quiet, 12)
            await asyncio.sleep(100)
            assert none(orphans(world))

    run(main())
