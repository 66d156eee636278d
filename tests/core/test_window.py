"""Windows: when an automatic upgrade may begin, and when the next one opens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from noren.core.window import opens, parse

BERLIN = ZoneInfo("Europe/Berlin")


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("windows", "now", "expected"),
    [
        ([], "2026-05-02 12:00", None),
        (["Mon-Fri 06:00-18:00"], "2026-05-01 06:00", None),  # a Friday
        (["Mon-Fri 06:00-18:00"], "2026-05-01 05:59", "2026-05-01 06:00"),
        (["Mon-Fri 06:00-18:00"], "2026-05-01 18:00", "2026-05-04 06:00"),
        (["22:00-04:00"], "2026-05-01 23:00", None),
        (["22:00-04:00"], "2026-05-01 03:59", None),
        (["22:00-04:00"], "2026-05-01 04:00", "2026-05-01 22:00"),
        (["Fri 22:00-04:00"], "2026-05-02 03:00", None),  # Saturday morning belongs to Friday
        (["Fri 22:00-04:00"], "2026-05-01 03:00", "2026-05-01 22:00"),
        (["Sat,Sun 00:00-24:00"], "2026-05-03 23:59", None),
        (["Sat,Sun 00:00-24:00"], "2026-05-04 00:00", "2026-05-09 00:00"),
        (["Sat-Mon 10:00-11:00"], "2026-05-04 09:00", "2026-05-04 10:00"),
        (["Mon 06:00-07:00", "Mon 05:00-05:30"], "2026-05-01 12:00", "2026-05-04 05:00"),
        (["Mon 06:00-07:00"], "2026-05-04 07:00", "2026-05-11 06:00"),
        (["Sun 03:00-05:00"], "2026-03-28 12:00", "2026-03-29 03:00"),  # the night that is an hour short
    ],
)
def test_the_next_window_opens(windows: list[str], now: str, expected: str | None) -> None:
    told = opens(windows, BERLIN, wall(now))
    assert told == (wall(expected).astimezone(UTC) if expected else None)


def test_whoever_sleeps_until_a_window_opens_finds_it_open_all_year() -> None:
    windows = ["Mon-Fri 02:30-03:10", "Sun 23:30-00:30"]
    now, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    found = 0
    while now < end:
        following = opens(windows, BERLIN, now)
        if following is None:
            found += 1
            now += timedelta(hours=2)
        else:
            assert now < following <= now + timedelta(days=8)
            now = following
    assert found == 261 + 52


@pytest.mark.parametrize(
    "text", ["", "06:00", "Mon 6:00-18:00", "Mo 06:00-18:00", "25:00-26:00", "12:60-13:00", "24:00-06:00"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be days and times"):
        parse(text)
