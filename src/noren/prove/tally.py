"""Sums over a run, load by load and slot of time by slot of time: what reports and plots are made of.

The ledger keeps one; its size depends on the length of the run and not on the number of requests.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from noren.prove.latency import Histogram
from noren.prove.outcome import Outcome

if TYPE_CHECKING:
    from noren.prove.ledger import Record


@dataclass(slots=True)
class LoadTally:
    """One load. ``first`` and ``last`` are intended starts, loop time."""

    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    latency: Histogram = field(default_factory=Histogram)
    late: Histogram = field(default_factory=Histogram)
    first: float = inf
    last: float = -inf


@dataclass(slots=True)
class Slot:
    """One slot of time, by intended start."""

    by_release: Counter[str] = field(default_factory=Counter[str])
    lost: int = 0
    latency: Histogram = field(default_factory=Histogram)


class Tally:
    """``slots`` by number (wall-clock seconds by ``width``); other threads may read ``requests`` and ``lost``."""

    def __init__(self, width: float) -> None:
        self.width = width
        self.requests = 0
        self.lost = 0
        self.loads: dict[str, LoadTally] = {}
        self.slots: dict[int, Slot] = {}
        self.by_release: Counter[str] = Counter()

    def add(self, record: Record) -> None:
        """Count an ended request."""
        self.requests += 1
        self.lost += record.lost
        load = self.loads.get(record.load)
        if load is None:
            load = self.loads[record.load] = LoadTally()
        load.outcomes[record.outcome] += 1
        load.latency.add(record.latency)
        load.late.add(record.late)
        load.first, load.last = min(load.first, record.due), max(load.last, record.due)
        release = record.release or "-"
        self.by_release[release] += 1
        slot = self._slot(record)
        slot.by_release[release] += 1
        slot.latency.add(record.latency)
        slot.lost += record.lost

    def refute(self, record: Record, outcome: Outcome) -> None:
        """What was counted with its outcome turned out to be ``outcome``."""
        outcomes = self.loads[record.load].outcomes
        outcomes[record.outcome] -= 1
        outcomes[outcome] += 1
        self.lost += not record.lost
        self._slot(record).lost += not record.lost

    def _slot(self, record: Record) -> Slot:
        number = int(record.wall / self.width)
        slot = self.slots.get(number)
        if slot is None:
            slot = self.slots[number] = Slot()
        return slot
