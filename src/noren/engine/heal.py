"""Keeps the active release at its number of instances.

When an instance of a kept release ends by itself, another one is started in its place, with
back-off; a release that keeps crashing is sent back to the last good one.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from noren.core.errors import ReleaseError
from noren.core.model import Exit, Instance, Release
from noren.core.phase import Phase
from noren.core.record import RetiringRecord
from noren.core.release import previous
from noren.core.retire import Running

if TYPE_CHECKING:
    from noren.engine.loop import AppLoop

FIRST_PAUSE = 1.0  # seconds before the second try; the first is at once
LAST_PAUSE = 60.0
LOOP_EXITS = 3  # exits …
LOOP_SECONDS = 60.0  # … in so many seconds are a crash loop


def pause(exits: int) -> float:
    """Seconds before the try after so many exits in the last minute: 0, 1, 2, 4 … 60."""
    return 0.0 if exits <= 1 else min(LAST_PAUSE, FIRST_PAUSE * 2 ** (exits - 2))


class Healer:
    """Replaces what ended by itself, for one app."""

    def __init__(self, loop: AppLoop) -> None:
        self._loop = loop
        self._exits: list[float] = []

    async def ended(self, ended: Exit) -> None:
        """An instance outside a rollout ended. The turn is ours."""
        book = self._loop.book
        active = book.record.active
        if active and ended.instance in {i.id for i in active.instances}:
            put = book.with_active(_without(active, ended.instance), book.record.healing)
            text = f"{ended.instance} {ended}" + (f"; the end of its log:\n{ended.log_tail}" if ended.log_tail else "")
            await book.save(*put, notes=[book.note("exit", text)])
            await self._loop.mend_route()
            self._count()
            if not await self._send_back():
                self.check()
            return
        for retiring in list(book.retiring.values()):
            await self._retired_ended(retiring, ended)

    async def _retired_ended(self, record: RetiringRecord, ended: Exit) -> None:
        running = record.retiring.running
        if ended.instance not in {i.id for i in running.instances}:
            return
        loop = self._loop
        loop.retirer.keep(record)
        left = RetiringRecord(retiring=replace(record.retiring, running=_without(running, ended.instance)))
        note = loop.book.note("exit", f"{ended.instance}, retired, {ended}")
        await loop.book.save(*([left] if left.retiring.running.instances else []), drop=[record], notes=[note])
        await self._loop.mend_route()
        if left.retiring.running.instances:
            loop.retirer.retire(left)

    def check(self) -> None:
        """Start what the active release lacks, unless that is under way."""
        active = self._loop.book.record.active
        if active is not None and self._lacks(active) > 0 and not self._loop.tasks.busy("heal"):
            self._loop.tasks.spawn("heal", f"{self._loop.book.app.name}: heal", self._heal)

    def _lacks(self, active: Running) -> int:
        """Of what the settings want, or of what a rolling rollout has left on purpose."""
        wanted = self._loop.book.releases[active.release].app.instances
        rollout = self._loop.book.rollout.rollout if self._loop.book.rollout else None
        if rollout and rollout.done and len(rollout.steps) > 1 and rollout.phase is not Phase.ROLLING_BACK:
            wanted = min(wanted, rollout.steps[rollout.done - 1].old)
        return wanted - len(active.instances)

    def _count(self) -> None:
        now = self._loop.ports.clock.monotonic()
        self._exits = [t for t in self._exits if now - t < LOOP_SECONDS] + [now]

    async def _send_back(self, failed: int = 0) -> bool:
        """A crash loop, or too many starts that failed: back to the last release that was kept before this one."""
        book = self._loop.book
        active = book.record.active
        if max(failed, len(self._exits)) < LOOP_EXITS or book.rollout is not None or active is None:
            return False
        earlier = previous(book.releases.values(), active.release)
        if earlier is None:
            return False
        self._exits.clear()
        await self._loop.roll_back(earlier, f"crash loop of release {active.release}")
        return True

    async def _heal(self) -> None:
        """Until the active release, whichever that is by then, is whole."""
        failed = 0
        while True:
            active = self._loop.book.record.active
            if active is None or self._lacks(active) <= 0:
                return
            await asyncio.sleep(pause(len(self._exits)))
            release = self._loop.book.release(active.release).release
            if release is not None and await self._replace(release, active):
                continue
            failed += 1
            self._count()
            async with self._loop.turn:
                failed = 0 if await self._send_back(failed) else failed

    async def _replace(self, release: Release, active: Running) -> bool:
        loop = self._loop
        ordinal = next(n for n in range(release.app.instances) if n not in {i.ordinal for i in active.instances})
        stamp = f"{loop.ports.clock.monotonic():.3f}".replace(".", "")
        instance = Instance(
            id=f"{release.app.name}-{release.number}-{active.rollout}-{ordinal}-{stamp}",
            app=release.app.name,
            release=release.number,
            ordinal=ordinal,
        )
        async with loop.turn:
            if not self._still(active) or self._lacks(active) <= 0:
                return True
            await loop.book.save(replace(loop.book.record, healing=instance))
        try:
            instance = await loop.ports.runners[release.app.kind].start(release, instance)
        except ReleaseError as exc:
            await self._say(f"{instance.id} could not be started: {exc}")
            return await self._given_up(instance)
        if not await self._ready(release, instance):
            return await self._given_up(instance)
        return await self._joined(instance, active)

    async def _ready(self, release: Release, instance: Instance) -> bool:
        ready = release.app.ready
        clock = self._loop.ports.clock
        until = clock.monotonic() + ready.deadline
        good, answer = 0, None
        while good < ready.successes and clock.monotonic() < until:
            answer = await self._loop.ports.probes.probe(release.app, instance, ready)
            good = good + 1 if answer.ok else 0
            await asyncio.sleep(ready.interval)
        if good < ready.successes and answer:
            await self._say(f"{instance.id} did not become ready: {answer.url} {answer.problem}")
        return good >= ready.successes

    async def _joined(self, instance: Instance, active: Running) -> bool:
        """Into the active release, if it is still that one."""
        loop = self._loop
        async with loop.turn:
            now = loop.book.record.active
            if now is not None and self._still(active) and self._lacks(now) > 0:
                whole = replace(now, instances=(*now.instances, instance))
                note = loop.book.note("exit", f"{instance.id} was started in its place")
                await loop.book.save(*loop.book.with_active(whole), notes=[note])
                await self._loop.mend_route()
                loop.watch(instance)
                return True
        await self._given_up(instance)
        return True

    def _still(self, active: Running) -> bool:
        now = self._loop.book.record.active
        return now is not None and (now.release, now.rollout) == (active.release, active.rollout)

    async def _given_up(self, instance: Instance) -> bool:
        loop = self._loop
        await loop.ports.runners[loop.book.app.kind].stop(instance, loop.book.app.drain.grace)
        async with loop.turn:
            await loop.book.save(replace(loop.book.record, healing=None))
        return False

    async def _say(self, text: str) -> None:
        await self._loop.book.save(notes=[self._loop.book.note("exit", text)])


def _without(running: Running, instance: str) -> Running:
    return replace(running, instances=tuple(i for i in running.instances if i.id != instance))
