"""Hints of webhooks: made durable together, forgotten when they come twice, passed on to who looks.

``host.py`` keeps one of these for each app that gets webhooks. A hint says "look at this repository now"
and no more: one that is lost is made good by the next poll, one that comes late or twice finds nothing new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from noren.core.errors import StateError
from noren.core.record import DeliveryRecord
from noren.engine.book import Book
from noren.engine.ports import Ledger

KEPT = 1000  # names of deliveries, for each app
LIFE = 3 * 86400.0  # seconds; GitHub lets people repeat what is three days old


class Hints:
    """The hints to one app; ``look`` is called after each that is new."""

    def __init__(self, book: Book, ledger: Ledger, look: Callable[[], None]) -> None:
        self._book, self._ledger = book, ledger
        self._look = look
        self._seen = dict.fromkeys(book.deliveries, book.clock.monotonic())
        self._batch: dict[str, DeliveryRecord] = {}
        self._committing = asyncio.Lock()

    async def take(self, name: str | None) -> None:
        """Look soon; returns once the delivery is committed, together with all that came meanwhile.

        A delivery without a name cannot be told from another: each is new. Raises StateError.
        """
        if name in self._seen:
            return
        if name is not None:
            await self._commit(name)
        self._look()

    async def _commit(self, name: str) -> None:
        batch = self._batch
        batch[name] = DeliveryRecord(delivery=name, at=self._book.clock.utc())
        async with self._committing:
            if batch is self._batch:
                self._batch = {}
                await self._save(batch)
        if name not in self._seen:
            raise StateError("a webhook could not be written down")

    async def _save(self, batch: dict[str, DeliveryRecord]) -> None:
        now = self._book.clock.monotonic()
        surplus = len(self._seen) + len(batch) - KEPT
        gone = [name for index, (name, at) in enumerate(self._seen.items()) if index < surplus or at < now - LIFE]
        drop = [DeliveryRecord(delivery=name, at="") for name in gone]
        await self._ledger.commit(self._book.app.name, list(batch.values()), drop=drop)
        for name in gone:
            del self._seen[name]
        self._seen |= dict.fromkeys(batch, now)
