"""Delivers what people are to be told: beside everything else, again with pauses, until it is told or given up.

Used by ``AppLoop``. The messages are in the ledger since the outcome they tell of, so a crash loses none; one that was
told just before a crash may be told again, with the same ``id``.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from noren.core.errors import OutsideError
from noren.engine.shared import Shared

PAUSES = (0.0, 1.0, 5.0, 30.0, 120.0, 600.0, 1800.0)  # seconds before each try; then it is given up


class Teller:
    """The messages of one app."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._striking = asyncio.Lock()

    def deliver(self) -> None:
        """Everything that is still to be told and not on its way."""
        tasks = self._shared.tasks
        for record in self._shared.book.messages.values():
            for sink in record.sinks:
                owner = f"tell {record.id} {sink}"
                if not tasks.busy(owner):
                    tasks.spawn(owner, f"{self._shared.name}: {owner}", self._deliver, record.id, record.body, sink)

    async def _deliver(self, name: str, body: str, sink: str) -> None:
        problem = ""
        for pause in PAUSES:
            await asyncio.sleep(pause)
            try:
                await self._shared.ports.notifier.send(sink, json.loads(body))
            except OutsideError as exc:
                problem = str(exc)
            else:
                problem = ""
                break
        await self._strike(name, sink, f"{sink} could not be told of {name}: {problem}" if problem else "")

    async def _strike(self, name: str, sink: str, given_up: str) -> None:
        book = self._shared.book
        async with self._striking:
            record = book.messages[name]
            left = replace(record, sinks=tuple(s for s in record.sinks if s != sink))
            notes = [book.note("notify", given_up)] if given_up else []
            if left.sinks:
                await book.save(left, notes=notes)
            else:
                await book.save(drop=[record], notes=notes)
