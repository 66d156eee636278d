"""Whose turn it is to start an instance: after a reboot a hundred apps start a few at a time, not all at once.

One for the whole host, in its ports; asked by the healer of each app.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

PATIENCE = 5.0  # seconds after which a slow start lets the next one begin: a crash elsewhere shall not wait for it


class Starts:
    """At most ``at_once`` of them."""

    def __init__(self, at_once: int) -> None:
        self._turns = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """For as long as a start takes, until it is ready or given up."""
        await self._turns.acquire()
        given_back = False

        def give_back() -> None:
            nonlocal given_back
            if not given_back:
                given_back = True
                self._turns.release()

        slow = asyncio.get_running_loop().call_later(PATIENCE, give_back)
        try:
            yield
        finally:
            slow.cancel()
            give_back()
