"""Instruction → port call → event.

``AppLoop`` runs one of these as a task for each instruction of a step and feeds the events back.
Nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from noren.core import events as e
from noren.core.errors import NorenError, OutsideError, ReleaseError, TrafficError
from noren.core.instructions import (
    GoBack,
    Instruction,
    MakeBuild,
    Observe,
    Probe,
    Shift,
    StartInstance,
    StopCandidate,
)
from noren.core.model import Release
from noren.core.receipt import spent
from noren.core.rollout import Rollout
from noren.core.routing import route
from noren.core.traffic import OVERDUE, Traffic
from noren.engine.book import Book
from noren.engine.ports import Ports

CONFIRMATIONS = 3  # answers in a row through the public listener before a switch counts
OBSERVE_EVERY = 0.25  # seconds; a release that only fails is seen after 5 requests, at most this much later
GO_BACK_PATIENCE = 30.0  # seconds for a proxy that is being started again
GO_BACK_PAUSE = 0.25  # seconds between two tries
# Seconds in which answers of the candidate that were under way still reach the receipt, and in which requests that
# met it as it died get their second try: the proxy waits 300 ms before that.
SETTLE = 0.4


class Executor:
    """Carries out the instructions of one app's rollouts."""

    def __init__(self, book: Book, ports: Ports) -> None:
        self._book = book
        self._ports = ports
        self._proxy = ports.proxies[book.app.kind]

    def run(self, instruction: Instruction, rollout: Rollout) -> AsyncGenerator[e.Event, None]:
        """The events that the instruction leads to."""
        match instruction:
            case MakeBuild():
                return self._build(rollout)
            case StartInstance():
                return self._start(rollout, instruction)
            case Probe():
                return self._probe(rollout, instruction)
            case Shift():
                return self._shift(rollout, instruction)
            case Observe():
                return self._observe(rollout)
            case GoBack():
                return self._go_back(rollout)
            case StopCandidate():
                return self._stop(rollout)

    async def _build(self, rollout: Rollout) -> AsyncGenerator[e.Event, None]:
        app = rollout.app
        try:
            await self._ports.source.keep(app, rollout.number, rollout.revision)
            artifact = await self._ports.builder.build(app, rollout.revision, rollout.rebuilt)
        except ReleaseError as exc:
            yield e.BuildFailed(rollout=rollout.id, reason=str(exc), own_fault=not isinstance(exc, OutsideError))
        else:
            yield e.Built(rollout=rollout.id, artifact=artifact)

    async def _start(self, rollout: Rollout, instruction: StartInstance) -> AsyncGenerator[e.Event, None]:
        runner = self._ports.runners[rollout.app.kind]
        try:
            instance = await runner.start(self._release(rollout), instruction.instance)
        except ReleaseError as exc:
            yield e.StartFailed(rollout=rollout.id, reason=str(exc), own_fault=not isinstance(exc, OutsideError))
        else:
            yield e.Started(rollout=rollout.id, instance=instance)

    async def _probe(self, rollout: Rollout, instruction: Probe) -> AsyncGenerator[e.Event, None]:
        instance = instruction.instance
        while True:
            answer = await self._ports.probes[rollout.app.kind].probe(rollout.app, instance, rollout.app.ready)
            yield e.Probed(rollout=rollout.id, instance=instance.id, answer=answer)
            await asyncio.sleep(instruction.every)

    async def _shift(self, rollout: Rollout, instruction: Shift) -> AsyncGenerator[e.Event, None]:
        clock = self._ports.clock
        started = clock.monotonic()
        try:
            await self._route(rollout, instruction.weight)
            if instruction.weight >= 1:
                await self._proxy.confirm(self._book.app, rollout.number, CONFIRMATIONS)
        except ReleaseError as exc:
            yield e.ShiftFailed(rollout=rollout.id, reason=str(exc), own_fault=not isinstance(exc, OutsideError))
            return
        except TrafficError as exc:
            silent = await self._silent(rollout)
            yield e.ShiftFailed(rollout=rollout.id, reason=silent or str(exc), own_fault=bool(silent))
            return
        yield e.Shifted(rollout=rollout.id, ms=(clock.monotonic() - started) * 1000)

    async def _silent(self, rollout: Rollout) -> str:
        """Why the candidate does not answer when it is asked directly; "" when it does, and the proxy is to blame."""
        for instance in rollout.instances:
            answer = await self._ports.probes[rollout.app.kind].probe(rollout.app, instance, rollout.app.ready)
            if not answer.ok:
                return f"stopped answering at the switch: {answer.url} {answer.problem}"
        return ""

    async def _observe(self, rollout: Rollout) -> AsyncGenerator[e.Event, None]:
        none = Traffic()
        while True:
            await asyncio.sleep(OBSERVE_EVERY)  # counters are asked for: a proxy tells of no request by itself
            record = self._book.rollout
            if record is None or record.at_switch is None:
                return
            try:
                now = await self._proxy.observe(rollout.app.name)
            except TrafficError:
                continue  # a proxy that is being started again says nothing about the release
            if now is None:
                return
            base = record.at_switch
            fresh = spent(base, now) if base.proxy == now.proxy else now.releases
            late = now.overdue.get(rollout.number, none)
            number = rollout.old.release if rollout.old else 0
            yield e.Observed(
                rollout=rollout.id,
                old=base.releases.get(number, none) + base.overdue.get(number, none),
                new=fresh.get(rollout.number, none) + late,
                overdue=late.both.failed,
            )

    async def _go_back(self, rollout: Rollout) -> AsyncGenerator[e.Event, None]:
        clock = self._ports.clock
        until = clock.monotonic() + GO_BACK_PATIENCE
        while True:
            try:
                await self._route(rollout, 0.0)
                if rollout.old is not None:
                    await self._proxy.confirm(self._book.app, rollout.old.release, CONFIRMATIONS)
                break
            except (TrafficError, ReleaseError) as exc:
                if clock.monotonic() >= until:
                    yield e.GoBackFailed(rollout=rollout.id, reason=str(exc))
                    return
                await asyncio.sleep(GO_BACK_PAUSE)
        await self._settled(rollout)
        yield e.WentBack(rollout=rollout.id)

    async def _settled(self, rollout: Rollout) -> None:
        """Until the candidate has answered what it had, as long as an answer may take: the receipt counts it."""
        clock = self._ports.clock
        until = clock.monotonic() + OVERDUE
        while clock.monotonic() < until:
            await asyncio.sleep(SETTLE)
            try:
                now = await self._proxy.observe(rollout.app.name)
            except TrafficError:
                return
            if now is None or not now.waiting.get(rollout.number, Traffic()).both.failed:
                return

    async def _stop(self, rollout: Rollout) -> AsyncGenerator[e.Event, None]:
        runner = self._ports.runners[rollout.app.kind]
        tails: list[str] = []
        for instance in rollout.instances:
            await runner.stop(instance, rollout.app.drain.grace)
            if instance.pid is not None:
                tails.append((await runner.exited(instance)).log_tail)
        yield e.Stopped(rollout=rollout.id, log_tail=next((t for t in tails if t), ""))

    async def _route(self, rollout: Rollout, weight: float) -> None:
        book = self._book
        releases = book.built | {rollout.number: self._release(rollout)}
        await self._proxy.apply(
            route(
                book.app,
                releases,
                active=book.record.active,
                candidate=rollout.running,
                weight=weight,
                retiring=[r.retiring for r in book.retiring.values()],
            )
        )

    @staticmethod
    def _release(rollout: Rollout) -> Release:
        if rollout.release is None:
            raise NorenError(f"rollout {rollout.id} of {rollout.app.name} has no artifact yet")
        return rollout.release
