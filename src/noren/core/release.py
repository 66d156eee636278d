"""Which releases stay and which one to go back to.

Asked by the engine when it prunes and when a person asks for a rollback without a number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from noren.core.record import ReleaseRecord
from noren.core.verdict import Outcome


def superfluous(releases: Iterable[ReleaseRecord], *, keep: int, in_use: Collection[int]) -> list[ReleaseRecord]:
    """Built releases beyond the newest ``keep``, but those in use and the ones to go back to from them."""
    built = sorted((r for r in releases if r.artifact is not None), key=lambda r: r.number, reverse=True)
    spare = (previous(built, number) for number in in_use)
    stay = {r.number for r in (*built[:keep], *spare) if r is not None} | set(in_use)
    return [r for r in built if r.number not in stay]


def previous(releases: Iterable[ReleaseRecord], active: int) -> ReleaseRecord | None:
    """The newest kept release before the active one whose artifact is there."""
    kept = [r for r in releases if r.number < active and r.outcome is Outcome.KEPT and r.artifact is not None]
    return max(kept, key=lambda r: r.number, default=None)
