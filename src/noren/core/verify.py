"""Judges a candidate on the answers that users really get.

Called by ``rollout.step`` with the counters of the candidate since its switch and those of the
old release, reads and writes apart (a change of mix is no change of quality), and both together against
the worse kind of the old release, for where each alone is too few.

Two lanes. Fast: at least 5 failed answers and at least half of all worse than the old release had.
Slow: the failed answers are too many to be explained by the old release's error rate plus
``max_error_rate``: their binomial tail is below one in a million. At 240 looks a rollout, three comparisons
each, even an app that fails at the very bound is sent back for it at most about once in 1,400 rollouts.
The old rate enters as its Wilson upper bound (E. B. Wilson, JASA 22, 1927, at z = 2), so that a
short history of the old release does not convict the new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, log, log1p, sqrt

from noren.core.model import Verify
from noren.core.traffic import Counts, Traffic

FAST_ERRORS = 5
FAST_SHARE = 0.5
SIGNIFICANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a candidate is bad: a sentence with the figures."""

    reason: str


def upper_bound(counts: Counts, z: float = 2.0) -> float:
    """The largest error rate (0..1) that these answers make plausible; 0 for no answers at all."""
    n = counts.total
    if n == 0:
        return 0.0
    p = counts.failed / n
    centre = p + z * z / (2 * n)
    spread = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return min(1.0, (centre + spread) / (1 + z * z / n))


def tail(n: int, k: int, p: float) -> float:
    """P(X ≥ k) for X ~ Binomial(n, p)."""
    if k <= 0 or p >= 1:
        return 1.0
    if p <= 0:
        return 0.0
    total = 0.0
    for i in range(k, n + 1):
        term = exp(lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) + i * log(p) + (n - i) * log1p(-p))
        total += term
        if i > n * p and term < total * 1e-9:
            break
    return min(1.0, total)


def _share(counts: Counts) -> float:
    return counts.failed / counts.total if counts.total else 0.0


def _bad(old: Counts, new: Counts, settings: Verify) -> bool:
    if new.failed >= FAST_ERRORS and _share(new) >= FAST_SHARE + _share(old):
        return True
    if new.total < settings.min_requests:
        return False
    bound = upper_bound(old) + settings.max_error_rate
    return _share(new) > bound and tail(new.total, new.failed, bound) < SIGNIFICANCE


def find_fault(old: Traffic, new: Traffic, settings: Verify) -> Finding | None:
    """What is wrong with the candidate's answers, None as long as nothing is proved."""
    worst = max(old.both, old.reads, old.writes, key=upper_bound)
    for kind, before, after in (
        ("requests", worst, new.both),
        ("reads", old.reads, new.reads),
        ("writes", old.writes, new.writes),
    ):
        if _bad(before, after, settings):
            return Finding(
                f"{after.failed} of {after.total} {kind} failed ({_share(after):.1%}); "
                f"the old release failed {before.failed} of {before.total} ({_share(before):.1%})"
            )
    return None
