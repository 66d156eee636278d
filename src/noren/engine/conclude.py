"""What follows from the outcome of a rollout, in one commit.

Called by ``AppLoop`` once a rollout is over (and again by ``recover`` when a crash came between):
the receipt, what is active now, what retires, what is quarantined, what is tried again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from noren.core import message
from noren.core.errors import TrafficError
from noren.core.phase import Phase
from noren.core.quarantine import Quarantined
from noren.core.receipt import BEFORE, receipt
from noren.core.record import (
    AppRecord,
    MessageRecord,
    QuarantineRecord,
    ReceiptRecord,
    Record,
    ReleaseRecord,
    RetiringRecord,
    RolloutRecord,
)
from noren.core.retire import RetirePhase, Retiring, Running
from noren.core.rollout import Rollout, RolloutKind
from noren.core.schedule import Wanted, retry_delay
from noren.core.traffic import Observation
from noren.core.verdict import Fault, Outcome, Verdict
from noren.engine.book import Book
from noren.engine.ports import Ports, Proxy

_HISTORY = 300  # newest lines of an app among which those of one rollout are looked for


@dataclass(frozen=True, slots=True)
class Concluded:
    """What to set going: releases to retire, and in how many seconds to try again (None: not)."""

    retired: tuple[RetiringRecord, ...]
    retry_in: float | None


class Conclusion:
    """Writes the outcomes of one app's rollouts."""

    def __init__(self, book: Book, ports: Ports) -> None:
        self._book = book
        self._ports = ports

    async def write(self, record: RolloutRecord) -> Concluded:
        """Commit everything that follows."""
        rollout = record.rollout
        verdict = _verdict(rollout)
        app, retry_in = self._app(rollout, verdict, record.wanted)
        retired = self._retired(rollout)
        written = await self._receipt(record)
        put: list[Record] = [app, *retired, *self._releases(rollout, verdict)]
        put += self._quarantined(rollout, verdict, record.wanted)
        put.append(ReceiptRecord(rollout=rollout.id, body=json.dumps(written)))
        put += self._message(written, record.wanted)
        note = self._book.note("outcome", verdict.reason, rollout)
        await self._book.save(*put, drop=[record], notes=[note])
        return Concluded(retired, retry_in)

    def _app(self, rollout: Rollout, verdict: Verdict, tried: Wanted | None) -> tuple[AppRecord, float | None]:
        record = self._book.record
        if verdict.outcome is Outcome.KEPT:
            now = self._ports.clock.utc()
            pinned = rollout.revision if rollout.kind is RolloutKind.ROLLBACK else record.pinned
            return replace(
                record, active=rollout.running, active_since=now, last_good=rollout.number, pinned=pinned
            ), None
        if verdict.fault is Fault.OUTSIDE and tried is not None and record.wanted is None:
            again = tried.again()
            return replace(record, wanted=again), retry_delay(again.attempt)
        return record, None

    def _retired(self, rollout: Rollout) -> tuple[RetiringRecord, ...]:
        until = self._ports.clock.monotonic() + self._book.app.keep_warm
        match rollout.phase:
            case Phase.KEPT if rollout.kind is RolloutKind.RESTART:
                return _retiring(rollout.old, RetirePhase.DRAINING)
            case Phase.KEPT:
                return _retiring(rollout.old, RetirePhase.WARM, until=until)
            case Phase.ROLLED_BACK:
                return _retiring(rollout.running, RetirePhase.DRAINING, faulty=True)
            case Phase.STUCK:
                return _retiring(rollout.running, RetirePhase.WARM, until=until, faulty=True)
            case _:
                return ()

    def _releases(self, rollout: Rollout, verdict: Verdict) -> list[ReleaseRecord]:
        releases = self._book.releases
        if rollout.kind is RolloutKind.UPGRADE:
            return [replace(releases[rollout.number], outcome=verdict.outcome, reason=verdict.reason)]
        left = self._left(rollout, verdict)
        return [replace(left, outcome=Outcome.ROLLED_BACK, reason=_left_by(rollout))] if left else []

    def _left(self, rollout: Rollout, verdict: Verdict) -> ReleaseRecord | None:
        """The release that a manual rollback left behind."""
        if rollout.kind is not RolloutKind.ROLLBACK or verdict.outcome is not Outcome.KEPT or rollout.old is None:
            return None
        return self._book.releases[rollout.old.release] if rollout.old.release != rollout.number else None

    def _quarantined(self, rollout: Rollout, verdict: Verdict, tried: Wanted | None) -> list[QuarantineRecord]:
        left = self._left(rollout, verdict)
        if left is not None:
            return [self._quarantine(left, _left_by(rollout))]
        if verdict.fault is not Fault.OWN or rollout.kind is not RolloutKind.UPGRADE:
            return []
        release = self._book.releases[rollout.number]
        if tried is None or tried.rebuilt is None:
            return [self._quarantine(release, verdict.reason)]
        # The revision was good before: only what was made of it this time is barred, and the next schedule tries again.
        digest = rollout.artifact.digest if rollout.artifact else None
        return [self._quarantine(release, verdict.reason, digest)] if digest else []

    def _quarantine(self, release: ReleaseRecord, reason: str, artifact: str | None = None) -> QuarantineRecord:
        return QuarantineRecord(
            quarantined=Quarantined(
                revision=release.revision,
                settings=release.settings,
                reason=reason,
                since=self._ports.clock.utc(),
                artifact=artifact,
            )
        )

    def _message(self, written: dict[str, Any], tried: Wanted | None) -> list[MessageRecord]:
        sinks = tuple(self._ports.notifier.sinks())
        attempt = tried.attempt if tried else 0
        if not sinks or not message.worth(written, self._book.app.notify, attempt):
            return []
        told = message.of_receipt(written)
        return [MessageRecord(id=told["id"], body=json.dumps(told), sinks=sinks)]

    async def _receipt(self, record: RolloutRecord) -> dict[str, Any]:
        app, proxy = record.rollout.app.name, self._ports.proxies[record.rollout.app.kind]
        lines = await self._book.history(_HISTORY)
        final, carried = await self._final(proxy, app)
        return receipt(
            record,
            ended_at=self._ports.clock.utc(),
            final=final,
            carried=carried,
            samples=proxy.samples(app, record.intent - BEFORE),
            verdict_at=self._ports.clock.monotonic(),
            events=[line for line in lines if line["rollout"] == record.rollout.id],
        )

    @staticmethod
    async def _final(proxy: Proxy, app: str) -> tuple[Observation | None, bool]:
        """The last counters, and whether a proxy of ours carries the traffic at all."""
        try:
            final = await proxy.observe(app)
        except TrafficError:
            return None, True
        return final, final is not None


def _verdict(rollout: Rollout) -> Verdict:
    assert rollout.verdict is not None
    return rollout.verdict


def _left_by(rollout: Rollout) -> str:
    return f"left by a rollback to release {rollout.number} ({rollout.trigger})"


def _retiring(
    running: Running | None, phase: RetirePhase, *, until: float = 0.0, faulty: bool = False
) -> tuple[RetiringRecord, ...]:
    if running is None or not running.instances:
        return ()
    return (RetiringRecord(retiring=Retiring(running=running, phase=phase, until=until, faulty=faulty)),)
