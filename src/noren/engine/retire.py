"""Brings old releases to rest: warm → draining → stopping, each step durable.

Work of its own, beside rollouts: it delays no verdict. ``AppLoop`` hands releases over,
``recover`` does so again after a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from noren.core.errors import OutsideError, TrafficError
from noren.core.model import Instance
from noren.core.record import RetiringRecord
from noren.core.retire import RetirePhase, crowded_out
from noren.engine.router import PROXY_PAUSE, Router
from noren.engine.shared import Shared

IMMORTAL_PAUSE = 60.0  # seconds until what survived SIGKILL is ended again


class Retirer:
    """The retiring releases of one app, a task each."""

    def __init__(self, shared: Shared, router: Router, superfluous: Callable[[], None]) -> None:
        """``superfluous`` is called when a release may no longer be needed."""
        self._shared = shared
        self._router = router
        self._superfluous = superfluous

    def retire(self, record: RetiringRecord, *, at_once: bool = False) -> None:
        """Set one going; ``at_once``: its warm time and its connections are cut."""
        owner = f"retire {record.key}"
        self._shared.tasks.cancel(owner)
        self._shared.tasks.spawn(owner, f"{self._shared.name}: {owner}", self._retire, record.key, at_once)

    def keep(self, record: RetiringRecord) -> None:
        """A rollback takes it back: let it be."""
        self._shared.tasks.cancel(f"retire {record.key}")

    def make_room(self) -> None:
        """At most three at a time: the oldest go at once."""
        records = tuple(self._shared.book.retiring.values())
        for retiring in crowded_out(tuple(r.retiring for r in records)):
            self.retire(RetiringRecord(retiring=retiring), at_once=True)

    def sweep(self, instance: Instance) -> None:
        """End what is owed: what an instance left that exited (children, its port, its log), or could not be ended."""
        self._shared.tasks.spawn(f"sweep {instance.id}", f"sweep {instance.id}", self._swept, instance)

    async def owe(self, instance: Instance) -> None:
        """It cannot be ended now: written down until it is gone, should Noren end before. The turn is ours."""
        book = self._shared.book
        await book.save(book.record.owing(instance))
        self.sweep(instance)

    async def _swept(self, instance: Instance) -> None:
        await self._end(instance)
        book = self._shared.book
        async with self._shared.turn:
            settled = book.record.settled(instance)
            if settled != book.record:
                await book.save(settled)

    async def _end(self, instance: Instance) -> None:
        """Until it is gone: a process that survives SIGKILL (a dead disk, a network share) is nobody else's fault."""
        shared, said = self._shared, False
        while True:
            try:
                return await shared.ports.runners[shared.book.app.kind].stop(instance, shared.book.app.drain.grace)
            except OutsideError as exc:
                if not said:
                    await shared.book.save(notes=[shared.book.note("fault", f"{instance.id} is still there: {exc}")])
                said = True
                await asyncio.sleep(IMMORTAL_PAUSE)

    async def _retire(self, key: str, at_once: bool) -> None:
        await self._cool(key, at_once)
        await self._drain(key, at_once)
        await self._stop(key)

    async def _cool(self, key: str, at_once: bool) -> None:
        record = self._shared.book.retiring[key]
        if record.retiring.phase is not RetirePhase.WARM:
            return
        if not at_once:
            await asyncio.sleep(record.retiring.until - self._shared.ports.clock.monotonic())
        await self._become(key, RetirePhase.DRAINING)

    async def _drain(self, key: str, at_once: bool) -> None:
        record = self._shared.book.retiring[key]
        if record.retiring.phase is not RetirePhase.DRAINING:
            return
        await self._router.shown()
        limits = self._shared.book.app.drain
        requests = 0.0 if at_once else limits.requests
        connections = requests if at_once or record.retiring.faulty else limits.connections
        cut = await self._drained(record, requests, connections)
        await self._become(key, RetirePhase.STOPPING, f"{cut} connections were cut" if cut else "")

    async def _drained(self, record: RetiringRecord, requests: float, connections: float) -> int:
        shared, said = self._shared, False
        names = [i.id for i in record.retiring.running.instances]
        while True:
            try:
                return await shared.proxy.drain(shared.name, names, requests=requests, connections=connections)
            except TrafficError as exc:
                if not said:
                    line = f"release {record.retiring.running.release} waits: the proxy does not drain it yet: {exc}"
                    await shared.book.save(notes=[shared.book.note("retire", line)])
                said = True
                await asyncio.sleep(PROXY_PAUSE)  # it is being started again; nothing may be stopped unseen

    async def _stop(self, key: str) -> None:
        shared = self._shared
        await self._router.shown()
        record = shared.book.retiring[key]
        for instance in record.retiring.running.instances:
            shared.tasks.cancel(instance.id)
            await self._end(instance)
        async with shared.turn:
            note = shared.book.note("retire", f"release {record.retiring.running.release} stopped")
            await shared.book.save(drop=[record], notes=[note])
        self._superfluous()

    async def _become(self, key: str, phase: RetirePhase, text: str = "") -> None:
        shared = self._shared
        async with shared.turn:
            record = shared.book.retiring[key]
            after = RetiringRecord(retiring=replace(record.retiring, phase=phase))
            line = f"release {record.retiring.running.release} is {phase}" + (f": {text}" if text else "")
            await shared.book.save(after, notes=[shared.book.note("retire", line)])
