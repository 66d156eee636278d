"""What is known of one app, in memory as in the ledger.

``loop.py`` and its neighbours read it freely and change it only through ``save``, which commits
first and shows the change afterwards: what memory says was durable before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, assert_never

from noren.core.errors import UsageError
from noren.core.model import App, Instance, Release
from noren.core.phase import Phase
from noren.core.quarantine import Quarantined
from noren.core.record import (
    AppRecord,
    DeliveryRecord,
    MessageRecord,
    Note,
    PreviewsRecord,
    QuarantineRecord,
    ReceiptRecord,
    Record,
    ReleaseRecord,
    RetiringRecord,
    RolloutRecord,
)
from noren.core.retire import Running
from noren.core.rollout import Rollout
from noren.engine.ports import Clock, Ledger


class Book:
    """The records of one app. ``changed``, shared by all apps, is notified after each save."""

    def __init__(self, app: App, ledger: Ledger, clock: Clock, changed: asyncio.Condition) -> None:
        self.app = app
        self.clock = clock
        self.record = AppRecord(name=app.name)
        self.rollout: RolloutRecord | None = None
        self.releases: dict[int, ReleaseRecord] = {}
        self.retiring: dict[str, RetiringRecord] = {}
        self.quarantine: dict[str, QuarantineRecord] = {}
        self.messages: dict[str, MessageRecord] = {}
        self.previews = PreviewsRecord()
        self.deliveries: dict[str, DeliveryRecord] = {}
        self.changed = changed
        self._ledger = ledger

    async def load(self) -> None:
        """Take everything from the ledger."""
        for record in await self._ledger.load(self.app.name):
            self._put(record)
        oldest_first = sorted(self.retiring.values(), key=lambda r: r.retiring.until)
        self.retiring = {record.key: record for record in oldest_first}
        self.deliveries = dict(sorted(self.deliveries.items(), key=lambda entry: entry[1].at))

    async def save(self, *put: Record, drop: Sequence[Record] = (), notes: Sequence[Note] = ()) -> None:
        """Commit, then show. Raises StateError with nothing shown."""
        await self._ledger.commit(self.app.name, put, drop=drop, notes=notes)
        for record in drop:
            self._drop(record)
        for record in put:
            self._put(record)
        async with self.changed:
            self.changed.notify_all()

    async def history(self, newest: int) -> Sequence[dict[str, Any]]:
        """The newest lines of this app's history, oldest first."""
        return await self._ledger.notes(self.app.name, -newest, newest)

    def note(self, kind: str, text: str, rollout: Rollout | None = None) -> Note:
        """A line of history, now."""
        phase = rollout.phase.value if rollout else None
        return Note(at=self.clock.utc(), text=text, kind=kind, rollout=rollout.id if rollout else None, phase=phase)

    @property
    def quarantined(self) -> tuple[Quarantined, ...]:
        """What no trigger may try again."""
        return tuple(r.quarantined for r in self.quarantine.values())

    @property
    def built(self) -> dict[int, Release]:
        """Every release whose artifact is there."""
        return {n: r.release for n, r in self.releases.items() if r.release is not None}

    @property
    def serving(self) -> Running | None:
        """What new requests get now: the candidate from its full switch on."""
        if self.rollout and self.rollout.rollout.phase is Phase.BAKING:
            return self.rollout.rollout.running
        return self.record.active

    @property
    def instances(self) -> list[Instance]:
        """Every instance that may run: of the candidate, active and retiring releases, the healer, and those left."""
        candidate = self.rollout.rollout.running if self.rollout else None
        running = [candidate, self.record.active, *(r.retiring.running for r in self.retiring.values())]
        healing = [self.record.healing] if self.record.healing else []
        return [instance for one in running if one for instance in one.instances] + healing + [*self.record.left]

    def with_active(
        self, active: Running, healing: Instance | None = None, exited: Instance | None = None
    ) -> list[Record]:
        """The records when other instances of the active release run; a rollout under way goes back to these.

        What ``exited`` left behind is owed.
        """
        record = self.record.owing(exited) if exited else self.record
        put: list[Record] = [replace(record, active=active, healing=healing)]
        under_way = self.rollout
        if under_way and under_way.rollout.old and not under_way.rollout.phase.over:
            put.append(replace(under_way, rollout=replace(under_way.rollout, old=active)))
        return put

    def release(self, number: int) -> ReleaseRecord:
        """A release by number; raises UsageError when there is none."""
        release = self.releases.get(number)
        if release is None:
            raise UsageError(f"{self.app.name} has no release {number}", hint=f"noren releases {self.app.name}")
        return release

    def _put(self, record: Record) -> None:
        match record:
            case AppRecord():
                self.record = record
            case RolloutRecord():
                self.rollout = record
            case ReleaseRecord():
                self.releases[record.number] = record
            case RetiringRecord():
                self.retiring[record.key] = record
            case QuarantineRecord():
                self.quarantine[record.key] = record
            case MessageRecord():
                self.messages[record.key] = record
            case PreviewsRecord():
                self.previews = record
            case DeliveryRecord():
                self.deliveries[record.key] = record
            case ReceiptRecord():
                pass  # read from the ledger when asked for
            case _:
                assert_never(record)

    def _drop(self, record: Record) -> None:
        match record:
            case RolloutRecord():
                self.rollout = None
            case RetiringRecord():
                self.retiring.pop(record.key, None)
            case QuarantineRecord():
                self.quarantine.pop(record.key, None)
            case ReleaseRecord():
                self.releases.pop(record.number, None)
            case MessageRecord():
                self.messages.pop(record.key, None)
            case AppRecord() | ReceiptRecord() | DeliveryRecord() | PreviewsRecord():
                pass
            case _:
                assert_never(record)
