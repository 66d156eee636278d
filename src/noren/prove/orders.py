"""The app's own ledger: what it executed, and whether that was each request exactly once.

The app appends ``id release`` lines with one O_APPEND write each (``examples/ledger``); tests and ``proof`` read it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from noren.core.errors import NorenError
from noren.prove.ledger import Ledger
from noren.prove.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Order:
    """One execution of a request by a release."""

    id: str
    release: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """Ids that break "exactly once", and ``unanswered``: executed, but its client got no good answer."""

    orders: int
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    unanswered: tuple[str, ...]

    @property
    def broken(self) -> int:
        """Requests that were executed other than exactly once though their client was told "done"."""
        return len(self.missing) + len(self.doubled)

    def lines(self) -> list[str]:
        """The report as text."""
        return [
            f"executed exactly once: {self.orders - self.broken} of {self.orders};"
            f" {len(self.missing)} missing, {len(self.doubled)} doubled,"
            f" {len(self.unanswered)} executed but unanswered",
            *(f"  missing: {id}" for id in self.missing[:10]),
            *(f"  doubled: {id}" for id in self.doubled[:10]),
        ]


def read_orders(path: Path) -> list[Order]:
    """The app's ledger in the order of execution; none when the file does not exist yet.

    Raises NorenError for a line that is not ``id release``.
    """
    if not path.exists():
        return []
    return [_order(path, number, line) for number, line in enumerate(path.read_text().splitlines(), 1)]


def exactly_once(ledger: Ledger, orders: list[Order]) -> Once:
    """Compare what clients were told with what the app did. Ids of other runs in the app's ledger do not matter."""
    executed = Counter(order.id for order in orders)
    claims = [record for record in ledger.records if record.once]
    told = [record.id for record in claims if record.outcome is Outcome.OK]
    return Once(
        orders=len(claims),
        missing=tuple(id for id in told if not executed[id]),
        doubled=tuple(record.id for record in claims if executed[record.id] > 1),
        unanswered=tuple(record.id for record in claims if record.lost and executed[record.id]),
    )


def _order(path: Path, number: int, line: str) -> Order:
    id, space, release = line.partition(" ")
    if not (id and space and release):
        raise NorenError(
            "the app's ledger cannot be read",
            seen=f"{path}:{number}: {line[:80]!r}",
            hint="append each line with one write to a file opened with O_APPEND",
        )
    return Order(id, release)
