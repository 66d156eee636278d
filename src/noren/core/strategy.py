"""How many instances to start, what share of traffic to move and how many old ones to leave, step by step.

Called once when a rollout begins to start instances; ``rollout.step`` walks through the steps.

Worked example, rolling, 3 instances, surge 1, 3 old ones running:

    step 1: start 1 (4 run), move 1/3 of the traffic, leave 2 old ones
    step 2: start 1 (4 run), move 2/3 of the traffic, leave 1 old one
    step 3: start 1 (4 run), move all traffic, leave that 1 old one warm until the verdict
"""

from __future__ import annotations

from dataclasses import dataclass

from noren.core.model import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Start ``start`` more new instances; when ready move ``weight`` (0..1] of traffic; then leave ``old`` old ones."""

    start: int
    weight: float
    old: int


def steps(strategy: Strategy, *, wanted: int, surge: int, old: int) -> tuple[Step, ...]:
    """The steps from ``old`` instances of the old release to ``wanted`` of the new one.

    At no time fewer than ``min(wanted, old)`` instances take requests or more than
    ``max(wanted, old) + surge`` run (blue-green: ``wanted + old``), not counting those that drain.
    """
    if strategy is Strategy.BLUE_GREEN or old == 0:
        return (Step(start=wanted, weight=1.0, old=old),)
    planned: list[Step] = []
    new = 0
    while new < wanted:
        start = min(surge, wanted - new)
        new += start
        old = old if new == wanted else min(old, wanted - new)
        planned.append(Step(start=start, weight=new / (new + old) if new < wanted else 1.0, old=old))
    return tuple(planned)
