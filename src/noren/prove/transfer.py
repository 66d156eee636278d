"""What streams, downloads and uploads share: long requests, each alone on its own connection, one record each.

The base class of those three, which a run starts.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from dataclasses import dataclass

from noren.prove.connection import Connection, open_connection
from noren.prove.load import Load, Stage
from noren.prove.outcome import Problem
from noren.prove.pace import starts
from noren.prove.parser import Sink
from noren.prove.request import Answer, Request


@dataclass(kw_only=True)
class Transfer(Load):
    """``rate`` new ones a second; ``timeout`` is the longest silence in seconds, not the whole duration."""

    rate: float = 1.0

    async def run(self, stage: Stage) -> None:
        """Issue in the open loop."""
        async with asyncio.TaskGroup() as group:
            async for due in starts(self.rate, stage.stop):
                group.create_task(self._one(stage, due))

    @abstractmethod
    def request(self, id: str) -> Request:
        """What is asked."""

    @abstractmethod
    async def transfer(self, stage: Stage, connection: Connection, request: Request) -> Answer | Problem:
        """Send, receive, compare what came with what was sent."""

    async def receive(self, connection: Connection, request: Request, sink: Sink) -> Answer | Problem:
        """Send a short request, take a long answer."""
        connection.begin(request.method, sink)
        connection.write(request.encode(self.target.host))
        return await connection.finish(asyncio.get_running_loop().time() + self.timeout, stall=self.timeout)

    async def _one(self, stage: Stage, due: float) -> None:
        request = self.request(stage.next_id())
        request.headers["Connection"] = "close"
        issued = asyncio.get_running_loop().time()
        result = await open_connection(self.target, issued + self.timeout)
        if isinstance(result, Connection):
            connection, result = result, await self.transfer(stage, result, request)
            connection.close()
        self.settle(stage, request, due, issued, result)
