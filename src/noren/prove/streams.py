"""Long answers: event streams with sequence numbers (L4) and downloads by a reader of limited speed (L5).

A stream or a download is one record; it is lost when it is cut, stalls, or any part is missing, twice or wrong.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from noren.prove.connection import Connection, open_connection
from noren.prove.load import Load, Stage
from noren.prove.outcome import Outcome, Problem
from noren.prove.pace import starts
from noren.prove.request import Answer, Request

Verify = Callable[[Answer], Problem | None]


@dataclass(kw_only=True)
class LongAnswers(Load):
    """``rate`` new ones a second, each on its own connection; ``timeout`` is the longest silence in seconds."""

    rate: float = 1.0

    async def run(self, stage: Stage) -> None:
        """Issue in the open loop."""
        async with asyncio.TaskGroup() as group:
            async for due in starts(self.rate, stage.stop):
                group.create_task(self._one(stage, due))

    async def _one(self, stage: Stage, due: float) -> None:
        request = Request(stage.next_id(), path=self.path(), headers={"Connection": "close"})
        issued = asyncio.get_running_loop().time()
        connection = await open_connection(self.target, due + self.timeout)
        if isinstance(connection, Problem):
            self.settle(stage, request, due, issued, connection)
            return
        result = await self._receive(connection, request, due)
        self.settle(stage, request, due, issued, result)
        connection.close()

    async def _receive(self, connection: Connection, request: Request, due: float) -> Answer | Problem:
        sink, verify = self.reader(connection)
        connection.begin(request.method, sink)
        connection.write(request.encode(self.target.host))
        result = await connection.finish(due + self.timeout, stall=self.timeout)
        wrong = verify(result) if isinstance(result, Answer) and result.status == 200 else None
        return wrong or result

    def path(self) -> str:
        """What is asked for."""
        raise NotImplementedError

    def reader(self, connection: Connection) -> tuple[Callable[[bytes], None], Verify]:
        """What takes the body as it comes, and what judges it at its end."""
        raise NotImplementedError


@dataclass(kw_only=True)
class Streams(LongAnswers):
    """Server-sent events with ids 0 … ``events`` − 1, one each ``interval`` seconds."""

    events: int = 200
    interval: float = 0.1

    def path(self) -> str:
        """``/stream`` of the example app."""
        return f"/stream?n={self.events}&interval={self.interval}"

    def reader(self, connection: Connection) -> tuple[Callable[[bytes], None], Verify]:
        """Collect the text, compare the sequence."""
        text = bytearray()

        def verify(answer: Answer) -> Problem | None:
            ids = [line[4:] for line in text.decode("utf-8", "replace").splitlines() if line.startswith("id: ")]
            expected = [str(number) for number in range(self.events)]
            if ids == expected:
                return None
            first = next(
                (i for i, (a, b) in enumerate(zip(ids, expected, strict=False)) if a != b), min(len(ids), len(expected))
            )
            return Problem(Outcome.WRONG_BODY, f"{len(ids)} of {self.events} events, the sequence breaks at {first}")

        return text.extend, verify


@dataclass(kw_only=True)
class Downloads(LongAnswers):
    """``size`` bytes, read at ``speed`` bytes a second, compared with the X-Sha256 of the answer."""

    size: int = 1_000_000
    speed: float = 10_000_000.0

    def path(self) -> str:
        """``/download`` of the example app."""
        return f"/download?size={self.size}"

    def reader(self, connection: Connection) -> tuple[Callable[[bytes], None], Verify]:
        """Hash what comes; read on only when the speed allows."""
        digest = hashlib.sha256()
        loop = asyncio.get_running_loop()
        begin, got = loop.time(), 0

        def sink(part: bytes) -> None:
            nonlocal got
            got += len(part)
            digest.update(part)
            ahead = begin + got / self.speed - loop.time()
            if ahead > 0.01:
                connection.pause(ahead)

        def verify(answer: Answer) -> Problem | None:
            if got == self.size and answer.headers.get("x-sha256") == digest.hexdigest():
                return None
            return Problem(Outcome.WRONG_BODY, f"{got} of {self.size} bytes, sha256 {digest.hexdigest()[:12]}")

        return sink, verify
