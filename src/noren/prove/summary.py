"""A ledger in numbers and in lines of text: what a proof prints. Built by ``proof`` and by tests.

Latencies are milliseconds from the intended start. ``late`` is the generator's own lateness: when it is large,
the machine was too slow for the rate and the latencies say little about the server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from noren.prove.ledger import Ledger, Record


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of ``samples`` values, in milliseconds; 0 when there are none."""

    samples: int
    p50: float
    p99: float
    max: float

    @staticmethod
    def of(seconds: Iterable[float]) -> Percentiles:
        """The percentiles (nearest rank) of these durations in seconds."""
        values = sorted(seconds)
        if not values:
            return Percentiles(0, 0.0, 0.0, 0.0)
        median, high = (values[ceil(len(values) * share) - 1] * 1000 for share in (0.5, 0.99))
        return Percentiles(len(values), median, high, values[-1] * 1000)

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms, max {self.max:.1f} ms (N={self.samples})"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSummary:
    """One load: what became of its requests. ``rate`` is requests a second that were reached."""

    load: str
    requests: int
    lost: int
    rate: float
    outcomes: dict[str, int]
    latency: Percentiles
    late: Percentiles

    @staticmethod
    def of(load: str, records: list[Record]) -> LoadSummary:
        """Sum up the records of one load."""
        dues = [record.due for record in records]
        span = max(dues) - min(dues)
        return LoadSummary(
            load=load,
            requests=len(records),
            lost=sum(record.lost for record in records),
            rate=(len(records) - 1) / span if span else 0.0,
            outcomes=dict(Counter(record.outcome.value for record in records)),
            latency=Percentiles.of(record.latency for record in records),
            late=Percentiles.of(record.late for record in records),
        )

    def __str__(self) -> str:
        ends = ", ".join(f"{number} {outcome}" for outcome, number in self.outcomes.items())
        what = f"{self.load}: {self.requests} at {self.rate:.0f}/s: {ends}"
        return f"{what}; {self.latency}; late p99 {self.late.p99:.1f} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All loads of a run. ``by_release`` counts answers by X-Noren-Release ("-": none)."""

    seed: int
    requests: int
    lost: int
    loads: tuple[LoadSummary, ...]
    by_release: dict[str, int]
    losses: tuple[str, ...]

    @staticmethod
    def of(ledger: Ledger, *, shown: int = 20) -> Summary:
        """Sum up a ledger, with the first ``shown`` losses in words."""
        loads: dict[str, list[Record]] = {}
        for record in ledger.records:
            loads.setdefault(record.load, []).append(record)
        lost = ledger.lost()
        return Summary(
            seed=ledger.seed,
            requests=len(ledger.records),
            lost=len(lost),
            loads=tuple(LoadSummary.of(load, records) for load, records in loads.items()),
            by_release=dict(Counter(record.release or "-" for record in ledger.records)),
            losses=tuple(str(record) for record in lost[:shown]),
        )

    def lines(self) -> list[str]:
        """The report as text."""
        releases = ", ".join(f"{release} {number}" for release, number in self.by_release.items())
        return [
            f"seed {self.seed}: {self.requests} requests, {self.lost} lost",
            *(f"  {load}" for load in self.loads),
            f"  answered by: {releases or '-'}",
            *(f"  lost: {loss}" for loss in self.losses),
        ]
