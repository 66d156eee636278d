"""Takes over what serves already although the ledger knows nothing of it.

Called by ``recover`` at the start and by ``AppLoop`` before a first release: what is found becomes a
release that was kept, so that a first rollout has something to go back to.
"""

from __future__ import annotations

from dataclasses import replace

from noren.core.errors import OutsideError
from noren.core.model import Found, settings_digest
from noren.core.record import ReleaseRecord
from noren.core.retire import Running
from noren.core.verdict import Outcome
from noren.engine.shared import Shared


async def take_over(shared: Shared) -> bool:
    """Once for an app without releases; whether it is known now what serves. The turn is ours."""
    book = shared.book
    if book.record.releases or book.record.active is not None or book.rollout is not None:
        return True
    try:
        found = await shared.ports.runners[book.app.kind].found(book.app)
    except OutsideError as exc:
        await book.save(notes=[book.note("fault", f"what serves already cannot be seen: {exc}")])
        return False
    if found is not None:
        await _taken_over(shared, found)
    return True


async def _taken_over(shared: Shared, found: Found) -> None:
    book, number, now = shared.book, found.instance.release, shared.ports.clock.utc()
    release = ReleaseRecord(
        number=number,
        revision=found.revision,
        settings=found.settings or settings_digest(book.app),
        app=book.app,
        artifact=found.artifact,
        built_at=now,
        outcome=Outcome.KEPT,
        reason="found serving",
    )
    known = {"revision": found.revision, "settings": found.settings} if found.settings else {}
    record = replace(
        book.record,
        active=Running(release=number, rollout=found.rollout, instances=(found.instance,)),
        active_since=now,
        last_good=number,
        releases=number,
        rollouts=found.rollout,
        **known,
    )
    note = book.note("app", f"release {number} was found serving: {found.artifact.path}")
    await book.save(record, release, notes=[note])
