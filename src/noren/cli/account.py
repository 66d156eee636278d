"""A receipt in words: one line for the end of a deploy, and the whole account.

Used by ``receipt`` and ``progress``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from noren.cli.text import moment, plain, short

Json = dict[str, Any]


def line(receipt: Json) -> str:
    """``receipt website rollout 7: 18,204 requests, 0 failed, 2 retried, 0 held; kept: …``."""
    head = f"receipt {receipt['app']} rollout {receipt['rollout']}: {_requests(receipt)}"
    return f"{head}; {receipt['outcome']}{_because(receipt)}"


def _because(receipt: Json) -> str:
    return f": {plain(receipt['reason'])}" if receipt["reason"] else ""


def _requests(receipt: Json) -> str:
    requests: Json | None = receipt["requests"]
    if requests is None:
        return "no request passed our proxy"
    counts = ", ".join(f"{requests[name]:,} {name}" for name in ("failed", "retried", "held"))
    incomplete = "" if receipt["complete"] else " (incomplete: the proxy died in between)"
    return f"{requests['total']:,} requests, {counts}{incomplete}"


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
