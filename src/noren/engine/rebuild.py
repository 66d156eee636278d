"""Builds again what is active when a schedule comes, and releases it only if the artifact differs.

Used by ``AppLoop``. The build is no rollout: most days it makes what is served already, and then there is
nothing to number, to move or to judge. What is wanted stays in the ledger until the build has answered.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

from noren.core.errors import OutsideError, ReleaseError
from noren.core.message import of_rebuild
from noren.core.model import Artifact, Notify, settings_digest
from noren.core.quarantine import find
from noren.core.record import AppRecord, MessageRecord, ReleaseRecord
from noren.core.rollout import RolloutKind
from noren.core.schedule import Rebuild, Wanted, retry_delay
from noren.engine.shared import Shared
from noren.engine.tell import Teller


class Rebuilder:
    """The scheduled rebuilds of one app."""

    def __init__(
        self,
        shared: Shared,
        teller: Teller,
        *,
        next_: Callable[[], Awaitable[None]],
        upgrade: Callable[[Wanted], Awaitable[None]],
        superfluous: Callable[[], None],
    ) -> None:
        """``next_`` begins what is wanted if it may, ``upgrade`` its rollout; ``superfluous``: a build may go."""
        self._shared = shared
        self._teller = teller
        self._next = next_
        self._upgrade = upgrade
        self._superfluous = superfluous

    async def want(self, record: AppRecord, at: str) -> None:
        """Queue the build for a scheduled time, unless a commit is on its way or it is barred. The turn is ours."""
        book = self._shared.book
        active = self._active()
        upgrading = book.rollout is not None and book.rollout.rollout.kind is RolloutKind.UPGRADE
        if active is None or record.wanted is not None or upgrading:
            await book.save(record)
            await self._next()
            return
        barred = find(book.quarantined, active.revision, settings_digest(book.app))
        if barred:
            text = f"schedule: {active.revision[:12]} is not built again: quarantined since {barred.since}"
            await book.save(record, notes=[book.note("schedule", text)])
            return
        wanted = Wanted(revision=active.revision, trigger="schedule", rebuilt=at)
        note = book.note("schedule", f"schedule: {active.revision[:12]} is built again")
        await book.save(replace(record, wanted=wanted), notes=[note])
        await self._next()

    def start(self, wanted: Wanted) -> None:
        """Build, unless that is under way. The turn is ours."""
        if not self._shared.tasks.busy("rebuild"):
            self._build(wanted)

    def _build(self, wanted: Wanted) -> None:
        self._shared.tasks.spawn("rebuild", f"{self._shared.name}: rebuild", self._rebuild, wanted)

    async def _rebuild(self, wanted: Wanted) -> None:
        shared = self._shared
        app = shared.book.app
        built: Artifact | ReleaseError
        try:
            built = await shared.ports.builder.build(app, wanted.revision, wanted.rebuilt)
        except ReleaseError as exc:
            built = exc
        async with shared.turn:
            if shared.book.record.wanted != wanted:
                return
            if shared.book.app != app:
                self._build(wanted)
            elif isinstance(built, OutsideError):
                await self._try_again(wanted, built)
            elif isinstance(built, ReleaseError):
                await self._failed(wanted, built)
            else:
                await self._built(wanted, built)

    async def _try_again(self, wanted: Wanted, problem: OutsideError) -> None:
        book = self._shared.book
        again = wanted.again()
        delay = retry_delay(again.attempt)
        note = book.note(
            "schedule", f"building {wanted.revision[:12]} again failed, next try in {delay:g} s: {problem}"
        )
        await book.save(replace(book.record, wanted=again), notes=[note])
        self._shared.tasks.spawn("retry", f"{self._shared.name}: retry", self._later, delay)

    async def _later(self, delay: float) -> None:
        await asyncio.sleep(delay)
        async with self._shared.turn:
            await self._next()

    async def _failed(self, wanted: Wanted, problem: ReleaseError) -> None:
        active = self._active()
        stays = f"release {active.number} stays active" if active else "nothing is active"
        told = self._message(wanted, active, problem)
        await self._settle(wanted, f"failed, {stays}, the next schedule tries again: {problem}", *told, failed=True)
        self._teller.deliver()

    def _message(self, wanted: Wanted, active: ReleaseRecord | None, problem: ReleaseError) -> list[MessageRecord]:
        """Of a row of failures the first is told."""
        book, sinks = self._shared.book, tuple(self._shared.ports.notifier.sinks())
        again = book.record.rebuild is not None and book.record.rebuild.failed
        if again or not sinks or book.app.notify is Notify.NONE:
            return []
        told = of_rebuild(
            book.app.name,
            at=wanted.rebuilt or "",
            revision=wanted.revision,
            release=active.number if active else None,
            reason=str(problem),
            now=book.clock.utc(),
        )
        return [MessageRecord(id=told["id"], body=json.dumps(told), sinks=sinks)]

    async def _built(self, wanted: Wanted, artifact: Artifact) -> None:
        book, active = self._shared.book, self._active()
        if active and active.artifact and active.artifact.digest == artifact.digest:
            await self._settle(wanted, f"unchanged: what release {active.number} serves")
            return
        barred = find(book.quarantined, wanted.revision, settings_digest(book.app), artifact.digest)
        if barred:
            await self._settle(wanted, f"no upgrade: quarantined since {barred.since}: {barred.reason}")
        elif book.rollout is None and not book.record.hold:
            result = f"release {book.record.releases + 1}"
            await book.save(replace(book.record, rebuild=self._result(wanted, result, failed=False)))
            await self._upgrade(wanted)

    async def _settle(self, wanted: Wanted, result: str, *told: MessageRecord, failed: bool = False) -> None:
        book = self._shared.book
        record = replace(book.record, wanted=None, rebuild=self._result(wanted, result, failed=failed))
        note = book.note("schedule", f"{wanted.revision[:12]} built again: {result}")
        await book.save(record, *told, notes=[note])
        self._superfluous()

    @staticmethod
    def _result(wanted: Wanted, result: str, *, failed: bool) -> Rebuild:
        return Rebuild(at=wanted.rebuilt or "", revision=wanted.revision, failed=failed, result=result)

    def _active(self) -> ReleaseRecord | None:
        active = self._shared.book.record.active
        return self._shared.book.releases[active.release] if active else None
