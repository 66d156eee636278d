"""Windows in which automatic upgrades may begin: ``Mon-Fri 06:00-18:00``, ``22:00-04:00``.

Asked by the engine with the time of now before it begins what a trigger wants. A window over midnight
belongs to the day on which it begins. Times are those on the wall in the app's time zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(_DAYS)
_WINDOW = re.compile(
    rf"(?:(?P<days>(?:{_DAY})(?:[-,](?:{_DAY}))*) +)?(?P<start>\d\d:\d\d) ?- ?(?P<end>\d\d:\d\d)", re.IGNORECASE
)
_RULE = 'must be days and times such as "Mon-Fri 06:00-18:00" or "22:00-04:00"'


@dataclass(frozen=True, slots=True)
class Window:
    """``start`` and ``end`` are minutes of the day; ``end`` at or before ``start`` is on the next day."""

    days: frozenset[int]
    start: int
    end: int

    def open_at(self, wall: datetime) -> bool:
        """Whether it is open at a time on the wall."""
        minute = wall.hour * 60 + wall.minute
        today, yesterday = wall.weekday(), (wall.weekday() - 1) % 7
        if self.end > self.start:
            return today in self.days and self.start <= minute < self.end
        return (today in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)


def parse(text: str) -> Window:
    """Read a window; raises ValueError with how to write it."""
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise ValueError(_RULE)
    start, end = _minutes(match["start"]), _minutes(match["end"])
    if start == 24 * 60 or start == end:
        raise ValueError(f"{_RULE}; it must not be empty")
    return Window(_days(match["days"]), start, end)


def _minutes(text: str) -> int:
    hours, minutes = int(text[:2]), int(text[3:])
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise ValueError(f"{_RULE}, from 00:00 to 24:00")
    return hours * 60 + minutes


def _days(text: str | None) -> frozenset[int]:
    days: set[int] = set()
    for part in (text or "mon-sun").lower().split(","):
        first, _, last = part.partition("-")
        if "-" in last:
            raise ValueError(_RULE)
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        days.update(day % 7 for day in range(begin, end + 1 + (7 if end < begin else 0)))
    return frozenset(days)


def opens(windows: Iterable[str], zone: tzinfo, now: datetime) -> datetime | None:
    """When the next window opens, in UTC; None when one is open now, or when there are no windows.

    A window whose first minute the spring change skips is told up to an hour late.
    """
    parsed = [parse(text) for text in windows]
    wall = now.astimezone(zone)
    if not parsed or any(window.open_at(wall) for window in parsed):
        return None
    starts = (_start(window, zone, wall, day) for window in parsed for day in range(9))
    return min(start for start in starts if start is not None and start > now)


def _start(window: Window, zone: tzinfo, wall: datetime, later: int) -> datetime | None:
    day = wall.date() + timedelta(days=later)
    if day.weekday() not in window.days:
        return None
    return datetime.combine(day, time(window.start // 60, window.start % 60), zone).astimezone(UTC)
