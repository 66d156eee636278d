"""What failed by its own fault, so that no trigger tries it again.

Keyed by revision and settings: the next commit, or changed settings, are tried. Asked by
``schedule.consider`` before anything is queued.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """``since`` is RFC 3339 UTC; ``settings`` is a settings digest.

    ``artifact`` is the digest of what a scheduled rebuild made: only that is barred, another one of the same revision
    is tried. None: the revision, whatever is built from it.
    """

    revision: str
    settings: str
    reason: str
    since: str
    artifact: str | None = None


def find(
    entries: Iterable[Quarantined], revision: str, settings: str, artifact: str | None = None
) -> Quarantined | None:
    """The entry that bars this revision with these settings, or this artifact of it."""
    ours = (e for e in entries if e.revision == revision and e.settings == settings)
    return next((e for e in ours if e.artifact in (None, artifact)), None)


def matching(entries: Iterable[Quarantined], prefix: str) -> tuple[Quarantined, ...]:
    """Every entry whose revision starts with what a person typed."""
    return tuple(e for e in entries if e.revision.startswith(prefix.lower()))
