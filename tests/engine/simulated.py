"""A slower, moodier world than ``fakes``: revisions have natures, starts take time, quarantine is guarded.

``test_simulator.py`` runs the real engine in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum

from noren.core.errors import OutsideError, ReleaseError, StateError
from noren.core.model import App, Artifact, Exit, Instance, ProbeAnswer, Ready, Release
from noren.core.phase import Phase
from noren.core.record import Note, QuarantineRecord, Record, RolloutRecord
from noren.core.rollout import RolloutKind
from tests.fakes import FakeBuilder, FakeLedger, FakeProbes, FakeProxy, FakeRunner, World


class Nature(Enum):
    """What is wrong with a revision."""

    GOOD = "good"
    BREAKS_BUILD = "its build fails"
    LOSES_NETWORK = "its first build fails by the network"
    REFUSES_START = "cannot be started"
    NEVER_READY = "answers no probe well"
    DIES = "exits a second after its start"
    FLAPS = "answers every other probe badly"
    ERRS = "answers every request with an error"


class MoodyBuilder(FakeBuilder):
    def __init__(self, natures: dict[str, Nature]) -> None:
        super().__init__()
        self._natures = natures

    async def build(self, app: App, revision: str, rebuilt: str | None = None) -> Artifact:
        nature = self._natures[revision]
        if nature is Nature.BREAKS_BUILD:
            self.failing[revision] = ReleaseError("exit code 3")
        if nature is Nature.LOSES_NETWORK:
            self._natures[revision] = Nature.GOOD
            await asyncio.sleep(self.seconds)
            raise OutsideError("no network")
        return await super().build(app, revision, rebuilt)


class MoodyRunner(FakeRunner):
    """A start takes a while, and a process may be there though the start was cancelled."""

    def __init__(self, natures: dict[str, Nature], proxy: FakeProxy) -> None:
        super().__init__()
        self.revisions: dict[str, str] = {}
        self._natures = natures
        self._proxy = proxy

    def nature(self, instance: Instance) -> Nature:
        return self._natures[self.revisions[instance.id]]

    async def start(self, release: Release, instance: Instance) -> Instance:
        nature = self._natures[release.revision]
        self.revisions[instance.id] = release.revision
        if nature is Nature.REFUSES_START:
            raise ReleaseError("no such file")
        if nature is Nature.ERRS:
            self._proxy.failing[release.number] = 1.0
        running = await super().start(release, instance)
        await asyncio.sleep(0.2)
        return running

    async def exited(self, instance: Instance) -> Exit:
        if instance.id in self.alive and self.nature(instance) is Nature.DIES:
            await asyncio.sleep(1.0)
            if self.alive.pop(instance.id, None):
                self.children.add(instance.id)
        return await super().exited(instance)

    async def stop(self, instance: Instance, grace: float) -> None:
        await asyncio.sleep(0.1)
        await super().stop(instance, grace)


class MoodyProbes(FakeProbes):
    def __init__(self, runner: MoodyRunner) -> None:
        super().__init__(runner)
        self._moody = runner
        self._turn = 0

    async def probe(self, app: App, instance: Instance, ready: Ready) -> ProbeAnswer:
        answer = await super().probe(app, instance, ready)
        self._turn += 1
        if answer.ok and self._moody.nature(instance) is Nature.FLAPS and self._turn % 2:
            return replace(answer, ok=False, status=503, problem="answered 503")
        if answer.ok and self._moody.nature(instance) is Nature.NEVER_READY:
            return replace(answer, ok=False, status=500, problem="answered 500")
        return answer


class SlowProxy(FakeProxy):
    """Draining takes a while, so that several releases retire at a time."""

    async def drain(self, app: str, instances: Sequence[str], *, requests: float, connections: float) -> int:
        await asyncio.sleep(min(connections, 20.0))
        return await super().drain(app, instances, requests=requests, connections=connections)


class GuardedLedger(FakeLedger):
    """Notices a trigger that tries what is quarantined, and a release number that comes twice."""

    def __init__(self) -> None:
        super().__init__()
        self.violations: list[str] = []
        self.crash: Callable[[], None] = lambda: None
        self._crash_in: int | None = None
        self._written = False
        self._dead = False

    def reopen(self) -> None:
        """What a new life begins with."""
        self._dead = False

    def calm(self) -> None:
        """Nothing that was to happen to it will."""
        self._crash_in = None
        self.trouble.errors.clear()

    def crash_in(self, commits: int, *, written: bool) -> None:
        """The engine dies in that commit from now, before or after it is on the disk."""
        self._crash_in, self._written = commits, written

    async def commit(
        self, app: str, put: Sequence[Record], *, drop: Sequence[Record] = (), notes: Sequence[Note] = ()
    ) -> None:
        if self._dead:
            raise StateError("nothing is written until all was read again")
        dies = self._dies_here()
        try:
            if self._written or not dies:
                await self._commit(app, put, drop=drop, notes=notes)
        except StateError:
            self._die()
            raise
        if dies:
            self._die()
            await asyncio.Event().wait()

    def _dies_here(self) -> bool:
        if self._crash_in is None:
            return False
        self._crash_in -= 1
        if self._crash_in > 0:
            return False
        self._crash_in = None
        return True

    def _die(self) -> None:
        self._dead = True
        self.crash()

    async def _commit(self, app: str, put: Sequence[Record], *, drop: Sequence[Record], notes: Sequence[Note]) -> None:
        barred = {(q.quarantined.revision, q.quarantined.settings) for q in self.only(app, QuarantineRecord)}
        await super().commit(app, put, drop=drop, notes=notes)
        releases = {r.number: r for r in put if hasattr(r, "built_at")}  # type: ignore[union-attr]
        for record in put:
            first = (
                isinstance(record, RolloutRecord) and record.rollout.number in releases
            )  # its intent, not its resuming
            if isinstance(record, RolloutRecord) and first and record.rollout.phase is Phase.QUEUED:
                rollout = record.rollout
                if rollout.kind is RolloutKind.UPGRADE and not rollout.trigger.startswith("manual"):
                    key = (rollout.revision, releases[rollout.number].settings)  # type: ignore[union-attr]
                    if key in barred:
                        self.violations.append(f"{rollout.trigger} tried {key}, which is quarantined")


class MoodyWorld(World):
    """Survives crashes of the engine; ``natures`` by revision."""

    def __init__(self) -> None:
        super().__init__()
        self.natures: dict[str, Nature] = {}
        self.proxy = SlowProxy()
        self.builder = MoodyBuilder(self.natures)
        self.runner = MoodyRunner(self.natures, self.proxy)
        self.probes = MoodyProbes(self.runner)
        self.ledger = GuardedLedger()

    def push(self, app: App, nature: Nature) -> None:
        revision = f"{len(self.natures) + 1:040x}"
        self.natures[revision] = nature
        self.source.push(app, revision)
