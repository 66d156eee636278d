"""Downloads by a reader of limited speed (L5): lost when cut, stalled, or not the bytes that the app hashed.

Chosen by ``catalogue`` and by the tests' campaigns.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

from noren.prove.connection import Connection
from noren.prove.load import Stage
from noren.prove.outcome import Outcome, Problem
from noren.prove.request import Answer, Request
from noren.prove.transfer import Transfer


class SlowReader:
    """Counts and hashes what comes, and reads on only when ``speed`` (bytes a second) allows."""

    def __init__(self, connection: Connection, speed: float) -> None:
        self.got = 0
        self.digest = hashlib.sha256()
        self._connection = connection
        self._speed = speed
        self._clock = asyncio.get_running_loop().time
        self._begin = self._clock()

    def take(self, part: bytes) -> None:
        """The sink of the connection."""
        self.got += len(part)
        self.digest.update(part)
        ahead = self._begin + self.got / self._speed - self._clock()
        if ahead > 0.01:
            self._connection.pause(ahead)


@dataclass(kw_only=True)
class Downloads(Transfer):
    """``size`` bytes at ``speed`` bytes a second, compared with X-Sha256 (``/download`` of the example app)."""

    size: int = 1_000_000
    speed: float = 10_000_000.0

    def request(self, id: str) -> Request:
        """A GET of the bytes."""
        return Request(id, path=f"/download?size={self.size}")

    async def transfer(self, stage: Stage, connection: Connection, request: Request) -> Answer | Problem:
        """Read slowly, compare length and hash."""
        reader = SlowReader(connection, self.speed)
        result = await self.receive(connection, request, reader.take)
        if isinstance(result, Problem) or result.status != 200:
            return result
        ours, theirs = reader.digest.hexdigest(), result.headers.get("x-sha256", "-")
        if (reader.got, ours) == (self.size, theirs):
            return result
        return Problem(
            Outcome.WRONG_BODY, f"{reader.got} of {self.size} bytes, sha256 {ours[:12]} instead of {theirs[:12]}"
        )
