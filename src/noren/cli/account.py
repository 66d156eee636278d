"""A receipt in words: one line for the end of a deploy, and the whole account.

Used by ``receipt`` and ``progress``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from noren.cli.text import moment, plain, short
from noren.core import message

Json = dict[str, Any]


def line(receipt: Json) -> str:
    """As people are told of it by other means, too."""
    return plain(message.line(receipt))


def whole(receipt: Json) -> Iterator[str]:
    """All of it, line by line."""
    yield line(receipt)
    yield f"  {receipt['kind']} by {plain(receipt['trigger'])}: revision {short(receipt['revision'])}, {_way(receipt)}"
    yield f"  from {moment(receipt['started_at'])} to {moment(receipt['ended_at'])}"
    if receipt["by_release"]:
        answers = ", ".join(f"{count:,} by release {number}" for number, count in receipt["by_release"].items())
        yield f"  answered: {answers}"
    latencies: Json = receipt["latency_ms"] or {}
    for name, latency in latencies.items():
        if latency["samples"]:
            yield f"  latency {name}: p50 {latency['p50']} ms, p99 {latency['p99']} ms ({latency['samples']:,} samples)"
    if receipt["switch_ms"] is not None:
        held = receipt["longest_hold_ms"]
        yield f"  switch took {receipt['switch_ms']} ms" + ("" if held is None else f", longest hold {held} ms")
    yield "  phases: " + ", ".join(f"{phase['phase']} {phase['seconds']:.1f} s" for phase in receipt["phases"])
    for event in receipt["events"]:
        yield f"  {event_line(event)}"


def _way(receipt: Json) -> str:
    before = receipt["from_release"]
    return f"release {before} → {receipt['release']}" if before else f"release {receipt['release']}, the first"


def event_line(event: Json) -> str:
    """A line of history."""
    rollout = f"#{event['rollout']}" if event.get("rollout") else "-"
    return f"{moment(event.get('at'))}  {event.get('app', '')}  {rollout}  {plain(event.get('text', ''))}"
