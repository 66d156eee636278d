"""One app's life: what is wanted, the rollout under way, what it leaves behind.

``host.py`` makes one per app; triggers and people call it, ports answer it, and everything
happens under one lock, in order. It feeds ``core.rollout.step``, commits what comes back, and
only then lets ``Executor`` act.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from noren.core import events as e
from noren.core.errors import NorenError, TrafficError, UsageError
from noren.core.instructions import Instruction
from noren.core.model import App, Artifact, Commit, Instance, settings_digest
from noren.core.phase import Phase
from noren.core.quarantine import find
from noren.core.record import AppRecord, Choice, Note, Record, ReleaseRecord, RetiringRecord, RolloutRecord
from noren.core.retire import RetirePhase, Retiring, Running
from noren.core.rollout import Rollout, RolloutKind, step
from noren.core.schedule import BURST, QUIET, Wanted, consider, retry_delay
from noren.core.traffic import Observation
from noren.core.window import opens
from noren.engine.book import Book
from noren.engine.conclude import Conclusion
from noren.engine.execute import Executor
from noren.engine.found import take_over
from noren.engine.heal import Healer
from noren.engine.ports import Ports
from noren.engine.rebuild import Rebuilder
from noren.engine.retire import Retirer
from noren.engine.router import Router
from noren.engine.shared import Shared
from noren.engine.statuses import Statuses
from noren.engine.tasks import Tasks
from noren.engine.tell import Teller
from noren.timetable import NAP, moment, rfc3339

_QUIET = (e.Probed, e.Observed)  # events that are recorded only when they change the phase


class AppLoop:
    """Serialises everything that happens to one app."""

    def __init__(self, book: Book, ports: Ports, group: asyncio.TaskGroup, superfluous: Callable[[], None]) -> None:
        """``superfluous`` is called when a release may no longer be needed."""
        shared = Shared(book=book, ports=ports, tasks=Tasks(group, self._fault))
        self.book, self.ports, self.tasks, self.turn = book, ports, shared.tasks, shared.turn
        self.shared = shared
        self.router = Router(shared)
        self.statuses = Statuses(shared)
        self.left_out: dict[int, tuple[str, str]] = {}  # pull requests without a preview: their head, and why
        self.source_problem = self.preview_problem = ""
        self.retirer = Retirer(shared, self.router, superfluous)
        self.healer = Healer(shared, self.router, self.retirer, watch=self.watch, roll_back=self.roll_back)
        self.teller = Teller(shared)
        self.rebuilder = Rebuilder(shared, self.teller, next_=self.next, upgrade=self.upgrade, superfluous=superfluous)
        self.absent = False  # it left the settings: what a trigger wanted is not begun, what is under way goes on
        self._superfluous = superfluous
        self._burst = self._settled = 0.0  # when a burst of commits began, and when it counts as over
        self._executor = Executor(book, ports)
        self._conclusion = Conclusion(book, ports)

    async def found(
        self, tip: str, commit: Commit, trigger: str, *, since: Choice, look_again: Callable[[], None]
    ) -> None:
        """A trigger saw a tip that was not considered yet, which leads to this commit.

        ``since`` is what had been chosen when the trigger began to look. When something else was meanwhile, by a
        person's deploy say, what was seen may be older than that: nothing is considered, and it is to look again.
        """
        async with self.turn:
            if self.book.record.choice == since:
                await self._consider(self.book.record, tip, commit, trigger)
            else:
                look_again()

    async def came(self, at: str, tip: str, commit: Commit, *, since: Choice) -> None:
        """A scheduled time came: release the tip if it was not considered yet, else build again what is active.

        ``since`` is as in ``found``. When something else was chosen meanwhile the time counts as not followed yet.
        """
        async with self.turn:
            book = self.book
            if book.record.hold or book.record.choice != since:
                return
            record = replace(book.record, scheduled=book.clock.utc())
            if tip == record.tip or not await self._consider(record, tip, commit, "schedule"):
                await self.rebuilder.want(replace(book.record, scheduled=record.scheduled), at)

    async def _consider(self, record: AppRecord, tip: str, commit: Commit, trigger: str) -> bool:
        """Whether it is wanted now, or was settled otherwise. The turn is ours."""
        book = self.book
        wanted = Wanted(revision=commit.revision, trigger=trigger)
        digest = settings_digest(book.app)
        passed = consider(
            wanted,
            settings=digest,
            last_revision=record.revision,
            last_settings=record.settings,
            hold=record.hold,
            quarantined=book.quarantined,
            tag=commit.tag,
            last_tag=record.tag,
        )
        if (passed and not passed.settled) or (book.app.tags and not commit.tag):
            return False  # considered again at the next look; a tag that was moved meanwhile leads elsewhere by then
        considered = replace(record, tip=tip, revision=commit.revision, settings=digest)
        if passed:
            text = f"{named(commit)} is no upgrade: {passed.reason}"
            await book.save(considered, notes=[book.note("trigger", text)])
            return False
        moved = ", moved" if commit.tag and commit.tag == record.tag else ""
        text = f"{trigger}: {named(commit)}{moved} {commit.subject!r} by {commit.author}"
        considered = replace(considered, pinned=None, tag=commit.tag or record.tag)
        await self.want(considered, wanted, book.note("trigger", text))
        return True

    async def want(self, record: AppRecord, wanted: Wanted, note: Note) -> int:
        """Queue a revision, the newest wins; the number its rollout will have. The turn is ours."""
        opens = self.opens(wanted)
        waits = [self.book.note("trigger", f"waits for its window, which opens at {rfc3339(opens)}")] if opens else []
        await self.book.save(replace(record, wanted=wanted), notes=[note, *waits])
        self.tasks.cancel("retry")
        self.tasks.cancel("rebuild")
        under_way = self.book.rollout
        self._settle(wanted)
        if under_way is None:
            await self.next()
            return self.book.record.rollouts + (self.book.rollout is None)
        if opens is None and under_way.rollout.supersedable:
            await self.take(e.Superseded(rollout=under_way.rollout.id, by=wanted.revision[:12]))
        return self.book.record.rollouts if self.book.record.wanted is None else self.book.record.rollouts + 1

    async def next(self) -> None:
        """Begin what is wanted, if nothing is under way and what came meanwhile does not bar it. The turn is ours."""
        book = self.book
        wanted = book.record.wanted
        self.tasks.cancel("window")
        self.tasks.cancel("settle")
        stopped = book.record.hold or self.absent
        if wanted is None or book.rollout is not None or (stopped and not wanted.manual):
            return
        if opens := self.opens(wanted):
            self.tasks.spawn("window", f"{book.app.name}: window", self._wait_for_window, opens)
            return
        if wanted.rebuilt:
            self.rebuilder.start(wanted)
            return
        if (quiet := self._settled - self.ports.clock.monotonic()) > 0 and wanted.automatic:
            self.tasks.spawn("settle", f"{book.app.name}: settle", self._retry, quiet)
            return
        barred = find(book.quarantined, wanted.revision, settings_digest(book.app))
        if barred is None or wanted.manual:
            await self.upgrade(wanted)
            return
        text = f"{wanted.revision[:12]} is no upgrade: quarantined since {barred.since}: {barred.reason}"
        await book.save(replace(book.record, wanted=None), notes=[book.note("trigger", text)])

    def _settle(self, wanted: Wanted) -> None:
        """A commit that takes the place of another is not begun before they have ceased to come. The turn is ours."""
        now = self.ports.clock.monotonic()
        going_on = now < self._settled
        under_way = self.book.rollout
        if going_on or (under_way and under_way.rollout.supersedable and wanted.automatic):
            self._burst = self._burst if going_on else now
            self._settled = min(now + QUIET, self._burst + BURST)

    def opens(self, wanted: Wanted) -> datetime | None:
        """When the window opens that it waits for; None when it waits for none."""
        triggers = self.book.app.triggers
        if not wanted.automatic or not triggers.windows:
            return None
        return opens(triggers.windows, ZoneInfo(triggers.timezone), moment(self.ports.clock.utc()))

    async def _wait_for_window(self, opens: datetime) -> None:
        delay = (opens - moment(self.ports.clock.utc())).total_seconds()
        await asyncio.sleep(min(max(delay, 0.1), NAP))
        async with self.turn:
            await self.next()

    async def upgrade(self, wanted: Wanted) -> None:
        """Begin the rollout of a revision with the settings of now. The turn is ours."""
        book = self.book
        if not await take_over(self.shared):
            await self._later(wanted)  # it would have nothing to go back to
            return
        record = replace(book.record, releases=book.record.releases + 1, wanted=None)
        rebuilt = wanted.rebuilt or self._built_last(wanted.revision)
        rollout = self.rollout(RolloutKind.UPGRADE, record.releases, wanted.revision, wanted.trigger)
        rollout = replace(rollout, rebuilt=rebuilt)
        release = ReleaseRecord(
            number=record.releases,
            revision=wanted.revision,
            settings=settings_digest(book.app),
            app=book.app,
            rebuilt=rebuilt,
        )
        await self.begin(rollout, record, release, wanted=wanted)

    async def _later(self, wanted: Wanted) -> None:
        again = wanted.again()
        await self.book.save(replace(self.book.record, wanted=again))
        self._retry_in(retry_delay(again.attempt))

    def _built_last(self, revision: str) -> str | None:
        """What is active was built again since its commit: the same revision is not to go back to its first build."""
        active = self.book.record.active
        release = self.book.releases[active.release] if active else None
        return release.rebuilt if release and release.revision == revision else None

    async def roll_back(self, target: ReleaseRecord, trigger: str) -> int:
        """Begin the way back to a release: at once when it is still warm. The turn is ours."""
        warm = self._warm(target.number)
        if warm:
            self.retirer.keep(warm)
        rollout = self.rollout(
            RolloutKind.ROLLBACK,
            target.number,
            target.revision,
            trigger,
            app=target.app,
            artifact=target.artifact,
            running=warm.retiring.running if warm else None,
        )
        return await self.begin(rollout, self.book.record, drop=(warm,) if warm else ())

    def _warm(self, number: int) -> RetiringRecord | None:
        for record in self.book.retiring.values():
            retiring = record.retiring
            if retiring.running.release == number and retiring.phase is RetirePhase.WARM and not retiring.faulty:
                return record
        return None

    async def restart(self, trigger: str) -> int:
        """Begin to replace the instances of the active release by new ones. The turn is ours."""
        active = self.book.record.active
        if active is None:
            raise UsageError(f"{self.book.app.name} has no active release to restart")
        record = self.book.release(active.release)
        rollout = self.rollout(
            RolloutKind.RESTART, record.number, record.revision, trigger, app=record.app, artifact=record.artifact
        )
        return await self.begin(rollout, self.book.record)

    def rollout(
        self,
        kind: RolloutKind,
        number: int,
        revision: str,
        trigger: str,
        *,
        app: App | None = None,
        artifact: Artifact | None = None,
        running: Running | None = None,
    ) -> Rollout:
        """The next rollout of this app, from what is active now."""
        record = self.book.record
        return Rollout(
            id=record.rollouts + 1,
            app=app or self.book.app,
            kind=kind,
            number=number,
            revision=revision,
            trigger=trigger,
            old=record.active,
            artifact=artifact,
            running=running,
        )

    async def begin(
        self,
        rollout: Rollout,
        record: AppRecord,
        *put: Record,
        drop: tuple[Record, ...] = (),
        wanted: Wanted | None = None,
    ) -> int:
        """Commit the intent, then let it go. The turn is ours, and no rollout is under way."""
        clock = self.ports.clock
        now = clock.monotonic()
        started = RolloutRecord(
            rollout=rollout,
            started_at=clock.utc(),
            intent=now,
            entered=now,
            wanted=wanted,
            at_intent=await self._observation(),
        )
        note = self.book.note("rollout", f"{rollout.kind} to release {rollout.number}: {rollout.trigger}", rollout)
        await self.book.save(replace(record, rollouts=rollout.id), started, *put, drop=drop, notes=[note])
        await self.take(e.Begun(rollout=rollout.id))
        self.statuses.tell()
        return rollout.id

    async def handle(self, event: e.Event) -> None:
        """Take one event in; a stranger (of another rollout, or too late) is dropped."""
        async with self.turn:
            await self.take(event)

    async def take(self, event: e.Event) -> None:
        """As ``handle``, where the turn is ours already."""
        record = self.book.rollout
        if record is None or record.rollout.id != event.rollout:
            return
        before = record.rollout
        after, instructions = step(before, event, self.ports.clock.monotonic())
        if after.phase is before.phase and isinstance(event, _QUIET):
            self.book.rollout = replace(record, rollout=after)
        else:
            await self._advance(record, after, event, instructions)
        if (after.phase, after.deadline) != (before.phase, before.deadline):
            self._set_deadline(after)

    async def _advance(
        self, record: RolloutRecord, after: Rollout, event: e.Event, instructions: list[Instruction]
    ) -> None:
        book = self.book
        before = record.rollout
        moved_on = after.phase is not before.phase
        record = await self._measured(replace(record, rollout=after), event, before.phase)
        left = self._left_behind(before, after)
        notes = [] if after.phase.over else [book.note("rollout", str(event), after)]  # the outcome says it all
        await book.save(record, *self._facts(after, event), *left, notes=notes)
        if moved_on:
            self.tasks.cancel("phase")
        if isinstance(event, e.Started):
            self.watch(event.instance)
        for retiring in left:
            if isinstance(retiring, RetiringRecord):
                self.retirer.retire(retiring)
        if after.phase.over:
            await self.conclude(record)
        for instruction in instructions:
            self.tasks.spawn("phase", f"{book.app.name}: {instruction}", self._execute, instruction, after)

    async def _measured(self, record: RolloutRecord, event: e.Event, phase: Phase) -> RolloutRecord:
        """With the time the phase took, and the counters just before the first switch."""
        now = self.ports.clock.monotonic()
        if record.rollout.phase is not phase:
            record = replace(record, phases=(*record.phases, (phase.value, now - record.entered)), entered=now)
        if record.rollout.phase is Phase.SHIFTING and record.at_switch is None:
            record = replace(record, at_switch=await self._observation(), switched=now)
        if isinstance(event, e.Shifted):
            record = replace(record, switch_ms=round(event.ms, 3), switched_at=self.ports.clock.utc())
        return record

    def _facts(self, rollout: Rollout, event: e.Event) -> list[Record]:
        if not isinstance(event, e.Built):
            return []
        release = self.book.releases[rollout.number]
        return [replace(release, artifact=event.artifact, built_at=self.ports.clock.utc())]

    def _left_behind(self, before: Rollout, after: Rollout) -> list[Record]:
        """What a rolling step leaves of the old release: out of use, to be drained."""
        if before.old is None or after.old is None or before.old == after.old:
            return []
        gone = before.old.instances[len(after.old.instances) :]
        retiring = Retiring(running=replace(before.old, instances=gone), phase=RetirePhase.DRAINING)
        return [replace(self.book.record, active=after.old), RetiringRecord(retiring=retiring)]

    async def _execute(self, instruction: Instruction, rollout: Rollout) -> None:
        """Carry out an instruction for as long as the phase that asked for it lasts."""
        async with aclosing(self._executor.run(instruction, rollout)) as happened:
            async for event in happened:
                await self.handle(event)
                now = self.book.rollout
                if now is None or (now.rollout.id, now.rollout.phase) != (rollout.id, rollout.phase):
                    return

    def _set_deadline(self, rollout: Rollout) -> None:
        self.tasks.cancel("deadline")
        if rollout.deadline is not None and not rollout.phase.over:
            delay = rollout.deadline - self.ports.clock.monotonic()
            self.tasks.spawn("deadline", f"{rollout.app.name}: deadline", self._deadline, rollout.id, delay)

    async def _deadline(self, rollout: int, delay: float) -> None:
        await asyncio.sleep(delay)
        await self.handle(e.DeadlinePassed(rollout=rollout))

    async def conclude(self, record: RolloutRecord) -> None:
        """The rollout has its outcome: receipt, what is active now, what retires, what comes next."""
        self.tasks.cancel("deadline")
        conclusion = await self._conclusion.write(record)
        self.teller.deliver()
        for retiring in conclusion.retired:
            self.retirer.retire(retiring)
        self.retirer.make_room()
        self.healer.check()
        self.statuses.tell()
        self._superfluous()
        if conclusion.retry_in is None:
            await self.next()
        else:
            self._retry_in(conclusion.retry_in)

    def _retry_in(self, delay: float) -> None:
        self.tasks.spawn("retry", f"{self.book.app.name}: retry", self._retry, delay)

    async def _retry(self, delay: float) -> None:
        await asyncio.sleep(delay)
        async with self.turn:
            await self.next()

    def watch(self, instance: Instance) -> None:
        """Learn of the end of an instance."""
        self.tasks.spawn(instance.id, f"{instance.id}: exit", self._watch, instance)

    async def _watch(self, instance: Instance) -> None:
        ended = await self.ports.runners[self.book.app.kind].exited(instance)
        async with self.turn:
            under_way = self.book.rollout
            if under_way and instance.id in {i.id for i in under_way.rollout.instances}:
                await self.take(e.Exited(rollout=under_way.rollout.id, exit=ended))
            else:
                await self.healer.ended(ended)

    async def _observation(self) -> Observation | None:
        try:
            return await self.ports.proxies[self.book.app.kind].observe(self.book.app.name)
        except TrafficError:
            return None

    async def _fault(self, name: str, exc: Exception) -> None:
        """A task ended with an error that no port is allowed to raise: say so, and end the rollout."""
        reason = f"{name} failed: {exc}" if isinstance(exc, NorenError) else f"{name} failed: {exc!r}"
        async with self.turn:
            under_way = self.book.rollout
            await self.book.save(notes=[self.book.note("fault", reason)])
            if under_way and not under_way.rollout.phase.over:
                await self.take(e.Faulted(rollout=under_way.rollout.id, reason=reason))


def named(commit: Commit) -> str:
    """A commit as the history names it, by its tag too where that led to it."""
    return f"{commit.tag} ({commit.revision[:12]})" if commit.tag else commit.revision[:12]
