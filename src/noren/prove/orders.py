"""The app's own ledger: what it executed, and whether that was each request exactly once.

The app appends ``id release`` lines with one O_APPEND write each (``examples/ledger``); tests and ``proof`` read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from noren.core.errors import NorenError
from noren.prove.ledger import Ledger


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
    return list(each_order(path))


def each_order(path: Path) -> Iterator[Order]:
    """The same one by one: the ledger of a long run need not fit in memory."""
    if path.exists():
        with path.open() as lines:
            for number, line in enumerate(lines, 1):
                yield _order(path, number, line.rstrip("\n"))


def exactly_once(ledger: Ledger, orders: Iterable[Order]) -> Once:
    """Compare what clients were told with what the app did. Ids of other runs in the app's ledger do not matter."""
    claims = ledger.claims
    claims.forget_executions()
    for order in orders:
        claims.executed(order.id)
    rows = list(_telling(ledger))
    return Once(
        orders=sum(1 for _ in claims.each()),
        missing=tuple(id for id, done, times in rows if done and not times),
        doubled=tuple(id for id, _, times in rows if times > 1),
        unanswered=tuple(id for id, done, times in rows if not done and times),
    )


def _telling(ledger: Ledger) -> Iterator[tuple[str, bool, int]]:
    """What is not as it should be: all but done and executed once."""
    return (claim for claim in ledger.claims.each() if claim[1:] != (True, 1))


def _order(path: Path, number: int, line: str) -> Order:
    id, space, release = line.rpartition(" ")
    if not (id and space and release):
        raise NorenError(
            "the app's ledger cannot be read",
            seen=f"{path}:{number}: {line[:80]!r}",
            hint="append each line with one write to a file opened with O_APPEND",
        )
    return Order(id, release)
