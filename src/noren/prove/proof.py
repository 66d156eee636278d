"""The verdict on a run: the client's ledger and the app's ledger side by side. Printed by ``noren prove``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from noren.prove.ledger import Ledger
from noren.prove.orders import Once, Order, exactly_once
from noren.prove.summary import Summary


@dataclass(frozen=True, slots=True)
class Proof:
    """``dataclasses.asdict`` of it is the JSON report. ``once`` None: the app keeps no ledger."""

    summary: Summary
    once: Once | None

    @staticmethod
    def of(ledger: Ledger, orders: Iterable[Order] | None = None, *, shown: int = 20) -> Proof:
        """Judge a run; ``orders``: what the app executed, None: unknown; ``shown``: how many losses in words."""
        return Proof(Summary.of(ledger, shown=shown), None if orders is None else exactly_once(ledger, orders))

    @property
    def lost(self) -> int:
        """Lost requests and requests executed other than exactly once; 0 is the promise."""
        return self.summary.lost + (self.once.broken if self.once else 0)

    def lines(self) -> list[str]:
        """The report as text. With none lost in N, the chance of a loss is below 3/N (95 %)."""
        lines = self.summary.lines() + (self.once.lines() if self.once else [])
        if self.lost or not self.summary.requests:
            return lines
        return [*lines, f"0 lost in {self.summary.requests}: less than 1 in {self.summary.requests // 3} (95 %)"]
