"""The receipt: figures from counters and samples, in the JSON that scripts rely on."""

from __future__ import annotations

import json
from dataclasses import replace

from noren.core.phase import Phase
from noren.core.receipt import latency, percentile, receipt, spent
from noren.core.record import RolloutRecord
from noren.core.traffic import Counts, Observation, Sample, Traffic
from tests.core.parts import at, ended

BASE = Observation(proxy="p1", releases={1: Traffic(reads=Counts(100, 2, 1))})
FINAL = Observation(
    proxy="p1", releases={1: Traffic(reads=Counts(150, 3, 1)), 2: Traffic(Counts(40, 0), Counts(10, 5, 2))}
)
RECORD = RolloutRecord(
    rollout=at(Phase.KEPT),
    started_at="T0",
    intent=100.0,
    entered=130.0,
    switched=120.0,
    phases=(("queued", 0.0), ("baking", 60.00004)),
    at_intent=BASE,
    switch_ms=0.4,
)


def sample(at: float, ms: float) -> Sample:
    return Sample(at=at, release=1, method="GET", path="/", status=200, ms=ms)


def made(record: RolloutRecord = RECORD, final: Observation | None = FINAL, samples: tuple[Sample, ...] = ()) -> dict:
    body = receipt(record, ended_at="T9", final=final, samples=samples, verdict_at=180.0, events=[{"seq": 1}])
    return json.loads(json.dumps(body))


def test_the_keys_are_the_contract() -> None:
    assert set(made()) == {
        *("rollout", "kind", "app", "release", "revision", "from_release", "trigger", "events", "outcome", "reason"),
        *("started_at", "ended_at", "requests", "complete", "by_release", "latency_ms", "longest_hold_ms"),
        *("switch_ms", "phases"),
    }


def test_requests_are_what_the_counters_grew_by_between_intent_and_verdict() -> None:
    body = made()
    assert body["requests"] == {"total": 106, "ok": 100, "failed": 6, "retried": 2, "held": 0}
    assert body["by_release"] == {"1": 51, "2": 55}
    assert body["complete"] is True
    assert spent(BASE, BASE) == {1: Traffic()}


def test_a_proxy_that_died_in_between_makes_it_incomplete_with_what_the_new_one_counted() -> None:
    body = made(final=replace(FINAL, proxy="p2"))
    assert body["complete"] is False
    assert body["requests"]["total"] == 208


def test_requests_are_null_where_no_proxy_of_ours_answers() -> None:
    body = made(final=None)
    assert (body["requests"], body["complete"], body["by_release"]) == (None, False, {})


def test_a_receipt_without_a_switch_counts_everything_as_during() -> None:
    record = replace(RECORD, rollout=ended(Phase.FAILED), switched=None, switch_ms=None)
    body = made(record, samples=(sample(90, 1.0), sample(110, 2.0), sample(179, 3.0)))
    assert (body["outcome"], body["switch_ms"]) == ("failed", None)
    assert [body["latency_ms"][k]["samples"] for k in ("before", "during", "after")] == [1, 2, 0]


def test_latencies_are_split_at_intent_and_switch() -> None:
    body = made(samples=(sample(39, 9), sample(40, 1), sample(100, 2), sample(119, 3), sample(120, 4), sample(180, 9)))
    assert [body["latency_ms"][k]["p99"] for k in ("before", "during", "after")] == [1, 3, 4]


def test_percentiles_are_nearest_rank() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (50.0, 99.0, 7.0)
    assert percentile([], 0.5) is None
    assert latency([], 0, 1) == {"p50": None, "p99": None, "samples": 0}


def test_phases_are_listed_in_order_with_their_seconds() -> None:
    assert made()["phases"] == [{"phase": "queued", "seconds": 0.0}, {"phase": "baking", "seconds": 60.0}]


def test_what_a_release_sent_back_earlier_left_waiting_is_counted_in_its_own_receipt_only() -> None:
    base = replace(BASE, overdue={9: Traffic(reads=Counts(failed=3)), 1: Traffic(reads=Counts(failed=1))})
    final = replace(FINAL, releases={**FINAL.releases, 9: Traffic(reads=Counts(2, 5))})
    body = made(replace(RECORD, at_intent=base), final)
    assert body["by_release"] == {"1": 51, "2": 55, "9": 4}
    assert body["requests"]["failed"] == 6 + 2
