"""Uploads at a limited speed, hashed at both ends (L5). One record each."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from noren.prove.connection import Connection, open_connection
from noren.prove.load import Load, Stage
from noren.prove.outcome import Outcome, Problem
from noren.prove.pace import starts
from noren.prove.request import Answer, Request

PART = 65_536


@dataclass(kw_only=True)
class Uploads(Load):
    """``rate`` new ones a second of ``size`` bytes at ``speed`` bytes a second; ``timeout`` is the longest silence."""

    rate: float = 1.0
    size: int = 1_000_000
    speed: float = 10_000_000.0
    path: str = "/upload"

    async def run(self, stage: Stage) -> None:
        """Issue in the open loop."""
        async with asyncio.TaskGroup() as group:
            async for due in starts(self.rate, stage.stop):
                group.create_task(self._one(stage, due))

    async def _one(self, stage: Stage, due: float) -> None:
        request = Request(stage.next_id(), "POST", self.path, {"Content-Length": str(self.size), "Connection": "close"})
        issued = asyncio.get_running_loop().time()
        connection = await open_connection(self.target, due + self.timeout)
        if isinstance(connection, Problem):
            self.settle(stage, request, due, issued, connection)
            return
        connection.begin(request.method)
        connection.write(request.encode(self.target.host))
        sha = await self._send(connection, stage.rng.randbytes(PART))
        result = await connection.finish(asyncio.get_running_loop().time() + self.timeout)
        self.settle(stage, request, due, issued, _compare(result, sha))
        connection.close()

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


def _compare(result: Answer | Problem, sha: str) -> Answer | Problem:
    if isinstance(result, Problem) or result.status != 200:
        return result
    try:
        body: Any = json.loads(result.body)
        theirs = body["sha256"]
    except (ValueError, KeyError, TypeError):
        theirs = None
    if theirs == sha:
        return result
    return Problem(Outcome.WRONG_BODY, f"sent sha256 {sha[:12]}, the app got {str(theirs)[:12]}")
