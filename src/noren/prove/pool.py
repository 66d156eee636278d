"""Where a load gets its connections: at most ``size`` kept alive, or a new one for each request.

Behaves as real clients do: a connection that the server closed while it was idle is replaced before
anything is sent; what fails after it was sent is never sent again.
"""

from __future__ import annotations

import asyncio
from collections import deque

from noren.prove.connection import Connection, open_connection
from noren.prove.outcome import Outcome, Problem
from noren.prove.request import Target


class Pool:
    """Connections to one target, the longest idle first; ``size`` 0: none is kept, as many as needed are open."""

    def __init__(self, target: Target, size: int) -> None:
        self.opened = 0
        self._target = target
        self._size = size
        self._idle: deque[Connection] = deque()
        self._slots = asyncio.Semaphore(size) if size else None

    async def take(self, deadline: float) -> Connection | Problem:
        """A connection that may be sent to; a Problem when there is none until ``deadline`` (loop time)."""
        if self._slots is not None:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._slots.acquire()
            except TimeoutError:
                return Problem(Outcome.TIMEOUT, f"all {self._size} connections were busy")
        return self._kept() or await self._open(deadline)

    def give(self, connection: Connection | None) -> None:
        """Return what was taken, None for a Problem; each ``take`` needs one ``give``."""
        if connection is not None and not connection.closed:
            if self._slots is None:
                connection.close()
            else:
                self._idle.append(connection)
        if self._slots is not None:
            self._slots.release()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.popleft().close()

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.popleft()
            if connection.usable():
                return connection
            connection.close()
        return None

    async def _open(self, deadline: float) -> Connection | Problem:
        self.opened += 1
        return await open_connection(self._target, deadline)
