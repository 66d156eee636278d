"""The open loop: intended starts at a constant rate that never wait for answers, and the end of a run.

Loads iterate over ``starts``; ``Run`` sets the ``Stop``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

_BURST = 8  # overdue requests that are issued in one turn


class Stop:
    """The end of a run: set once, and every sleep ends."""

    def __init__(self) -> None:
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_set(self) -> bool:
        """Whether the run shall end."""
        return self._future.done()

    def set(self) -> None:
        """End the run. Again: no change."""
        if not self._future.done():
            self._future.set_result(None)

    async def sleep(self, seconds: float) -> bool:
        """Sleep, at most until the end; returns whether the end has come."""
        await asyncio.wait((self._future,), timeout=max(0.0, seconds))
        return self.is_set


async def starts(rate: float, stop: Stop) -> AsyncIterator[float]:
    """Intended starts (loop time), ``rate`` a second, until ``stop``.

    A late generator issues what is overdue at once and keeps the intended times: nothing is left out.
    """
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for number in count():
        due = begin + number / rate
        # Also when late, but not for each: requests in flight must get their turn, or our own lateness would look
        # like the server's; yet one turn a request could never catch up where turns are long.
        if (due > loop.time() or number % _BURST == 0) and await _until(due - loop.time(), stop):
            return
        yield due


async def _until(seconds: float, stop: Stop) -> bool:
    if seconds > 0.05:
        return await stop.sleep(seconds)
    await asyncio.sleep(seconds)
    return stop.is_set
