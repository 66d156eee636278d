"""A day of every trigger on the real core, engine and ledger in virtual time: what was bad does not come back.

A release goes back by itself or by hand. Then 24 hours of polls, webhooks (lost, doubled), a schedule every
quarter of an hour, tags or a branch that are moved away and back, reloads, holds, crashes of Noren, a network that
fails and scheduled builds that fail. Nothing that is quarantined is released again, the next commit is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from noren.adapters.ledger import SqliteLedger
from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import App, Triggers, Webhook
from noren.core.phase import Phase
from noren.core.quarantine import find
from noren.core.record import Note, QuarantineRecord, Record, ReleaseRecord, RolloutRecord
from noren.core.rollout import RolloutKind
from noren.engine import command
from noren.engine.host import Host
from tests.engine.test_upgrades import API, started
from tests.fakes import World
from tests.proofs.claim import claim
from tests.virtual_time import run

A, B, C = "a" * 40, "b" * 40, "c" * 40
DAY = 86400.0
APP = replace(
    API,
    triggers=Triggers(poll=30.0, schedule="*/15 * * * *", timezone="Europe/Berlin"),
    webhook=Webhook(secret_env="X"),
)


class Guard(SqliteLedger):
    """The real ledger, which counts the rollouts that begin, and those of them that no trigger might begin."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.begun: list[str] = []
        self.violations: list[str] = []

    async def commit(
        self, app: str, put: Sequence[Record], *, drop: Sequence[Record] = (), notes: Sequence[Note] = ()
    ) -> None:
        begins = [r.rollout for r in put if isinstance(r, RolloutRecord) and r.rollout.phase is Phase.QUEUED]
        for rollout in begins:
            if rollout.kind is RolloutKind.UPGRADE and not rollout.trigger.startswith("manual"):
                self.begun.append(rollout.revision)
                settings = next(r.settings for r in put if isinstance(r, ReleaseRecord))
                barred = [r.quarantined for r in await self.load(app) if isinstance(r, QuarantineRecord)]
                if find(barred, rollout.revision, settings):
                    self.violations.append(f"{rollout.trigger} began {rollout.revision[:7]}, which is quarantined")
        await super().commit(app, put, drop=drop, notes=notes)


class Day:
    """One app, and all that may come over it."""

    def __init__(self, world: World, app: App, seed: int) -> None:
        self.world, self.app = world, app
        self.random = random.Random(seed)
        self.happened: dict[str, int] = {}
        self.deliveries = 0

    async def live(self) -> None:
        """24 hours: Noren crashes now and then, something happens every few minutes."""
        end = asyncio.get_running_loop().time() + DAY
        while asyncio.get_running_loop().time() < end:
            async with started(self.world, self.app) as host:
                for _ in range(self.random.randint(20, 120)):
                    await asyncio.sleep(self.random.uniform(1, 600))
                    await self._something(host)
                    if asyncio.get_running_loop().time() > end:
                        break
            self._count("crash")

    async def _something(self, host: Host) -> None:
        name = self.random.choice(
            ["webhook", "webhook", "twice", "lost", "network", "build", "rain", "away", "reload", "hold"]
        )
        self._count(name)
        await getattr(self, f"_{name}")(host)

    def _count(self, name: str) -> None:
        self.happened[name] = self.happened.get(name, 0) + 1

    async def _webhook(self, host: Host) -> None:
        self.deliveries += 1
        await host.hint(self.app.name, f"delivery-{self.deliveries}")

    async def _twice(self, host: Host) -> None:
        await host.hint(self.app.name, f"delivery-{self.deliveries}")

    async def _lost(self, _: Host) -> None:
        pass

    async def _network(self, _: Host) -> None:
        for verb in ("tip", "commit"):
            self.world.source.trouble.errors[verb] = [OutsideError("no network")] * self.random.randint(0, 5)

    async def _build(self, _: Host) -> None:
        problem = self.random.choice([OutsideError("disk full"), ReleaseError("exit code 3"), None])
        self.world.builder.failing = {A: problem} if problem else {}

    async def _rain(self, _: Host) -> None:
        self.world.builder.weather = self.random.choice(["", "rain", "snow"])

    async def _away(self, _: Host) -> None:
        """The branch or the tag is moved to what is good, and to what is bad again."""
        self.world.source.push(self.app, A)
        await asyncio.sleep(self.random.uniform(0, 120))
        self.world.source.push(self.app, B)

    async def _reload(self, host: Host) -> None:
        await host.change({self.app.name: replace(self.app, keep=self.random.randint(5, 20))})

    async def _hold(self, host: Host) -> None:
        loop = host.loops[self.app.name]
        await command.hold(loop, "lunch", "me")
        await asyncio.sleep(self.random.uniform(1, 3600))
        await command.resume(loop, "me")


@asynccontextmanager
async def ledger(world: Any, folder: Path) -> AsyncIterator[Guard]:
    guard = Guard(folder)
    world.ledger = guard
    try:
        yield guard
    finally:
        guard.close()


async def receipts(guard: Guard, app: str) -> list[tuple[str, str]]:
    rows = await guard.load(app)
    return [(r.revision, r.outcome.value) for r in rows if isinstance(r, ReleaseRecord) and r.outcome]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("way", ["by itself", "by hand"])
@pytest.mark.parametrize("follows", ["branch", "tags"])
def test_what_was_sent_back_stays_away_for_a_day_of_all_triggers(tmp_path: Path, way: str, follows: str) -> None:
    seed = 7

    async def main() -> None:
        world = World()
        app = replace(APP, tags="v*") if follows == "tags" else APP
        world.source.tag = "v1.0" if follows == "tags" else None
        async with ledger(world, tmp_path) as guard:
            world.source.push(app, A)
            async with started(world, app) as host:
                await asyncio.sleep(150)
                world.proxy.failing = {2: 1.0} if way == "by itself" else {}
                world.source.push(app, B)
                await asyncio.sleep(150)
                if way == "by hand":
                    await command.rollback(host.loops["api"], None, "me")
                    await asyncio.sleep(150)
            assert world.proxy.release("api") == 1
            begun = len(guard.begun)
            day = Day(world, app, seed)
            await day.live()
            redeployed = guard.begun[begun:].count(B)
            rebuilt = guard.begun[begun:].count(A)
            assert not guard.violations
            assert redeployed == 0
            world.source.trouble.errors.clear()
            world.builder.failing.clear()
            world.source.push(app, C)
            async with started(world, app):
                await asyncio.sleep(1300)
                good = [revision for revision, outcome in await receipts(guard, "api") if outcome == "kept"]
                assert C in good, "the next commit goes out"
            assert await guard.verify() is None
            claim(
                f"sent back {way}, {follows}, 24 simulated hours of all triggers",
                f"{redeployed} redeployments of what is quarantined, {rebuilt} releases of rebuilds, next commit kept",
                settings=", ".join(f"{count} {name}" for name, count in sorted(day.happened.items())),
                seed=seed,
            )

    run(main())
