"""Loads of short requests: kept alive, or with a new connection each (L2 and L1 of the reliability plan).

Chosen by ``catalogue``, by the demo and by the tests' campaigns.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from noren.prove.load import Load, Stage
from noren.prove.pace import starts
from noren.prove.pool import Pool
from noren.prove.request import Request, Requests, gets, posts


@dataclass(kw_only=True)
class KeepAlive(Load):
    """``rate`` requests a second over at most ``connections`` kept alive (0: a new connection each)."""

    rate: float
    connections: int = 64
    requests: Requests = field(default_factory=lambda: gets("/"))

    async def run(self, stage: Stage) -> None:
        """Issue in the open loop."""
        pool = Pool(self.target, self.connections)
        try:
            async with asyncio.TaskGroup() as group:
                async for due in starts(self.rate, stage.stop):
                    group.create_task(self.ask(stage, pool, self.next_request(stage), due))
        finally:
            pool.close()

    def next_request(self, stage: Stage) -> Request:
        """What is issued next."""
        return self.requests(stage.next_id(), stage.rng)


@dataclass(kw_only=True)
class Posts(KeepAlive):
    """Kept-alive POSTs that must be executed exactly once."""

    requests: Requests = field(default_factory=posts)


@dataclass(kw_only=True)
class NewConnection(KeepAlive):
    """One connection for each request, closed by the server after its answer."""

    connections: int = 0

    def next_request(self, stage: Stage) -> Request:
        """As asked for, with ``Connection: close``."""
        request = super().next_request(stage)
        request.headers["Connection"] = "close"
        return request
