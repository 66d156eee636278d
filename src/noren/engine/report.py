"""The book of an app as the JSON that scripts rely on (docs: "JSON").

Called by ``desk.py`` for ``noren status`` and ``noren releases``; the receipt is made by
``core/receipt.py`` when a rollout ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from noren.core.record import ReleaseRecord
from noren.core.rollout import Rollout
from noren.core.timetable import moment, next_after, rfc3339
from noren.core.window import opens
from noren.engine.book import Book

IDLE = "idle"  # the phase of an app without a rollout under way


def status(book: Book, urls: Sequence[str]) -> dict[str, Any]:
    """One app of ``noren status``."""
    record = book.record
    rollout = book.rollout.rollout if book.rollout else None
    return {
        "name": book.app.name,
        "kind": book.app.kind.value,
        "phase": rollout.phase.value if rollout else IDLE,
        "active": _active(book),
        "candidate": _candidate(rollout) if rollout else None,
        "last_good": record.last_good,
        "hold": {"reason": record.hold.reason, "by": record.hold.by, "since": record.hold.since}
        if record.hold
        else None,
        "quarantined": [{"revision": q.revision, "reason": q.reason, "since": q.since} for q in book.quarantined],
        "waiting": _waiting(book),
        "schedule": _schedule(book),
        "urls": list(urls),
    }


def _active(book: Book) -> dict[str, Any] | None:
    serving = book.serving
    if serving is None:
        return None
    revision = book.releases[serving.release].revision
    switching = serving is not book.record.active and book.rollout
    since = book.rollout.switched_at if switching and book.rollout else book.record.active_since
    return {"release": serving.release, "revision": revision, "since": since}


def _waiting(book: Book) -> dict[str, Any] | None:
    """What a trigger or a person wants next, and the time until which it waits for a window."""
    wanted = book.record.wanted
    if wanted is None:
        return None
    triggers = book.app.triggers
    until = opens(triggers.windows, ZoneInfo(triggers.timezone), moment(book.clock.utc())) if wanted.automatic else None
    return {"revision": wanted.revision, "trigger": wanted.trigger, "until": until and rfc3339(until)}


def _schedule(book: Book) -> dict[str, Any] | None:
    """When it comes next, was followed last, and what building again then came to."""
    triggers, record = book.app.triggers, book.record
    if triggers.schedule is None:
        return None
    last, now = record.scheduled, moment(book.clock.utc())
    following = next_after(triggers.schedule, ZoneInfo(triggers.timezone), now)
    return {"next": rfc3339(following), "last": last, "result": record.rebuild and record.rebuild.result}


def _candidate(rollout: Rollout) -> dict[str, Any]:
    return {"release": rollout.number, "revision": rollout.revision, "phase": rollout.phase.value}


def releases(book: Book) -> list[dict[str, Any]]:
    """``noren releases``, newest first."""
    return [_release(book.releases[number]) for number in sorted(book.releases, reverse=True)]


def _release(release: ReleaseRecord) -> dict[str, Any]:
    return {
        "release": release.number,
        "revision": release.revision,
        "built_at": release.built_at,
        "outcome": release.outcome.value if release.outcome else None,
        "reason": release.reason,
    }
