"""One table of measurements: what was measured, of how many, against which target. Every bench prints it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """``value`` and ``most`` in ``unit``; ``most`` is the target (None: none), ``least`` one that must be reached."""

    what: str
    value: float
    unit: str
    samples: int
    most: float | None = None
    least: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None when there is none."""
        if self.most is not None:
            return self.value <= self.most
        return self.value >= self.least if self.least is not None else None

    def cells(self) -> list[str]:
        """The row as text."""
        target = f"≤ {self.most:g}" if self.most is not None else f"≥ {self.least:g}" if self.least is not None else ""
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        return [
            self.what,
            f"{self.value:,.{0 if self.value >= 1000 else 2}f} {self.unit}",
            str(self.samples),
            target,
            verdict,
            self.note,
        ]


def percentiles(
    what: str, values: Sequence[float], shares: Iterable[float], unit: str, *, most: float, note: str = ""
) -> list[Row]:
    """A row for each percentile (nearest rank); the target is that of the highest."""
    ordered, shares = sorted(values), list(shares)
    return [
        Row(
            f"{what}, p{share * 100:g}",
            ordered[ceil(share * len(ordered)) - 1],
            unit,
            len(ordered),
            most=most if share == shares[-1] else None,
            note=note,
        )
        for share in shares
    ]


def show(title: str, rows: Iterable[Row]) -> None:
    """Print the table."""
    table = Table(title=title, title_justify="left")
    for name in ("measured", "value", "N", "target", "", "note"):
        table.add_column(name, justify="right" if name in ("value", "N", "target") else "left")
    for row in rows:
        table.add_row(*row.cells())
    Console(width=150).print(table)
