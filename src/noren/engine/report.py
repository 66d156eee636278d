"""The book of an app as the JSON that scripts rely on (docs: "JSON").

Called by ``desk.py`` for ``noren status`` and ``noren releases``; the receipt is made by
``core/receipt.py`` when a rollout ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from noren.core.preview import preview_name
from noren.core.record import ReleaseRecord
from noren.core.rollout import Rollout
from noren.core.window import opens
from noren.engine.book import Book
from noren.timetable import moment, next_after, rfc3339

IDLE = "idle"  # the phase of an app without a rollout under way


def status(
    book: Book,
    urls: Sequence[str],
    left_out: Mapping[int, tuple[str, str]] = MappingProxyType({}),
    source_problem: str = "",
) -> dict[str, Any]:
    """One app of ``noren status``; ``left_out`` are pull requests without a preview.

    ``source_problem``: why the last look at the repository saw no commit.
    """
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
        "source_problem": source_problem or None,
        "waiting": _waiting(book),
        "schedule": _schedule(book),
        "urls": list(urls),
        "preview": {"of": preview.of, "number": preview.number} if (preview := book.app.preview) else None,
        "pull_requests": _pull_requests(book, left_out),
    }


def _pull_requests(book: Book, left_out: Mapping[int, tuple[str, str]]) -> list[dict[str, Any]]:
    shown = [_pull(p.number, p.head, preview_name(book.app.name, p.number), "") for p in book.previews.open]
    left = [_pull(number, head, None, reason) for number, (head, reason) in left_out.items()]
    return sorted(shown + left, key=lambda pull: pull["number"], reverse=True)


def _pull(number: int, head: str, preview: str | None, reason: str) -> dict[str, Any]:
    return {"number": number, "revision": head, "preview": preview, "reason": reason}


def _active(book: Book) -> dict[str, Any] | None:
    serving = book.serving
    if serving is None:
        return None
    release = book.releases[serving.release]
    switching = serving is not book.record.active and book.rollout
    since = book.rollout.switched_at if switching and book.rollout else book.record.active_since
    return {
        "release": serving.release,
        "revision": release.revision,
        "since": since,
        "instances": {"running": len(serving.instances), "wanted": release.app.instances},
    }


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
