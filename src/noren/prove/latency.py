"""Durations summed up: exact percentiles of what is in memory, and a histogram for what is not kept.

Used by summaries, reports and proofs. Milliseconds come out, seconds go in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, exp, log

_FINE = 50  # buckets for each factor e: 2 % wide
_SHORTEST = 1e-6  # seconds


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


class Histogram:
    """Any number of durations in a few kilobytes; percentiles are right to 2 %, the greatest is exact."""

    __slots__ = ("_counts", "_longest", "samples")

    def __init__(self) -> None:
        self.samples = 0
        self._counts: Counter[int] = Counter()
        self._longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.samples += 1
        self._counts[int(log(max(seconds, _SHORTEST)) * _FINE)] += 1
        self._longest = max(self._longest, seconds)

    def merge(self, other: Histogram) -> None:
        """Count all of another one."""
        self.samples += other.samples
        self._counts.update(other._counts)
        self._longest = max(self._longest, other._longest)

    def at(self, share: float) -> float:
        """The percentile in milliseconds; 0 when there is none."""
        left = ceil(self.samples * share)
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left <= 0:
                return min(exp(bucket / _FINE), self._longest) * 1000
        return 0.0

    def percentiles(self) -> Percentiles:
        """What a report says."""
        return Percentiles(self.samples, self.at(0.5), self.at(0.99), self._longest * 1000)
