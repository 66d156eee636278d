"""What the forge is to be told of the releases of an app: one status a commit, the newest word on it.

``engine/statuses.py`` asks this after each change; what was told is noted with the release.
"""

from __future__ import annotations

from collections.abc import Iterable

from noren.core.forge import State, Status
from noren.core.model import App
from noren.core.record import ReleaseRecord
from noren.core.verdict import Outcome

_NEWEST = 5  # releases whose word may still change or be untold
_LONGEST = 140  # characters: GitHub takes no more
_STATES = {None: State.PENDING, Outcome.KEPT: State.SUCCESS, Outcome.SUPERSEDED: State.ERROR}


def context(app: App) -> str:
    """Who says it: the same for all previews of an app, so that a forge can require it."""
    return f"noren/{app.preview.of}/preview" if app.preview else f"noren/{app.name}"


def untold(app: App, releases: Iterable[ReleaseRecord]) -> list[tuple[ReleaseRecord, Status]]:
    """The releases whose status the forge does not know, oldest first, each with it."""
    newest = sorted(releases, key=lambda each: each.number)[-_NEWEST:]
    last = {each.revision: each for each in newest}
    return [(each, status) for each in last.values() if (status := _status(app, each)).state != each.told]


def _status(app: App, release: ReleaseRecord) -> Status:
    """Only the first line of a reason: what follows may be of a log, and a forge may be public."""
    state = _STATES.get(release.outcome, State.FAILURE)
    said = release.reason.partition("\n")[0] if release.outcome else "is being released"
    text = f"release {release.number}: {said or release.outcome}"
    return Status(revision=release.revision, state=state, context=context(app), text=text[:_LONGEST])
