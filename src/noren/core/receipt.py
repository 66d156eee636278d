"""The receipt of a rollout: what the upgrade cost, as the JSON that scripts rely on.

Made by the engine when a rollout has its outcome, from its record, the proxy's counters at both
ends of the window (intent to verdict) and the sampled log.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

from noren.core.record import RolloutRecord
from noren.core.traffic import Counts, Observation, Sample, Traffic
from noren.core.verdict import Outcome

BEFORE = 60.0  # seconds before the intent that count as "before"


def percentile(values: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile of sorted values; None for no values."""
    return values[max(0, ceil(share * len(values)) - 1)] if values else None


def latency(samples: Sequence[Sample], start: float, end: float) -> dict[str, Any]:
    """Percentiles in milliseconds of the requests that ended in [start, end); a WebSocket (101) is no request."""
    values = sorted(s.ms for s in samples if start <= s.at < end and s.status != 101)
    return {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99), "samples": len(values)}


def spent(before: Observation, after: Observation) -> dict[int, Traffic]:
    """Answers by release between two observations of the same proxy process."""
    zero = Traffic()
    return {number: traffic - before.releases.get(number, zero) for number, traffic in after.releases.items()}


def receipt(
    record: RolloutRecord,
    *,
    ended_at: str,
    final: Observation | None,
    carried: bool = True,
    samples: Sequence[Sample],
    verdict_at: float,
    events: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """The receipt as JSON-ready values; ``verdict_at`` is monotonic.

    Without ``carried`` no proxy of ours carried the traffic: what only a proxy can count is null.
    """
    rollout = record.rollout
    verdict = rollout.verdict
    assert verdict is not None
    counted = _counted(record, final, samples, verdict_at)
    return {
        "rollout": rollout.id,
        "kind": rollout.kind.value,
        "app": rollout.app.name,
        "release": rollout.number,
        "revision": rollout.revision,
        "from_release": rollout.old.release if rollout.old else None,
        "trigger": rollout.trigger,
        "events": list(events),
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "started_at": record.started_at,
        "ended_at": ended_at,
        **(counted if carried else dict.fromkeys(counted)),
        "switch_ms": record.switch_ms,
        "phases": [{"phase": phase, "seconds": round(seconds, 4)} for phase, seconds in record.phases],
    }


def _counted(
    record: RolloutRecord, final: Observation | None, samples: Sequence[Sample], verdict_at: float
) -> dict[str, Any]:
    """What only the proxy that carried the traffic can tell."""
    rollout, base = record.rollout, record.at_intent
    switched = record.switched if record.switched is not None else verdict_at
    by_release = spent(base, final) if base and final and base.proxy == final.proxy else _since_restart(final)
    serving = {rollout.number, rollout.old.release if rollout.old else 0}
    by_release = _counted_once(by_release, base, serving)
    if rollout.verdict and rollout.verdict.outcome is Outcome.ROLLED_BACK and final:
        by_release = _with_waiting(by_release, rollout.number, final)
    return {
        "requests": _requests(by_release) if final else None,
        "complete": base is not None and final is not None and base.proxy == final.proxy,
        "by_release": {str(n): t.both.total for n, t in sorted(by_release.items()) if t.both.total},
        "latency_ms": {
            "before": latency(samples, record.intent - BEFORE, record.intent),
            "during": latency(samples, record.intent, switched),
            "after": latency(samples, switched, verdict_at),
        },
        "longest_hold_ms": 0,
    }


def _since_restart(final: Observation | None) -> dict[int, Traffic]:
    """The proxy died in between: what is left are the answers of the new process."""
    return dict(final.releases) if final else {}


def _counted_once(by_release: dict[int, Traffic], base: Observation | None, serving: set[int]) -> dict[int, Traffic]:
    """Requests that a release sent back earlier had left without an answer are in its own receipt; they end in ours."""
    known = {number: late for number, late in (base.overdue if base else {}).items() if number not in serving}
    return {n: _less_failed(t, known[n]) if n in known else t for n, t in by_release.items()}


def _less_failed(traffic: Traffic, known: Traffic) -> Traffic:
    reads = Counts(failed=min(traffic.reads.failed, known.reads.failed))
    writes = Counts(failed=min(traffic.writes.failed, known.writes.failed))
    return traffic - Traffic(reads, writes)


def _with_waiting(by_release: dict[int, Traffic], number: int, final: Observation) -> dict[int, Traffic]:
    """A release that was sent back answers no more: what waits for it now has no complete answer."""
    waiting = by_release.get(number, Traffic()) + final.waiting.get(number, Traffic())
    return {**by_release, number: waiting}


def _requests(by_release: dict[int, Traffic]) -> dict[str, int]:
    counts = sum((t.both for t in by_release.values()), Counts())
    return {"total": counts.total, "ok": counts.ok, "failed": counts.failed, "retried": counts.retried, "held": 0}
