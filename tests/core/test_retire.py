"""Old releases on their way out: when they are due, who is cut, how they are told apart."""

from __future__ import annotations

from dataclasses import replace

from noren.core.record import RetiringRecord
from noren.core.retire import RetirePhase, Retiring, Running, crowded_out
from tests.core.parts import instance, running


def retiring(number: int, until: float = 0.0, phase: RetirePhase = RetirePhase.WARM) -> Retiring:
    return Retiring(running=running(number), phase=phase, until=until)


def test_at_most_three_retire_and_the_oldest_are_cut_first() -> None:
    five = tuple(retiring(n) for n in range(1, 6))
    assert [r.running.release for r in crowded_out(five)] == [1, 2]
    assert crowded_out(five[:3]) == ()


def test_two_parts_of_one_release_are_two_records() -> None:
    """A step leaves one, a healer starts another of the same ordinal, a later step leaves that one too."""
    first, healed = instance(1, 2), replace(instance(1, 2), id="api-1-1-2-99")
    keys = {
        RetiringRecord(
            retiring=Retiring(running=Running(release=1, rollout=1, instances=(i,)), phase=RetirePhase.WARM)
        ).key
        for i in (first, healed)
    }
    assert len(keys) == 2


def test_a_backend_is_named_by_release_and_rollout() -> None:
    assert running(42, rollout=7).name("website") == "website@42.7"
