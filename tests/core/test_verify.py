"""The verdict on real traffic: convicts quickly, and not the innocent."""

from __future__ import annotations

import random
from fractions import Fraction
from math import comb

import pytest

from noren.core.model import Verify
from noren.core.traffic import Counts, Traffic
from noren.core.verify import SIGNIFICANCE, find_fault, tail, upper_bound

VERIFY = Verify()
LONG_GOOD = Traffic(reads=Counts(100_000, 0))


def reads(ok: int, failed: int) -> Traffic:
    return Traffic(reads=Counts(ok, failed))


@pytest.mark.parametrize(
    ("new", "bad"),
    [
        (reads(0, 4), False),  # too few to say
        (reads(0, 5), True),  # fast lane: 5 errors and nothing else
        (reads(5, 5), True),  # fast lane: exactly half
        (reads(6, 5), False),  # under half, and too few for the slow lane
        (reads(40, 9), False),  # 49 requests: one too few for the slow lane
        (reads(38, 12), True),  # slow lane: 24 % of 50 are no 2 %
        (reads(980, 20), False),  # at the bound
        (reads(930, 70), True),  # 7 % of 1,000 are no 2 %
        (reads(0, 0), False),
    ],
)
def test_a_candidate_after_a_faultless_release_is_judged_by_both_lanes(new: Traffic, bad: bool) -> None:
    assert (find_fault(LONG_GOOD, new, VERIFY) is not None) is bad


def test_what_the_old_release_failed_as_well_convicts_no_candidate() -> None:
    assert find_fault(reads(5_000, 5_000), reads(500, 500), VERIFY) is None
    assert find_fault(reads(0, 10_000), reads(0, 500), VERIFY) is None


def test_a_short_history_of_the_old_release_does_not_convict_the_new_one() -> None:
    assert find_fault(reads(10, 0), reads(93, 7), VERIFY) is None
    assert find_fault(LONG_GOOD, reads(930, 70), VERIFY) is not None


def test_failing_writes_are_found_among_many_good_reads() -> None:
    old = Traffic(reads=Counts(100_000, 0), writes=Counts(10_000, 0))
    new = Traffic(reads=Counts(10_000, 0), writes=Counts(5, 5))
    finding = find_fault(old, new, VERIFY)
    assert finding and finding.reason.startswith("5 of 10 writes failed (50.0%)")


def test_a_change_of_mix_is_no_change_of_quality() -> None:
    old = Traffic(reads=Counts(99_000, 0), writes=Counts(900, 100))
    assert find_fault(old, Traffic(writes=Counts(900, 100)), VERIFY) is None
    assert find_fault(old, Traffic(reads=Counts(900, 100)), VERIFY) is not None


def test_reads_and_writes_that_are_too_few_alone_convict_together() -> None:
    old = Traffic(reads=Counts(10_000, 0), writes=Counts(10_000, 0))
    finding = find_fault(old, Traffic(reads=Counts(21, 9), writes=Counts(21, 9)), VERIFY)
    assert finding and finding.reason.startswith("18 of 60 requests failed")


def test_the_upper_bound_holds_the_share_and_narrows_with_more_answers() -> None:
    bounds = [upper_bound(Counts(99 * n, n)) for n in (1, 10, 100, 1000)]
    assert bounds == sorted(bounds, reverse=True)
    assert 0.01 < bounds[-1] < 0.011
    assert upper_bound(Counts()) == 0.0
    assert upper_bound(Counts(0, 10)) == pytest.approx(1.0)


@pytest.mark.parametrize("n", [1, 2, 7, 20, 60])
@pytest.mark.parametrize("share", [Fraction(1, 1000), Fraction(1, 50), Fraction(1, 3), Fraction(9, 10)])
def test_the_tail_is_the_exact_binomial_sum(n: int, share: Fraction) -> None:
    for k in range(n + 2):
        terms = (comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k, n + 1))
        exact = float(sum(terms, start=Fraction()))
        assert tail(n, k, float(share)) == pytest.approx(exact, rel=1e-9, abs=1e-300)


def test_the_tail_knows_the_ends_of_its_range() -> None:
    assert (tail(10, 0, 0.5), tail(10, 11, 0.5), tail(10, 1, 0.0), tail(10, 3, 1.0)) == (1.0, 0.0, 0.0, 1.0)


# --- simulated rollouts: 100 requests/s, looked at every 0.25 s --------------------------------

RATE = 100
LOOK = 0.25


def bake(draw: random.Random, rate: float, before: float, seconds: float = 60.0) -> float | None:
    """Seconds until a candidate with this error rate is convicted; None: it is kept."""
    history = 60 * RATE
    failed_before = sum(draw.random() < before for _ in range(history)) if before else 0
    old = reads(history - failed_before, failed_before)
    ok = failed = 0
    for look in range(1, int(seconds / LOOK) + 1):
        for _ in range(int(RATE * LOOK)):
            if rate and draw.random() < rate:
                failed += 1
            else:
                ok += 1
        if failed and find_fault(old, reads(ok, failed), VERIFY):
            return look * LOOK
    return None


@pytest.mark.parametrize(("rate", "seed"), [(0.0, 1), (0.005, 2), (0.01, 3)])
def test_no_healthy_rollout_of_1000_at_each_normal_error_rate_is_sent_back(rate: float, seed: int) -> None:
    """3,000 rollouts in all; by the rule of three fewer than 1 in 1,000 are (3/3,000), at 95 % confidence."""
    draw = random.Random(seed)
    assert sum(bake(draw, rate, rate) is not None for _ in range(1000)) == 0


def test_a_release_that_always_fails_is_found_at_the_first_look() -> None:
    draw = random.Random(1)
    assert {bake(draw, 1.0, before) for before in (0.0, 0.005, 0.01)} == {LOOK}


def test_a_release_that_fails_30_percent_is_found_within_a_second() -> None:
    draw = random.Random(2)
    times = [bake(draw, 0.3, 0.01) for _ in range(200)]
    assert all(t is not None and t <= 1.0 for t in times)


def test_each_look_may_convict_an_app_at_the_very_bound_less_than_once_in_a_million() -> None:
    """Exact, for the smallest samples: the least number of errors that convicts is that unlikely at the bound."""
    old = Traffic(reads=Counts(10_000_000, 0))
    bound = upper_bound(old.both) + VERIFY.max_error_rate
    for n in (50, 100, 400):
        least = next(k for k in range(n) if find_fault(old, reads(n - k, k), VERIFY))
        exact = sum(comb(n, i) * Fraction(bound) ** i * (1 - Fraction(bound)) ** (n - i) for i in range(least, n + 1))
        assert exact < SIGNIFICANCE
