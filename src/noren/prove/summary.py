"""A ledger in numbers and in lines of text: what a proof prints. Built by ``proof`` and by tests.

Latencies are milliseconds from the intended start. ``late`` is the generator's own lateness: when it is large,
the machine was too slow for the rate and the latencies say little about the server.
"""

from __future__ import annotations

from dataclasses import dataclass

from noren.prove.latency import Percentiles
from noren.prove.ledger import Ledger
from noren.prove.outcome import Outcome
from noren.prove.tally import LoadTally


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
    def of(load: str, tally: LoadTally) -> LoadSummary:
        """Sum up one load."""
        span = tally.last - tally.first
        requests = tally.outcomes.total()
        return LoadSummary(
            load=load,
            requests=requests,
            lost=requests - tally.outcomes[Outcome.OK],
            rate=(requests - 1) / span if span else 0.0,
            outcomes={outcome.value: number for outcome, number in tally.outcomes.items() if number},
            latency=tally.latency.percentiles(),
            late=tally.late.percentiles(),
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
        tally = ledger.tally
        return Summary(
            seed=ledger.seed,
            requests=tally.requests,
            lost=tally.lost,
            loads=tuple(LoadSummary.of(load, each) for load, each in tally.loads.items()),
            by_release=dict(tally.by_release),
            losses=tuple(str(record) for record in ledger.lost()[:shown]),
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
