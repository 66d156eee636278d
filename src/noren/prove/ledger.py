"""The client's ledger: one record for each request that was issued, and the questions a proof asks of it.

Loads add records; tests and reports read. Monotonic times for durations, wall-clock times (UTC) to compare with
receipts. A record takes about 300 bytes: the ledger of a long run keeps the lost ones whole, and sums of all.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from noren.prove.claims import Claims
from noren.prove.outcome import Outcome, Problem
from noren.prove.request import Answer
from noren.prove.tally import Tally


@dataclass(slots=True, kw_only=True)
class Record:
    """What became of one request. All times are seconds, ``wall`` is seconds of the epoch.

    ``due`` is the intended start; ``late`` is how much later it was issued, by our own fault;
    ``latency`` counts from ``due``. ``once``: the app must have executed it exactly once.
    """

    load: str
    id: str
    due: float
    wall: float
    late: float
    latency: float
    outcome: Outcome
    status: int | None = None
    release: str | None = None
    detail: str = ""
    once: bool = False

    @property
    def lost(self) -> bool:
        """Anything but ok."""
        return self.outcome is not Outcome.OK

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.wall, UTC).isoformat(timespec="milliseconds")
        seen = f"{self.status or '-'} {self.release or '-'}"
        return f"{at} {self.load} {self.id} {self.outcome} after {self.latency * 1000:.1f} ms: {seen} {self.detail}"


class Ledger:
    """All records of a run, or only the lost ones (``whole`` False); ``tally`` and ``claims`` are of all.

    ``slot``: seconds that the tally takes together.
    """

    def __init__(self, seed: int, *, whole: bool = True, slot: float = 1.0) -> None:
        self.seed = seed
        self.records: list[Record] = []
        self.tally = Tally(slot)
        self.claims = Claims()
        self._whole = whole

    def settle(
        self,
        load: str,
        id: str,
        *,
        due: float,
        issued: float,
        result: Answer | Problem,
        problem: Problem | None = None,
        once: bool = False,
    ) -> Record:
        """Record an ended request; ``problem`` is what is wrong with an Answer, ``due``, ``issued`` are loop times."""
        answer = result if isinstance(result, Answer) else None
        latency = time.monotonic() - due
        wrong = problem if isinstance(result, Answer) else result
        record = Record(
            load=load,
            id=id,
            due=due,
            wall=time.time() - latency,
            late=max(0.0, issued - due),
            latency=latency,
            outcome=wrong.outcome if wrong else Outcome.OK,
            detail=wrong.detail if wrong else "",
            status=answer.status if answer else None,
            release=sys.intern(answer.release) if answer and answer.release else None,
            once=once,
        )
        self.tally.add(record)
        if once:
            self.claims.tell(id, done=not record.lost)
        if self._whole or record.lost:
            self.records.append(record)
        return record

    def refute(self, record: Record, problem: Problem) -> None:
        """What looked answered turned out lost: a second answer came."""
        self.tally.refute(record, problem.outcome)
        if not (self._whole or record.lost):
            self.records.append(record)
        record.outcome, record.detail = problem.outcome, problem.detail
        if record.once:
            self.claims.tell(record.id, done=False)

    def between(self, since: datetime, until: datetime) -> Iterator[Record]:
        """Records of requests that were under way in this window of wall-clock time, as of a receipt."""
        first, last = since.timestamp(), until.timestamp()
        return (record for record in self.records if record.wall <= last and record.wall + record.latency >= first)

    def lost(self, since: datetime | None = None, until: datetime | None = None) -> list[Record]:
        """Lost requests, of all or of those under way in the window."""
        begin = since or datetime.fromtimestamp(0, UTC)
        return [record for record in self.between(begin, until or datetime.max.replace(tzinfo=UTC)) if record.lost]
