"""A schedule comes at each of its times once, across both daylight-saving changes, and once after any downtime."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from noren.timetable import due, moment, next_after, rfc3339

YEAR = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
# The nights of 2026 in which a wall clock skips an hour and repeats one: (day, hour) in each zone.
CHANGES = {
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25), 2),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1), None),
}


def walls(zone: ZoneInfo, wall: time) -> Iterator[datetime]:
    """Each day's first moment at which the clock on the wall is at this time, or the end of the gap that skips it."""
    day = YEAR[0].astimezone(zone).date()
    while day <= YEAR[1].astimezone(zone).date():
        first = datetime.combine(day, wall, zone).astimezone(UTC)
        if first.astimezone(zone).time() != wall:  # skipped: look for the first moment after the gap, a minute a step
            first = datetime.combine(day, time(0), zone).astimezone(UTC)
            while first.astimezone(zone).time() < wall:
                first += timedelta(minutes=1)
        if YEAR[0] < first < YEAR[1]:
            yield first
        day += timedelta(days=1)


def every(seconds: int) -> list[datetime]:
    steps = int((YEAR[1] - YEAR[0]).total_seconds()) // seconds
    return [YEAR[0] + timedelta(seconds=seconds * n) for n in range(1, steps)]


def followed(schedule: str, zone: ZoneInfo, naps: float = 0.0) -> list[datetime]:
    """A year of an engine that sleeps until the next time and follows it; ``naps``: it wakes in between, too."""
    now = last = YEAR[0]
    times: list[datetime] = []
    while (following := next_after(schedule, zone, last)) < YEAR[1]:
        now = min(following, now + timedelta(seconds=naps)) if naps else following
        if at := due(schedule, zone, last=last, now=now):
            times.append(at)
            last = now
    return times


@pytest.mark.parametrize("name", CHANGES)
def test_a_year_of_schedules_comes_once_at_each_expected_time(name: str) -> None:
    zone = ZoneInfo(name)
    expected = {
        "hourly": every(3600),
        "*/30 * * * *": every(1800),
        "daily": list(walls(zone, time(0))),
        "30 4 * * *": list(walls(zone, time(4, 30))),
        "30 2 * * *": list(walls(zone, time(2, 30))),  # skipped in spring in both zones, repeated in autumn in Berlin
        "0 2 * * *": list(walls(zone, time(2))),
        "30 1 * * *": list(walls(zone, time(1, 30))),  # repeated in autumn in New York
    }
    for schedule, times in expected.items():
        assert followed(schedule, zone) == times, schedule
    assert len(expected["daily"]) == len(expected["30 2 * * *"]) == 365
    print(f"CLAIM a year in {name}: " + ", ".join(f"{schedule!r} {len(t)}" for schedule, t in expected.items()))


@pytest.mark.parametrize("name", CHANGES)
def test_the_skipped_and_the_repeated_hour_are_those_of_the_zone(name: str) -> None:
    """Guards the expectation above: the year does hold both changes."""
    zone = ZoneInfo(name)
    spring, autumn, _ = CHANGES[name]
    assert next(t for t in walls(zone, time(2, 30)) if t.astimezone(zone).date() == spring).astimezone(
        zone
    ).time() == time(3)
    lengths = {
        day: datetime.combine(day + timedelta(days=1), time(0), zone).astimezone(UTC)
        - datetime.combine(day, time(0), zone).astimezone(UTC)
        for day in (spring, autumn)
    }
    assert lengths == {spring: timedelta(hours=23), autumn: timedelta(hours=25)}


def test_waking_in_between_changes_nothing() -> None:
    zone = ZoneInfo("Europe/Berlin")
    assert followed("30 2 * * *", zone, naps=5000) == followed("30 2 * * *", zone)


def test_after_downtime_over_many_times_one_is_owed() -> None:
    zone = ZoneInfo("UTC")
    last, now = datetime(2026, 5, 1, 0, 0, 1, tzinfo=UTC), datetime(2026, 5, 4, 9, tzinfo=UTC)
    assert due("daily", zone, last=last, now=now) == datetime(2026, 5, 2, tzinfo=UTC)
    assert due("daily", zone, last=now, now=now + timedelta(hours=14, minutes=59)) is None
    assert due("daily", zone, last=now, now=now + timedelta(hours=15)) == datetime(2026, 5, 5, tzinfo=UTC)


def test_a_clock_that_is_set_back_brings_no_time_twice() -> None:
    zone = ZoneInfo("UTC")
    midnight = datetime(2026, 5, 2, tzinfo=UTC)
    followed_at = midnight + timedelta(seconds=0.1)
    assert due("daily", zone, last=followed_at, now=midnight + timedelta(seconds=0.05)) is None


def test_a_clock_that_was_years_ahead_does_not_stop_the_schedule_for_years() -> None:
    zone = ZoneInfo("UTC")
    ahead, now = datetime(2036, 1, 1, tzinfo=UTC), datetime(2026, 5, 2, 12, tzinfo=UTC)
    assert due("daily", zone, last=ahead, now=now) is None
    assert next_after("daily", zone, min(ahead, now)) == datetime(2026, 5, 3, tzinfo=UTC)


def test_in_the_repeated_hour_a_time_that_has_passed_does_not_come_again() -> None:
    zone = ZoneInfo("Europe/Berlin")
    second_half_past_two = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)  # 02:15 on the wall, for the second time
    assert next_after("30 2 * * *", zone, second_half_past_two).astimezone(zone).date() == date(2026, 10, 26)


@pytest.mark.parametrize("text", ["", "sometimes", "* * *", "61 * * * *", "0 0 30 2 *", "0 0 31 4,6 *"])
def test_what_is_no_schedule_or_never_comes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cron line"):
        next_after(text, ZoneInfo("UTC"), YEAR[0])


def test_times_of_records_read_back() -> None:
    text = "2026-11-25T21:36:39.123Z"
    assert rfc3339(moment(text)) == text
