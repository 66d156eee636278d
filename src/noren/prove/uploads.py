"""Uploads at a limited speed (L5): lost when cut, stalled, or the app hashed other bytes than were sent.

Chosen by ``catalogue`` and by the tests' campaigns.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from noren.prove.connection import Connection
from noren.prove.load import Stage
from noren.prove.outcome import Outcome, Problem
from noren.prove.request import Answer, Request
from noren.prove.transfer import Transfer

PART = 65_536


@dataclass(kw_only=True)
class Uploads(Transfer):
    """``size`` bytes at ``speed`` bytes a second; the app answers JSON with their ``sha256`` (as the example app)."""

    size: int = 1_000_000
    speed: float = 10_000_000.0
    path: str = "/upload"

    def request(self, id: str) -> Request:
        """The head of the POST."""
        return Request(id, "POST", self.path, {"Content-Length": str(self.size)})

    async def transfer(self, stage: Stage, connection: Connection, request: Request) -> Answer | Problem:
        """Send slowly, compare the hash that comes back."""
        connection.begin(request.method)
        connection.write(request.encode(self.target.host))
        sha = await self._send(connection, stage.rng.randbytes(PART))
        result = await connection.finish(asyncio.get_running_loop().time() + self.timeout)
        if isinstance(result, Problem) or result.status != 200:
            return result
        theirs = _sha256(result)
        if theirs == sha:
            return result
        return Problem(Outcome.WRONG_BODY, f"sent sha256 {sha[:12]}, the app got {theirs[:12]}")

    async def _send(self, connection: Connection, part: bytes) -> str:
        """Send the body in parts, each when the speed allows; ends early when the server answered or left."""
        loop = asyncio.get_running_loop()
        begin, sent, digest = loop.time(), 0, hashlib.sha256()
        while sent < self.size and await connection.writable(loop.time() + self.timeout):
            piece = part[: self.size - sent]
            connection.write(piece)
            digest.update(piece)
            sent += len(piece)
            await asyncio.sleep(max(0.0, begin + sent / self.speed - loop.time()))
        return digest.hexdigest()


def _sha256(answer: Answer) -> str:
    try:
        body: Any = json.loads(answer.body)
        return str(body["sha256"])
    except (ValueError, KeyError, TypeError):
        return "no sha256"
