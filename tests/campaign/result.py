"""What a campaign came to: whether it is good, in words, and as a row of the table of results."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from noren.prove.orders import Once
from noren.prove.summary import Summary


@dataclass(kw_only=True)
class Result:
    """``counted``: by the proxy, in the windows of all receipts; ``faults``: what did not end as it should."""

    seed: int
    summary: Summary
    once: Once
    rollouts: Counter[str]
    counted: Counter[str]
    interrupted: int
    kills: int
    slowest_return: float
    faults: list[str]
    seconds: float = 0.0
    ended: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def lost(self) -> int:
        """Requests without their answer, or executed other than once."""
        return self.summary.lost + self.once.broken

    @property
    def good(self) -> bool:
        """Nothing lost, nothing doubled, everything ended as it should, and the proxy saw the traffic too."""
        return not (self.lost or self.faults or self.counted["failed"]) and self.counted["total"] > 0

    def lines(self) -> list[str]:
        """The report as text."""
        outcomes = ", ".join(f"{number} {what}" for what, number in sorted(self.rollouts.items()))
        return [
            *self.summary.lines(),
            *self.once.lines(),
            f"{self.rollouts.total()} rollouts: {outcomes}; {self.interrupted} interrupted by a kill",
            f"{self.kills} kills of the daemon, back after {self.slowest_return:.1f} s at most",
            f"in rollouts the proxy counted {self.counted['total']} requests, {self.counted['failed']} failed,"
            f" {self.counted['retried']} retried",
            *(f"FAULT {fault}" for fault in self.faults),
            f"{'good' if self.good else 'NOT GOOD'} after {self.seconds / 60:.1f} minutes",
        ]

    def row(self) -> dict[str, object]:
        """For the table of results, in its order."""
        return {
            "ended": self.ended.isoformat(timespec="minutes").replace("+00:00", "Z"),
            "seed": self.seed,
            "minutes": round(self.seconds / 60),
            "requests": self.summary.requests,
            "lost": self.summary.lost,
            "orders": self.once.orders,
            "missing": len(self.once.missing),
            "doubled": len(self.once.doubled),
            "rollouts": self.rollouts.total(),
            "kept": sum(number for what, number in self.rollouts.items() if what.endswith(" kept")),
            "kills": self.kills,
            "good": "yes" if self.good else "no",
        }
