"""Whose turn it is to start an instance: after a reboot a hundred apps start a few at a time, not all at once.

One for the whole host, in its ports; asked by the healer of each app.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager

PATIENCE = 5.0  # seconds after which a slow start lets the next one begin: a crash elsewhere shall not wait for it


class Starts:
    """At most ``at_once`` of them."""

    def __init__(self, at_once: int) -> None:
        self._turns = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[Callable[[], None]]:
        """For as long as a start takes: until what is yielded is called, because it answers, or it is given up."""
        await self._turns.acquire()
        with ExitStack() as taken:
            taken.callback(self._turns.release)
            slow = asyncio.get_running_loop().call_later(PATIENCE, taken.close)
            taken.callback(slow.cancel)
            yield taken.close
