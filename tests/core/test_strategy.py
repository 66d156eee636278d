"""The steps of a strategy keep the promises of its docstring, for every size."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from noren.core.model import Strategy
from noren.core.strategy import Step, steps

SIZES = {"wanted": st.integers(1, 30), "surge": st.integers(1, 30), "old": st.integers(0, 30)}


def test_the_worked_example_of_the_docstring() -> None:
    assert steps(Strategy.ROLLING, wanted=3, surge=1, old=3) == (
        Step(start=1, weight=1 / 3, old=2),
        Step(start=1, weight=2 / 3, old=1),
        Step(start=1, weight=1.0, old=1),
    )


def test_blue_green_is_one_step_that_leaves_every_old_instance_warm() -> None:
    assert steps(Strategy.BLUE_GREEN, wanted=2, surge=1, old=5) == (Step(start=2, weight=1.0, old=5),)


def test_the_first_release_is_one_step_whatever_the_strategy() -> None:
    assert steps(Strategy.ROLLING, wanted=4, surge=1, old=0) == (Step(start=4, weight=1.0, old=0),)


@settings(deadline=None, derandomize=True)
@given(**SIZES)
def test_rolling_never_serves_with_fewer_nor_runs_more_than_it_says(wanted: int, surge: int, old: int) -> None:
    new, left = 0, old
    for step in steps(Strategy.ROLLING, wanted=wanted, surge=surge, old=old):
        new += step.start
        assert new + left <= max(wanted, old) + surge
        left = step.old
        assert new + left >= min(wanted, old)


@settings(deadline=None, derandomize=True)
@given(strategy=st.sampled_from(Strategy), **SIZES)
def test_every_strategy_ends_whole_with_all_traffic_moved(
    strategy: Strategy, wanted: int, surge: int, old: int
) -> None:
    planned = steps(strategy, wanted=wanted, surge=surge, old=old)
    weights = [step.weight for step in planned]
    left = [old, *(step.old for step in planned)]
    assert sum(step.start for step in planned) == wanted
    assert weights == sorted(set(weights)) and weights[0] > 0 and weights[-1] == 1.0
    assert left == sorted(left, reverse=True)
    assert left[-1] == left[-2] and (left[-1] > 0) == (old > 0), "the last step leaves something to go back to"
