"""A ledger that keeps only sums says the same as one that keeps all, in bounded memory."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from noren.prove.latency import Histogram, Percentiles
from noren.prove.ledger import Ledger
from noren.prove.orders import Order, exactly_once
from noren.prove.outcome import Outcome, Problem
from noren.prove.proof import Proof
from noren.prove.request import Answer

ANSWER = Answer(201, {"x-noren-release": "shop@1"}, b"", True)


def filled(whole: bool) -> Ledger:
    """A thousand requests, each hundredth lost."""
    ledger, now = Ledger(7, whole=whole), time.monotonic() - 1
    for number in range(1, 1001):
        result = Problem(Outcome.RESET, "closed") if number % 100 == 0 else ANSWER
        ledger.settle("posts", f"run-posts-{number}", due=now, issued=now, result=result, once=True)
    return ledger


def test_sums_are_those_of_the_whole_ledger_and_only_the_lost_are_kept() -> None:
    whole, sums = filled(True), filled(False)
    assert (len(whole.records), len(sums.records)) == (1000, 10)
    one, other = Proof.of(whole, []), Proof.of(sums, [])
    assert one.once == other.once and other.once is not None
    assert len(other.once.missing) == 990
    assert replace(one.summary, loads=(), losses=()) == replace(other.summary, loads=(), losses=())


def test_executions_are_counted_in_a_ledger_of_sums() -> None:
    ledger = filled(False)
    orders = [Order(f"run-posts-{n}", "1") for n in range(1, 1001) if n % 100] + [Order("run-posts-7", "2")]
    orders += [Order("run-posts-100", "1"), Order("run-posts-5000", "1"), Order("other-1", "1")]
    once = exactly_once(ledger, orders)
    assert (once.missing, once.doubled, once.unanswered) == ((), ("run-posts-7",), ("run-posts-100",))


def test_a_refuted_answer_is_lost_in_the_sums_too() -> None:
    ledger, now = Ledger(7, whole=False), time.monotonic()
    record = ledger.settle("gets", "run-gets-1", due=now, issued=now, result=ANSWER)
    ledger.refute(record, Problem(Outcome.DUPLICATE, "a second answer came"))
    assert (ledger.tally.requests, ledger.tally.lost) == (1, 1)
    assert [lost.outcome for lost in ledger.lost()] == [Outcome.DUPLICATE]
    assert sum(slot.lost for slot in ledger.tally.slots.values()) == 1


def test_percentiles_of_a_histogram_are_right_to_two_percent() -> None:
    rng, histogram = random.Random(1), Histogram()
    values = [rng.lognormvariate(-5, 1) for _ in range(10_000)]
    for value in values:
        histogram.add(value)
    exact, told = Percentiles.of(values), histogram.percentiles()
    assert told.p50 == pytest.approx(exact.p50, rel=0.021)
    assert told.p99 == pytest.approx(exact.p99, rel=0.021)
    assert (told.max, told.samples) == (exact.max, exact.samples)
