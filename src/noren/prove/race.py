"""The keep-alive race (L3): each request falls around the moment at which an idle connection is closed.

Aimed at the app's idle time-out T behind the proxy: the gap between an answer and the next request is swept
through T − spread … T + spread, GET and POST in turn.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count

from noren.prove.load import Load, Stage
from noren.prove.pool import Pool
from noren.prove.request import Requests, gets, posts


@dataclass(kw_only=True)
class KeepAliveRace(Load):
    """``clients`` connections, each idle for ``idle`` ± ``spread`` seconds before each request."""

    idle: float
    spread: float = 0.05
    clients: int = 50
    reads: Requests = field(default_factory=lambda: gets("/"))
    writes: Requests = field(default_factory=posts)

    async def run(self, stage: Stage) -> None:
        """All clients until the end."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.clients):
                group.create_task(self._client(stage))

    async def _client(self, stage: Stage) -> None:
        loop = asyncio.get_running_loop()
        pool = Pool(self.target, 1)
        due = loop.time()
        for number in count():
            make = self.writes if number % 2 else self.reads
            await self.ask(stage, pool, make(stage.next_id(), stage.rng), due)
            due = loop.time() + self.idle + stage.rng.uniform(-self.spread, self.spread)
            if await stage.stop.sleep(due - loop.time()):
                break
        pool.close()
