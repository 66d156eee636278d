"""Tame fakes of the engine's ports, each with a way to misbehave.

They keep what they were asked (``calls``) and what the world would look like, so that tests
assert on the world and not on calls. ``Trouble`` makes any of them raise or stall.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from noren.core.errors import NorenError
from noren.core.forge import PullRequest, Status
from noren.core.model import (
    App,
    Artifact,
    Commit,
    Exit,
    Found,
    Instance,
    Kind,
    ProbeAnswer,
    Ready,
    Release,
    Routing,
    build_key,
)
from noren.core.record import (
    AppRecord,
    Note,
    QuarantineRecord,
    ReceiptRecord,
    Record,
    ReleaseRecord,
    RetiringRecord,
    RolloutRecord,
)
from noren.core.traffic import Counts, Observation, Sample, Traffic
from noren.engine.ports import Clock, Ports
from noren.timetable import rfc3339


@dataclass
class Trouble:
    """Raises the queued errors by verb name, first come first served; ``stall``: verbs that never answer."""

    errors: dict[str, list[NorenError]] = field(default_factory=dict)
    stall: set[str] = field(default_factory=set)

    async def meet(self, verb: str) -> None:
        if verb in self.stall:
            await asyncio.Event().wait()
        waiting = self.errors.get(verb)
        if waiting:
            raise waiting.pop(0)


class FakeSource:
    def __init__(self) -> None:
        self.tips: dict[str, str] = {}
        self.tag: str | None = None
        self.kept: set[tuple[str, int]] = set()
        self.seconds = 0.0  # that a fetch takes
        self.trouble = Trouble()

    def push(self, app: App, revision: str) -> None:
        self.tips[app.repo] = revision

    async def tip(self, app: App) -> str:
        await self.trouble.meet("tip")
        return self.tips[app.repo]

    async def commit(self, app: App, tip: str) -> Commit:
        await self.trouble.meet("commit")
        await asyncio.sleep(self.seconds)
        return Commit(
            revision=tip, subject=f"change {tip}", author="A", committed_at="2026-01-01T00:00:00Z", tag=self.tag
        )

    async def keep(self, app: App, number: int, revision: str) -> None:
        await self.trouble.meet("keep")
        self.kept.add((app.name, number))

    async def forget(self, app: App, number: int) -> None:
        self.kept.discard((app.name, number))


class FakeBuilder:
    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.failing: dict[str, NorenError] = {}
        self.weather = ""
        self.built: list[str] = []
        self.cancelled: list[str] = []
        self.kept: frozenset[str] | None = None
        self._finished: dict[str, Artifact] = {}

    async def build(self, app: App, revision: str, rebuilt: str | None = None) -> Artifact:
        """What is built again is the same, unless ``weather`` (data from outside) has changed meanwhile."""
        key = build_key(app, revision, rebuilt)
        if key in self._finished:
            return replace(self._finished[key], seconds=0.0)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled.append(revision)
            raise
        if revision in self.failing:
            raise self.failing[revision]
        self.built.append(revision)
        made = Artifact(key=key, path=f"/builds/{key}", digest=revision + self.weather, seconds=self.seconds)
        self._finished[key] = made
        return made

    async def log(self, app: App, revision: str, rebuilt: str | None = None) -> str | None:
        return None

    async def prune(self, keys: frozenset[str]) -> None:
        self.kept = keys


class FakeRunner:
    """Instances are entries in ``alive``; ``kill`` ends one, and leaves a child in ``children`` until it is stopped."""

    def __init__(self) -> None:
        self.alive: dict[str, Instance] = {}
        self.children: set[str] = set()
        self.stopped: list[str] = []
        self.serving: dict[str, Found] = {}
        self.most = 0
        self.trouble = Trouble()
        self._ends: dict[str, asyncio.Event] = {}
        self._changes: dict[str, asyncio.Queue[str]] = {}
        self._port = 20000

    async def start(self, release: Release, instance: Instance) -> Instance:
        await self.trouble.meet("start")
        if instance.id not in self.alive:
            self._port += 1
            self.alive[instance.id] = replace(instance, address=f"127.0.0.1:{self._port}", pid=self._port)
            self.most = max(self.most, len(self.alive))
        return self.alive[instance.id]

    async def adopt(self, instance: Instance) -> Instance | None:
        return self.alive.get(instance.id)

    async def exited(self, instance: Instance) -> Exit:
        if instance.id in self.alive:
            end = asyncio.ensure_future(self._ends.setdefault(instance.id, asyncio.Event()).wait())
            change = asyncio.ensure_future(self._changes.setdefault(instance.id, asyncio.Queue()).get())
            try:
                await asyncio.wait({end, change}, return_when=asyncio.FIRST_COMPLETED)
                if change.done():
                    return Exit(instance=instance.id, code=None, what=f"was changed {change.result()}", respected=True)
            finally:
                end.cancel()
                change.cancel()
        return Exit(instance=instance.id, code=1, log_tail="Traceback: boom")

    async def stop(self, instance: Instance, grace: float) -> None:
        await self.trouble.meet("stop")
        self.alive.pop(instance.id, None)
        self.children.discard(instance.id)
        self.stopped.append(instance.id)

    async def found(self, app: App) -> Found | None:
        await self.trouble.meet("found")
        return self.serving.get(app.name)

    def kill(self, name: str) -> None:
        del self.alive[name]
        self.children.add(name)
        self._ends.setdefault(name, asyncio.Event()).set()

    def change(self, name: str, by: str) -> None:
        """Somebody else changes it on purpose."""
        self._changes.setdefault(name, asyncio.Queue()).put_nowait(by)

    def of(self, release: int) -> list[str]:
        return [i.id for i in self.alive.values() if i.release == release]


class FakeProbes:
    """Every instance answers well, but those of a release in ``bad`` (a ProbeAnswer) or ``hung``."""

    def __init__(self, runner: FakeRunner) -> None:
        self._runner = runner
        self.bad: dict[int, ProbeAnswer] = {}
        self.hung: set[int] = set()

    async def probe(self, app: App, instance: Instance, ready: Ready) -> ProbeAnswer:
        url = f"http://{instance.address}{ready.path}"
        if instance.release in self.hung:
            await asyncio.sleep(ready.timeout)
            return ProbeAnswer(ok=False, url=url, problem=f"did not answer within {ready.timeout:g} s")
        if instance.id not in self._runner.alive:
            return ProbeAnswer(ok=False, url=url, problem="refused the connection")
        return self.bad.get(instance.release, ProbeAnswer(ok=True, url=url, status=200))


class FakeProxy:
    """Serves ``rate`` requests a second of virtual time; releases in ``failing`` answer that share of them badly,
    those in ``hanging`` none; ``on_confirm`` happens before each answer of ``confirm``. Not ``carrying``: it is
    somebody else's proxy, which counts nothing for us."""

    def __init__(self, rate: float = 100.0) -> None:
        self.rate = rate
        self.failing: dict[int, float] = {}
        self.hanging: set[int] = set()
        self.hung = 0
        self.carrying = True
        self.on_confirm: Callable[[], None] = lambda: None
        self.routing: dict[str, Routing] = {}
        self.history: list[Routing] = []
        self.drained: list[str] = []
        self.trouble = Trouble()
        self.id = "proxy-1"
        self._counts: dict[str, dict[int, Traffic]] = {}
        self._since: dict[str, float] = {}

    async def apply(self, routing: Routing) -> None:
        await self.trouble.meet("apply")
        self._serve(routing.app)
        self.routing[routing.app] = routing
        self.history.append(routing)

    async def confirm(self, app: App, release: int, times: int) -> None:
        self.on_confirm()
        await self.trouble.meet("confirm")
        assert self.release(app.name) == release

    async def drain(self, app: str, instances: Sequence[str], *, requests: float, connections: float) -> int:
        await self.trouble.meet("drain")
        self.drained.extend(instances)
        return 0

    async def observe(self, app: str) -> Observation | None:
        await self.trouble.meet("observe")
        if not self.carrying:
            return None
        self._serve(app)
        waiting = {r: Traffic(reads=Counts(failed=self.hung)) for r in self.hanging if self.hung}
        return Observation(
            proxy=self.id, releases=dict(self._counts.get(app, {})), waiting=waiting, overdue=dict(waiting)
        )

    def samples(self, app: str, since: float) -> Sequence[Sample]:
        return ()

    def release(self, app: str) -> int | None:
        """The release that new requests get."""
        routing = self.routing.get(app)
        backend = next((b for b in routing.backends if b.name == routing.active), None) if routing else None
        return backend.release if backend else None

    def succeed(self) -> None:
        """Another process in its place: it routes the same, and counts from zero."""
        self.id = f"proxy-{int(self.id.rpartition('-')[2]) + 1}"
        self._counts.clear()

    def _serve(self, app: str) -> None:
        now = asyncio.get_running_loop().time()
        seconds = now - self._since.get(app, now)
        self._since[app] = now
        release = self.release(app)
        if release is not None:
            total = round(seconds * self.rate)
            if release in self.hanging:
                self.hung += total
                return
            failed = round(total * self.failing.get(release, 0.0))
            counts = self._counts.setdefault(app, {})
            counts[release] = counts.get(release, Traffic()) + Traffic(reads=Counts(total - failed, failed))


class FakeLedger:
    """Keeps records as they are; ``fail_next`` makes the next commit raise with nothing written."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str, str], Record] = {}
        self.lines: list[dict[str, Any]] = []
        self.trouble = Trouble()

    async def load(self, app: str) -> Sequence[Record]:
        return [r for (name, kind, _), r in self.records.items() if name == app and kind != "ReceiptRecord"]

    async def apps(self) -> Sequence[str]:
        return sorted({name for name, _, _ in self.records})

    async def commit(
        self, app: str, put: Sequence[Record], *, drop: Sequence[Record] = (), notes: Sequence[Note] = ()
    ) -> None:
        await self.trouble.meet("commit")
        for record in drop:
            self.records.pop((app, type(record).__name__, record.key), None)
        for record in put:
            self.records[app, type(record).__name__, record.key] = record
        for note in notes:
            line = {"seq": len(self.lines) + 1, "app": app, "at": note.at, "rollout": note.rollout}
            self.lines.append(line | {"phase": note.phase, "kind": note.kind, "text": note.text})

    async def forget(self, app: str) -> None:
        await self.trouble.meet("forget")
        self.records = {key: record for key, record in self.records.items() if key[0] != app}

    async def notes(self, app: str | None, after: int, limit: int) -> Sequence[dict[str, Any]]:
        lines = [line for line in self.lines if app in (None, line["app"])]
        return lines[after:] if after < 0 else [line for line in lines if line["seq"] > after][:limit]

    async def receipt(self, app: str, rollout: int | None) -> str | None:
        found = [r for r in self.records.values() if isinstance(r, ReceiptRecord)]
        found = [r for r in found if rollout in (None, r.rollout)]
        return max(found, key=lambda r: r.rollout).body if found else None

    def receipts(self, app: str) -> list[dict[str, Any]]:
        keys = sorted((k for k in self.records if k[:2] == (app, "ReceiptRecord")), key=lambda k: int(k[2]))
        return [json.loads(self.records[k].body) for k in keys]  # type: ignore[union-attr]

    def only(self, app: str, kind: type[Record]) -> list[Any]:
        return [r for (name, _, _), r in self.records.items() if name == app and isinstance(r, kind)]


class FakeNotifier:
    """Keeps what it was told; set ``names`` to have sinks."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.trouble = Trouble()

    def sinks(self) -> Sequence[str]:
        return list(self.names)

    async def send(self, sink: str, message: dict[str, Any]) -> None:
        await self.trouble.meet(sink)
        self.told.append((sink, message))


class FakeForge:
    """Pull requests by repository; ``open`` and ``close`` change them. ``told`` are the statuses that were set."""

    def __init__(self) -> None:
        self.open: dict[str, dict[int, PullRequest]] = {}
        self.told: list[tuple[str, Status]] = []
        self.trouble = Trouble()

    async def pulls(self, app: App) -> Sequence[PullRequest]:
        await self.trouble.meet("pulls")
        return list(self.open.get(app.repo, {}).values())

    async def tell(self, app: App, status: Status) -> None:
        await self.trouble.meet("tell")
        self.told.append((app.name, status))

    def pull(self, app: App, number: int, head: str, *, fork: bool = False, base: str = "main", age: float = 0) -> None:
        """Open or update a pull request."""
        made = PullRequest(number=number, head=head, ref=f"refs/pull/{number}/head", base=base, fork=fork, age=age)
        self.open.setdefault(app.repo, {})[number] = made

    def close(self, app: App, number: int) -> None:
        self.open[app.repo].pop(number, None)


class World:
    """All fakes together; survives a crash of the engine, as the real parts do. ``began``: the wall at time 1000."""

    began = datetime(2026, 1, 1, tzinfo=UTC)

    def __init__(self) -> None:
        self.source = FakeSource()
        self.builder = FakeBuilder()
        self.runner = FakeRunner()
        self.probes = FakeProbes(self.runner)
        self.proxy = FakeProxy()
        self.ledger = FakeLedger()
        self.notifier = FakeNotifier()
        self.forge = FakeForge()

    def ports(self) -> Ports:
        loop = asyncio.get_running_loop()
        clock = Clock(monotonic=loop.time, utc=lambda: rfc3339(self.began + timedelta(seconds=loop.time() - 1000)))
        return Ports(
            source=self.source,
            builder=self.builder,
            runners=dict.fromkeys(Kind, self.runner),
            probes=dict.fromkeys(Kind, self.probes),
            proxies=dict.fromkeys(Kind, self.proxy),
            ledger=self.ledger,
            notifier=self.notifier,
            forge=self.forge,
            clock=clock,
        )


__all__ = ["AppRecord", "QuarantineRecord", "ReleaseRecord", "RetiringRecord", "RolloutRecord", "Trouble", "World"]
