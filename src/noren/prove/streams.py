"""Event streams with sequence numbers (L4): lost when cut, stalled, or any event is missing, twice or out of order.

Chosen by ``catalogue`` and by the tests' campaigns.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from noren.prove.connection import Connection
from noren.prove.load import Stage
from noren.prove.outcome import Outcome, Problem
from noren.prove.request import Answer, Request
from noren.prove.transfer import Transfer


@dataclass(kw_only=True)
class Streams(Transfer):
    """Server-sent events with ids 0 … ``events`` − 1, one each ``interval`` seconds (``/stream`` of the example)."""

    events: int = 200
    interval: float = 0.1

    def request(self, id: str) -> Request:
        """A GET of the stream."""
        return Request(id, path=f"/stream?n={self.events}&interval={self.interval}")

    async def transfer(self, stage: Stage, connection: Connection, request: Request) -> Answer | Problem:
        """Collect the text, compare the sequence."""
        text = bytearray()
        result = await self.receive(connection, request, text.extend)
        if isinstance(result, Problem) or result.status != 200:
            return result
        ids = [line[4:] for line in text.decode("utf-8", "replace").splitlines() if line.startswith("id: ")]
        expected = [str(number) for number in range(self.events)]
        if ids == expected:
            return result
        right = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ids, expected, strict=False)))
        return Problem(Outcome.WRONG_BODY, f"{len(ids)} of {self.events} events, the sequence breaks at {right}")
