"""Whether a trigger becomes a rollout, waits, or is passed over, and why.

``engine/loop.py`` asks ``consider`` for each commit that a trigger found, with the record of the
app. Every commit is considered, not every commit is released: the newest wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from noren.core import quarantine
from noren.core.quarantine import Quarantined
from noren.core.version import older

SETTINGS = "settings"  # the trigger of a release that changed settings lead to
FIRST_RETRY = 5.0  # seconds
LAST_RETRY = 600.0
QUIET = 3.0  # seconds without another commit, after one that superseded another: ten pushes are two builds, not ten
BURST = 15.0  # seconds after which a burst of commits is built though it goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A person stopped automatic upgrades; ``since`` is RFC 3339 UTC."""

    reason: str
    by: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A revision that shall be released. ``attempt`` counts tries that failed by an outside fault.

    ``rebuilt`` is the scheduled time for which the active revision is built again: it is released only if the
    artifact differs.
    """

    revision: str
    trigger: str
    manual: bool = False
    attempt: int = 0
    rebuilt: str | None = None

    @property
    def automatic(self) -> bool:
        """Whether it may have to wait. Who deploys, or changes settings, wants it now."""
        return not self.manual and self.trigger != SETTINGS

    def again(self) -> Wanted:
        """The same after a try that failed by an outside fault."""
        return replace(self, attempt=self.attempt + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """What the last scheduled rebuild came to; ``at`` is the time it was due, RFC 3339 UTC."""

    at: str
    revision: str
    failed: bool
    result: str


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
    tag: str | None = None,
    last_tag: str | None = None,
) -> Passed | None:
    """None when the revision shall be released with these settings, else why not.

    ``last_revision`` and ``last_settings`` are what was considered last for this app: a commit
    that touches none of ``watch`` leads to the same revision and so to no upgrade. ``tag`` and ``last_tag`` are
    those that led to them: when the newest is deleted, the one before it is no upgrade.
    """
    if wanted.manual:
        return None
    if (wanted.revision, settings) == (last_revision, last_settings):
        return Passed("touches nothing that is watched")
    if tag and last_tag and older(tag, last_tag):
        return Passed(f"{tag} is older than {last_tag}, which came before it")
    if hold is not None:
        return Passed(f"held by {hold.by}: {hold.reason}", settled=False)
    barred = quarantine.find(quarantined, wanted.revision, settings)
    if barred is not None:
        return Passed(f"quarantined since {barred.since}: {barred.reason}")
    return None


def retry_delay(attempt: int) -> float:
    """Seconds until the next try after ``attempt`` (1, 2 …) outside faults in a row: 5, 10, 20 … 600."""
    return min(LAST_RETRY, FIRST_RETRY * 2 ** min(attempt - 1, 10))
