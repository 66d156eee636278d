"""What every load is, and what a run gives it. Each kind of load is a subclass in a module of its own.

``run`` starts them; ``catalogue`` and the tests' campaigns choose which.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import count

from noren.prove.checks import Check, judge
from noren.prove.connection import Connection
from noren.prove.ledger import Ledger, Record
from noren.prove.outcome import Outcome, Problem
from noren.prove.pace import Stop
from noren.prove.pool import Pool
from noren.prove.request import Answer, Request, Target


class Stage:
    """What one load needs of its run: where records go, its own randomness, ids no other run uses, the end."""

    def __init__(self, ledger: Ledger, rng: random.Random, stop: Stop, prefix: str) -> None:
        self.ledger = ledger
        self.rng = rng
        self.stop = stop
        self._prefix = prefix
        self._numbers = count(1)

    def next_id(self) -> str:
        """A new id."""
        return f"{self._prefix}-{next(self._numbers)}"


@dataclass(kw_only=True)
class Load(ABC):
    """``timeout``: seconds from the moment a request is issued to its complete answer."""

    name: str
    target: Target
    timeout: float = 5.0
    check: Check | None = None

    @abstractmethod
    async def run(self, stage: Stage) -> None:
        """Issue requests until ``stage.stop``, then return when the last has ended."""

    async def ask(self, stage: Stage, pool: Pool, request: Request, due: float) -> tuple[Record, Answer | Problem]:
        """One request over a connection of the pool: sent once, recorded once."""
        issued = asyncio.get_running_loop().time()
        deadline = issued + self.timeout  # from `due`, a late generator would lose requests that no server ever saw
        connection = await pool.take(deadline)
        if isinstance(connection, Problem):
            pool.give(None)
            return self.settle(stage, request, due, issued, connection), connection
        refuted: list[Record] = []
        result = await self.exchange(stage, connection, request, deadline, refuted)
        record = self.settle(stage, request, due, issued, result)
        refuted.append(record)
        pool.give(connection)
        return record, result

    async def exchange(
        self, stage: Stage, connection: Connection, request: Request, deadline: float, answered: list[Record]
    ) -> Answer | Problem:
        """Send and wait; a second answer that comes later refutes the record in ``answered``."""

        def twice(data: bytes) -> None:
            for record in answered:
                stage.ledger.refute(record, Problem(Outcome.DUPLICATE, f"a second answer came: {data[:40]!r}"))

        return await connection.exchange(request.encode(self.target.host), request.method, deadline, on_extra=twice)

    def settle(self, stage: Stage, request: Request, due: float, issued: float, result: Answer | Problem) -> Record:
        """Judge what came and record it."""
        problem = judge(self.target, self.check, request, result) if isinstance(result, Answer) else None
        return stage.ledger.settle(
            self.name, request.id, due=due, issued=issued, result=result, problem=problem, once=request.once
        )
