"""The client's ledger inside the window of a receipt: do both sides count the same?

A request that failed counts when it was under way in the window: the proxy counts it when it ends, and one that still
has no answer when its release is sent back at the verdict. Those within ``EDGE`` of the window's ends may be counted
either way, because client and proxy see a request some milliseconds apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from noren.prove.ledger import Ledger, Record
from noren.prove.summary import Percentiles

EDGE = 0.03  # seconds


def seconds(time: str) -> float:
    """RFC 3339 as seconds of the epoch."""
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


def ended_in(ledger: Ledger, receipt: dict[str, Any], edge: float = 0.0) -> list[Record]:
    """Requests that ended in the window, widened at both ends by ``edge`` seconds."""
    first, last = seconds(receipt["started_at"]) - edge, seconds(receipt["ended_at"]) + edge
    return [record for record in ledger.records if first <= record.wall + record.latency <= last]


def failures(ledger: Ledger, receipt: dict[str, Any]) -> tuple[int, int]:
    """The least and the most failed requests that the receipt may name."""
    first, last = seconds(receipt["started_at"]), seconds(receipt["ended_at"])
    lost = [(record.wall, record.wall + record.latency) for record in ledger.records if record.lost]
    least, most = (sum(begin <= last + edge and end >= first - edge for begin, end in lost) for edge in (-EDGE, EDGE))
    return least, most


def latency(records: Iterable[Record], loads: Iterable[str] | None = None) -> Percentiles:
    """Of these records, of these loads, from the moment they were sent."""
    names = set(loads) if loads is not None else None
    return Percentiles.of(record.latency - record.late for record in records if names is None or record.load in names)
