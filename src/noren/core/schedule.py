"""Whether a trigger becomes a rollout, waits, or is passed over, and why.

``engine/loop.py`` asks ``consider`` for each commit that a trigger found, with the record of the
app. Every commit is considered, not every commit is released: the newest wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from noren.core import quarantine
from noren.core.quarantine import Quarantined

FIRST_RETRY = 5.0  # seconds
LAST_RETRY = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A person stopped automatic upgrades; ``since`` is RFC 3339 UTC."""

    reason: str
    by: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A revision that shall be released. ``attempt`` counts tries that failed by an outside fault."""

    revision: str
    trigger: str
    manual: bool = False
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Passed:
    """A trigger that becomes no rollout, and why; ``settled`` False: consider it again next time."""

    reason: str
    settled: bool = True


def consider(
    wanted: Wanted,
    *,
    settings: str,
    last_revision: str | None,
    last_settings: str | None,
    hold: Hold | None,
    quarantined: Iterable[Quarantined],
) -> Passed | None:
    """None when the revision shall be released with these settings, else why not.

    ``last_revision`` and ``last_settings`` are what was considered last for this app: a commit
    that touches none of ``watch`` leads to the same revision and so to no upgrade.
    """
    if wanted.manual:
        return None
    if (wanted.revision, settings) == (last_revision, last_settings):
        return Passed("touches nothing that is watched")
    if hold is not None:
        return Passed(f"held by {hold.by}: {hold.reason}", settled=False)
    barred = quarantine.find(quarantined, wanted.revision, settings)
    if barred is not None:
        return Passed(f"quarantined since {barred.since}: {barred.reason}")
    return None


def retry_delay(attempt: int) -> float:
    """Seconds until the next try after ``attempt`` (1, 2 …) outside faults in a row: 5, 10, 20 … 600."""
    return min(LAST_RETRY, FIRST_RETRY * 2 ** min(attempt - 1, 10))
