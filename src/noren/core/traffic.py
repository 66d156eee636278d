"""What came of requests, as a proxy counted or logged it.

Proxies report these, ``verify.py`` judges a release by them, the receipt shows them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Counts:
    """Answers of one kind of traffic: ``failed`` = 5xx or no complete answer."""

    ok: int = 0
    failed: int = 0
    retried: int = 0

    @property
    def total(self) -> int:
        """Requests that got an answer, good or bad."""
        return self.ok + self.failed

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.ok + other.ok, self.failed + other.failed, self.retried + other.retried)

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self.ok - other.ok, self.failed - other.failed, self.retried - other.retried)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Answers of one release by twin: reads (GET, HEAD, OPTIONS) and writes (everything else)."""

    reads: Counts = Counts()
    writes: Counts = Counts()

    @property
    def both(self) -> Counts:
        """Reads and writes together."""
        return self.reads + self.writes

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.reads + other.reads, self.writes + other.writes)

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(self.reads - other.reads, self.writes - other.writes)


OVERDUE = 2  # seconds; an answer later than this is as good as none to who waits for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Cumulative counters of an app, by number of the release that answered.

    They only grow while ``proxy`` (an id of the proxy process) stays the same; Noren's own probes are excluded.
    ``waiting`` are requests of now without the head of an answer, counted as failed; ``overdue`` those of them
    that have waited for more than ``OVERDUE`` seconds.
    """

    proxy: str
    releases: dict[int, Traffic] = field(default_factory=dict[int, Traffic])
    waiting: dict[int, Traffic] = field(default_factory=dict[int, Traffic])
    overdue: dict[int, Traffic] = field(default_factory=dict[int, Traffic])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request from the proxy's log. ``at`` is monotonic seconds, ``ms`` its total time."""

    at: float
    release: int
    method: str
    path: str
    status: int
    ms: float
    retries: int = 0
    complete: bool = True
