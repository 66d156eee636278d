"""Brings old releases to rest: warm → draining → stopping, each step durable.

Work of its own, beside rollouts: it delays no verdict. ``AppLoop`` hands releases over,
``recover`` does so again after a crash.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from noren.core.errors import TrafficError
from noren.core.record import RetiringRecord
from noren.core.retire import RetirePhase, crowded_out

if TYPE_CHECKING:
    from noren.engine.loop import AppLoop

_PROXY_PAUSE = 1.0  # seconds until a proxy that did not answer is asked again


class Retirer:
    """The retiring releases of one app, a task each."""

    def __init__(self, loop: AppLoop) -> None:
        self._loop = loop

    def retire(self, record: RetiringRecord, *, at_once: bool = False) -> None:
        """Set one going; ``at_once``: its warm time and its connections are cut."""
        owner = f"retire {record.key}"
        self._loop.tasks.cancel(owner)
        self._loop.tasks.spawn(owner, f"{self._loop.book.app.name}: {owner}", self._retire, record.key, at_once)

    def keep(self, record: RetiringRecord) -> None:
        """A rollback takes it back: let it be."""
        self._loop.tasks.cancel(f"retire {record.key}")

    def make_room(self) -> None:
        """At most three at a time: the oldest go at once."""
        records = tuple(self._loop.book.retiring.values())
        for retiring in crowded_out(tuple(r.retiring for r in records)):
            self.retire(RetiringRecord(retiring=retiring), at_once=True)

    async def _retire(self, key: str, at_once: bool) -> None:
        await self._cool(key, at_once)
        await self._drain(key, at_once)
        await self._stop(key)

    async def _cool(self, key: str, at_once: bool) -> None:
        record = self._loop.book.retiring[key]
        if record.retiring.phase is not RetirePhase.WARM:
            return
        if not at_once:
            await asyncio.sleep(record.retiring.until - self._loop.ports.clock.monotonic())
        await self._become(key, RetirePhase.DRAINING)

    async def _drain(self, key: str, at_once: bool) -> None:
        record = self._loop.book.retiring[key]
        if record.retiring.phase is not RetirePhase.DRAINING:
            return
        await self._loop.routed()
        limits = self._loop.book.app.drain
        requests = 0.0 if at_once else limits.requests
        connections = requests if at_once or record.retiring.faulty else limits.connections
        cut = await self._drained(record, requests, connections)
        await self._become(key, RetirePhase.STOPPING, f"{cut} connections were cut" if cut else "")

    async def _drained(self, record: RetiringRecord, requests: float, connections: float) -> int:
        loop = self._loop
        names = [i.id for i in record.retiring.running.instances]
        while True:
            try:
                return await loop.ports.proxy.drain(
                    loop.book.app.name, names, requests=requests, connections=connections
                )
            except TrafficError:
                await asyncio.sleep(_PROXY_PAUSE)  # it is being started again; nothing may be stopped unseen

    async def _stop(self, key: str) -> None:
        loop = self._loop
        await self._loop.routed()
        record = loop.book.retiring[key]
        runner = loop.ports.runners[loop.book.app.kind]
        for instance in record.retiring.running.instances:
            loop.tasks.cancel(instance.id)
            await runner.stop(instance, loop.book.app.drain.grace)
        async with loop.turn:
            note = loop.book.note("retire", f"release {record.retiring.running.release} stopped")
            await loop.book.save(drop=[record], notes=[note])
        loop.superfluous()

    async def _become(self, key: str, phase: RetirePhase, text: str = "") -> None:
        loop = self._loop
        async with loop.turn:
            record = loop.book.retiring[key]
            after = RetiringRecord(retiring=replace(record.retiring, phase=phase))
            line = f"release {record.retiring.running.release} is {phase}" + (f": {text}" if text else "")
            await loop.book.save(after, notes=[loop.book.note("retire", line)])
