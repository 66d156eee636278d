"""Which commits become rollouts, and how long to wait after faults from outside."""

from __future__ import annotations

from typing import Any

from noren.core.quarantine import Quarantined
from noren.core.schedule import Hold, Passed, Wanted, consider, retry_delay

HOLD = Hold(reason="freeze", by="me", since="T0")
BARRED = Quarantined(revision="b", settings="s", reason="exit 3", since="T1")
NOTHING: dict[str, Any] = {
    "settings": "s",
    "last_revision": "a",
    "last_settings": "s",
    "hold": None,
    "quarantined": [],
}


def asked(revision: str, *, manual: bool = False, **changed: Any) -> Passed | None:
    return consider(Wanted(revision=revision, trigger="poll", manual=manual), **NOTHING | changed)


def test_a_new_revision_and_changed_settings_are_released() -> None:
    assert asked("b") is None
    assert asked("a", settings="t") is None


def test_a_commit_that_leads_to_the_same_revision_is_passed_over_for_good() -> None:
    passed = asked("a")
    assert passed and passed.settled


def test_a_held_app_is_considered_again_later() -> None:
    passed = asked("b", hold=HOLD)
    assert passed and not passed.settled and "held by me: freeze" in passed.reason


def test_a_quarantined_revision_is_passed_over_with_these_settings_only() -> None:
    passed = asked("b", quarantined=[BARRED])
    assert passed and passed.settled and "quarantined since T1: exit 3" in passed.reason
    assert asked("b", settings="t", quarantined=[BARRED]) is None
    assert asked("c", quarantined=[BARRED]) is None


def test_people_are_always_heard() -> None:
    assert asked("a", manual=True, hold=HOLD, quarantined=[BARRED]) is None


def test_the_pause_doubles_from_5_seconds_to_10_minutes_and_stays_there_for_years() -> None:
    assert [retry_delay(n) for n in (1, 2, 3, 7, 8)] == [5, 10, 20, 320, 600]
    assert retry_delay(1_000_000) == 600
