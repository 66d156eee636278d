"""Keeps the active release at its number of instances.

When an instance of a kept release ends by itself, another one is started in its place, with
back-off; a release that keeps crashing is sent back to the last good one. ``AppLoop`` tells it of exits,
``recover`` has it look after a start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import Exit, Instance, Release
from noren.core.phase import Phase
from noren.core.record import ReleaseRecord, RetiringRecord
from noren.core.release import previous
from noren.core.retire import Running
from noren.engine.retire import Retirer
from noren.engine.router import Router
from noren.engine.shared import Shared

FIRST_PAUSE = 1.0  # seconds before the second try; the first is at once
LAST_PAUSE = 60.0
LOOP_EXITS = 3  # exits …
LOOP_SECONDS = 60.0  # … in so many seconds are a crash loop


def pause(exits: int) -> float:
    """Seconds before the try after so many exits in the last minute: 0, 1, 2, 4 … 60."""
    return 0.0 if exits <= 1 else min(LAST_PAUSE, FIRST_PAUSE * 2 ** (exits - 2))


class Healer:
    """Replaces what ended by itself, for one app."""

    def __init__(
        self,
        shared: Shared,
        router: Router,
        retirer: Retirer,
        *,
        watch: Callable[[Instance], None],
        roll_back: Callable[[ReleaseRecord, str], Awaitable[int]],
    ) -> None:
        """``watch`` learns of the end of an instance, ``roll_back`` begins the way back to a release."""
        self._shared = shared
        self._router = router
        self._retirer = retirer
        self._watch = watch
        self._roll_back = roll_back
        self._exits: list[float] = []
        self._sent_back: Running | None = None

    async def ended(self, ended: Exit) -> None:
        """An instance outside a rollout ended. The turn is ours."""
        book = self._shared.book
        active = book.record.active
        if ended.respected:
            await self._respected(ended)
            return
        if active and (exited := _of(active, ended.instance)):
            put = book.with_active(_without(active, ended.instance), book.record.healing, exited)
            text = f"{ended.instance} {ended}" + (f"; the end of its log:\n{ended.log_tail}" if ended.log_tail else "")
            await book.save(*put, notes=[book.note("exit", text)])
            await self._router.mend()
            self._retirer.sweep(exited)
            self._count()
            if not await self._send_back():
                self.check()
            return
        for retiring in list(book.retiring.values()):
            await self._retired_ended(retiring, ended)

    async def _respected(self, ended: Exit) -> None:
        """Somebody changed it on purpose: said, left alone, and watched on."""
        book = self._shared.book
        await book.save(notes=[book.note("exit", f"{ended.instance} {ended}")])
        for instance in book.instances:
            if instance.id == ended.instance:
                self._watch(instance)

    async def _retired_ended(self, record: RetiringRecord, ended: Exit) -> None:
        running = record.retiring.running
        exited = _of(running, ended.instance)
        if exited is None:
            return
        shared = self._shared
        self._retirer.keep(record)
        left = RetiringRecord(retiring=replace(record.retiring, running=_without(running, ended.instance)))
        note = shared.book.note("exit", f"{ended.instance}, retired, {ended}")
        put = [left] if left.retiring.running.instances else []
        await shared.book.save(shared.book.record.owing(exited), *put, drop=[record], notes=[note])
        await self._router.mend()
        self._retirer.sweep(exited)
        if put:
            self._retirer.retire(left)

    def check(self) -> None:
        """Start what the active release lacks, unless that is under way."""
        active = self._shared.book.record.active
        if active is not None and self._lacks(active) > 0 and not self._shared.tasks.busy("heal"):
            self._shared.tasks.spawn("heal", f"{self._shared.name}: heal", self._heal)

    def _lacks(self, active: Running) -> int:
        """Of what the settings want, or of what a rolling rollout has left on purpose."""
        wanted = self._shared.book.releases[active.release].app.instances
        rollout = self._shared.book.rollout.rollout if self._shared.book.rollout else None
        if rollout and rollout.done and len(rollout.steps) > 1 and rollout.phase is not Phase.ROLLING_BACK:
            wanted = min(wanted, rollout.steps[rollout.done - 1].old)
        return wanted - len(active.instances)

    def _count(self) -> None:
        now = self._shared.ports.clock.monotonic()
        self._exits = [t for t in self._exits if now - t < LOOP_SECONDS] + [now]

    async def _send_back(self, failed: int = 0) -> bool:
        """A crash loop, or too many starts that failed: back to the last release that was kept before this one.

        Once: when that one could not be brought up either, there is only the back-off.
        """
        book = self._shared.book
        active = book.record.active
        if max(failed, len(self._exits)) < LOOP_EXITS or book.rollout is not None or active is None:
            return False
        earlier = previous(book.releases.values(), active.release)
        if earlier is None or (self._sent_back and self._still(self._sent_back)):
            return False
        self._sent_back = active
        self._exits.clear()
        await self._roll_back(earlier, f"crash loop of release {active.release}")
        return True

    async def _heal(self) -> None:
        """Until the active release, whichever that is by then, is whole."""
        failed = 0
        while True:
            active = self._shared.book.record.active
            if active is None or self._lacks(active) <= 0:
                return
            await asyncio.sleep(pause(max(failed, len(self._exits))))
            release = self._shared.book.release(active.release).release
            async with self._shared.ports.starts.turn() as answers:
                if release is not None and await self._replace(release, active, answers):
                    continue
            failed += 1
            self._count()
            async with self._shared.turn:
                failed = 0 if await self._send_back(failed) else failed

    async def _replace(self, release: Release, active: Running, answers: Callable[[], None]) -> bool:
        shared = self._shared
        ordinal = next(n for n in range(release.app.instances) if n not in {i.ordinal for i in active.instances})
        stamp = f"{shared.ports.clock.monotonic():.3f}".replace(".", "")
        instance = Instance(
            id=f"{release.app.name}-{release.number}-{active.rollout}-{ordinal}-{stamp}",
            app=release.app.name,
            release=release.number,
            ordinal=ordinal,
        )
        async with shared.turn:
            if not self._still(active) or self._lacks(active) <= 0:
                return True
            await shared.book.save(replace(shared.book.record, healing=instance))
        try:
            instance = await shared.ports.runners[release.app.kind].start(release, instance)
        except ReleaseError as exc:
            await self._say(f"{instance.id} could not be started: {exc}")
            await self._rebuild(release)
            return await self._given_up(instance)
        if not await self._ready(release, instance, answers):
            return await self._given_up(instance)
        return await self._joined(instance, active)

    async def _rebuild(self, release: Release) -> None:
        """What is missing of the release, after a restored backup, say, is there for the next try; else no change."""
        try:
            await self._shared.ports.source.keep(release.app, release.number, release.revision)
            rebuilt = self._shared.book.release(release.number).rebuilt
            await self._shared.ports.builder.build(release.app, release.revision, rebuilt)
        except ReleaseError as exc:
            await self._say(f"release {release.number} could not be built again: {exc}")

    async def _ready(self, release: Release, instance: Instance, answers: Callable[[], None]) -> bool:
        """``answers`` is called with its first good answer: what follows is waiting, and costs the host nothing."""
        ready = release.app.ready
        clock = self._shared.ports.clock
        until = clock.monotonic() + ready.deadline
        good, answer = 0, None
        exited = asyncio.ensure_future(self._shared.ports.runners[release.app.kind].exited(instance))
        try:
            while clock.monotonic() < until and not exited.done():
                answer = await self._shared.ports.probes[release.app.kind].probe(release.app, instance, ready)
                good = good + 1 if answer.ok else 0
                if good:
                    answers()
                if good >= ready.successes:
                    return True
                await asyncio.wait({exited}, timeout=ready.interval)
        finally:
            exited.cancel()
        if answer:
            await self._say(f"{instance.id} did not become ready: {answer.url} {answer.problem}")
        return False

    async def _joined(self, instance: Instance, active: Running) -> bool:
        """Into the active release, if it is still that one."""
        shared = self._shared
        async with shared.turn:
            now = shared.book.record.active
            if now is not None and self._still(active) and self._lacks(now) > 0:
                whole = replace(now, instances=(*now.instances, instance))
                note = shared.book.note("exit", f"{instance.id} was started in its place")
                await shared.book.save(*shared.book.with_active(whole), notes=[note])
                await self._router.mend()
                self._watch(instance)
                return True
        await self._given_up(instance)
        return True

    def _still(self, active: Running) -> bool:
        now = self._shared.book.record.active
        return now is not None and (now.release, now.rollout) == (active.release, active.rollout)

    async def _given_up(self, instance: Instance) -> bool:
        shared = self._shared
        try:
            await shared.ports.runners[shared.book.app.kind].stop(instance, shared.book.app.drain.grace)
        except OutsideError:
            async with shared.turn:
                await self._retirer.owe(instance)
        async with shared.turn:
            await shared.book.save(replace(shared.book.record, healing=None))
        return False

    async def _say(self, text: str) -> None:
        await self._shared.book.save(notes=[self._shared.book.note("exit", text)])


def _of(running: Running, instance: str) -> Instance | None:
    return next((i for i in running.instances if i.id == instance), None)


def _without(running: Running, instance: str) -> Running:
    return replace(running, instances=tuple(i for i in running.instances if i.id != instance))
