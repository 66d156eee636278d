"""When a schedule comes round: daily, hourly or a cron line, in a time zone, across daylight-saving changes.

Asked by ``engine/timer.py`` with the time of now. Cron lines are read by cronsim, which does as Debian's
cron does: a fixed time that the spring change skips comes right after the gap, one that the autumn
change repeats comes once, and ``*/15`` or ``0 * * * *`` follow real time.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from cronsim import CronSim, CronSimError

SHORT = {"hourly": "0 * * * *", "daily": "0 0 * * *"}
NAP = 600.0  # seconds after which whoever waits looks at the clock again: it may be set, and a machine may sleep
AHEAD = 3600.0  # seconds; a clock that is set back by less must not make the same time come twice


def moment(text: str) -> datetime:
    """A time of a record."""
    return datetime.fromisoformat(text)


def rfc3339(time: datetime) -> str:
    """A time for a record."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def next_after(schedule: str, zone: tzinfo, after: datetime) -> datetime:
    """The first time of the schedule after a moment, in UTC.

    Raises ValueError for what is no schedule, or never comes.
    """
    try:
        times = CronSim(SHORT.get(schedule.removeprefix("@"), schedule), after.astimezone(zone))
        # Within the repeated hour a fixed time that was an hour ago is told again: it has passed.
        return next(utc for utc in (time.astimezone(UTC) for time in times) if utc > after)
    except (CronSimError, StopIteration) as exc:
        raise ValueError('must be "daily", "hourly" or a cron line such as "30 4 * * Mon-Fri"') from exc


def due(schedule: str, zone: tzinfo, *, last: datetime, now: datetime) -> datetime | None:
    """The first time that came since the schedule was followed last; None when it is not there yet.

    However many have come since, following it once settles them all. A clock that was far ahead
    when it was followed last counts as if it were followed now.
    """
    time = next_after(schedule, zone, min(last, now) if (last - now).total_seconds() > AHEAD else last)
    return time if time <= now else None
