"""What people ask of one app: deploy, rollback, restart, promote, abort, hold, resume, lift.

``desk.py`` calls these for the API. Each answers when it is committed, not when it is done, and
raises UsageError for what cannot be.
"""

from __future__ import annotations

from dataclasses import replace

from noren.core import events as e
from noren.core.errors import UsageError
from noren.core.model import App, Commit, settings_digest
from noren.core.phase import Phase
from noren.core.quarantine import find, matching
from noren.core.record import QuarantineRecord, ReleaseRecord
from noren.core.release import previous
from noren.core.rollout import Rollout
from noren.core.schedule import Hold, Wanted
from noren.engine.loop import AppLoop
from noren.engine.ports import Source


async def deploy(loop: AppLoop, source: Source, revision: str | None, by: str) -> int:
    """Release a revision, or the tip of the branch; a quarantine of it is lifted. The rollout's number."""
    while True:
        app, since = loop.book.app, loop.book.record.choice
        tip = revision or await source.tip(app)
        commit = await source.commit(app, tip)
        async with loop.turn:
            # What a trigger considered meanwhile may be newer than what was seen here.
            if revision or loop.book.record.choice == since:
                return await _deployed(loop, app, commit, None if revision else tip, by)


async def _deployed(loop: AppLoop, app: App, commit: Commit, tip: str | None, by: str) -> int:
    """``tip`` is None where a person chose the very revision. The turn is ours."""
    book = loop.book
    running = book.rollout.rollout if book.rollout else None
    digest = settings_digest(app)
    pinned = commit.revision if tip is None else None
    if running and _becomes(running, commit.revision, digest):
        await _instead_of_what_waits(loop, pinned)
        return running.id
    barred = find(book.quarantined, commit.revision, digest)
    if barred:
        await book.save(drop=[QuarantineRecord(quarantined=barred)])
    record = replace(book.record, pinned=pinned)
    if tip is not None:
        record = replace(record, tip=tip, revision=commit.revision, settings=digest, tag=commit.tag or record.tag)
    wanted = Wanted(revision=commit.revision, trigger=f"manual by {by}", manual=True)
    note = book.note("trigger", f"{by} deploys {commit.revision[:12]} {commit.subject!r}")
    return await loop.want(record, wanted, note)


async def _instead_of_what_waits(loop: AppLoop, pinned: str | None) -> None:
    """What was to follow the rollout under way was asked for before: the last wish holds."""
    record = loop.book.record
    if record.wanted:
        await loop.book.save(replace(record, wanted=None, pinned=pinned))
        loop.tasks.cancel("rebuild")


def _becomes(rollout: Rollout, revision: str, settings: str) -> bool:
    given_up = rollout.phase in (Phase.ABORTING, Phase.ROLLING_BACK)
    return not given_up and (rollout.revision, settings_digest(rollout.app)) == (revision, settings)


async def rollback(loop: AppLoop, number: int | None, by: str) -> int:
    """Go back to a release, by default the one that was kept before. The rollout's number."""
    app = loop.book.app.name
    while True:
        async with loop.turn:
            under_way = loop.book.rollout.rollout if loop.book.rollout else None
            target = _target(loop, number)
            back = bool(under_way and under_way.old and target.number == under_way.old.release)
            # Before anything is changed: what is refused must not take away what waits.
            if under_way and under_way.moved and not back:
                raise UsageError(
                    f"rollout {under_way.id} of {app} is {under_way.phase}",
                    hint=f"noren abort {app} (back to what was before), then noren rollback {app} {target.number}",
                )
            if loop.book.record.wanted:
                await loop.book.save(replace(loop.book.record, wanted=None))
                loop.tasks.cancel("rebuild")
            if under_way is None:
                return await loop.roll_back(target, f"manual by {by}")
            if under_way.moved:
                if under_way.phase is not Phase.ROLLING_BACK:
                    await loop.take(e.AbortAsked(rollout=under_way.id, by=by))
                return under_way.id
            await _ask_abort(loop, under_way, by)
        await _over(loop, under_way.id)


def _target(loop: AppLoop, number: int | None) -> ReleaseRecord:
    book = loop.book
    serving = book.serving
    if serving is None:
        name = book.app.name
        raise UsageError(
            f"{name} has no active release, so there is nothing to go back from", hint=f"noren status {name}"
        )
    if number is None:
        target = previous(book.releases.values(), serving.release)
        if target is None:
            name = book.app.name
            raise UsageError(f"{name} has no earlier release that was kept", hint=f"noren releases {name}")
        return target
    target = book.release(number)
    if target.number == serving.release:
        raise UsageError(f"release {number} of {book.app.name} is the active one already")
    if target.release is None:
        gone = "was never built" if target.built_at is None else "was pruned"
        hint = f"noren deploy {book.app.name} --revision {target.revision[:12]}"
        raise UsageError(f"release {number} of {book.app.name} {gone}", hint=hint)
    return target


async def _ask_abort(loop: AppLoop, rollout: Rollout, by: str) -> None:
    if rollout.phase is not Phase.ABORTING:
        await loop.take(e.AbortAsked(rollout=rollout.id, by=by))


async def _over(loop: AppLoop, rollout: int) -> None:
    """Wait until this rollout is over; aborting is bounded by the grace of its processes."""
    book = loop.book
    async with book.changed:
        await book.changed.wait_for(lambda: book.rollout is None or book.rollout.rollout.id != rollout)


async def restart(loop: AppLoop, by: str) -> int:
    """Replace the instances of the active release. The rollout's number."""
    async with loop.turn:
        _free(loop)
        return await loop.restart(f"manual by {by}")


async def promote(loop: AppLoop, by: str) -> int:
    """Keep the candidate now. The rollout's number."""
    async with loop.turn:
        rollout = _under_way(loop)
        if rollout.phase is not Phase.BAKING:
            raise UsageError(f"rollout {rollout.id} of {loop.book.app.name} is {rollout.phase}: nothing to promote yet")
        await loop.take(e.PromoteAsked(rollout=rollout.id, by=by))
        return rollout.id


async def abort(loop: AppLoop, by: str) -> int:
    """Stop the rollout under way: before traffic moved it aborts, after it rolls back. Its number."""
    async with loop.turn:
        rollout = _under_way(loop)
        if rollout.phase in (Phase.ABORTING, Phase.ROLLING_BACK):
            return rollout.id
        await loop.take(e.AbortAsked(rollout=rollout.id, by=by))
        return rollout.id


async def hold(loop: AppLoop, reason: str, by: str) -> None:
    """No trigger starts an upgrade until ``resume``; people still can."""
    async with loop.turn:
        book = loop.book
        held = Hold(reason=reason, by=by, since=book.clock.utc())
        await book.save(replace(book.record, hold=held), notes=[book.note("hold", f"held by {by}: {reason}")])


async def resume(loop: AppLoop, by: str) -> None:
    """Triggers act again; what they saw meanwhile is considered at the next look."""
    async with loop.turn:
        book = loop.book
        if book.record.hold is None:
            raise UsageError(f"{book.app.name} is not held")
        await book.save(replace(book.record, hold=None), notes=[book.note("hold", f"resumed by {by}")])
        await loop.next()


async def lift(loop: AppLoop, revision: str, by: str) -> list[str]:
    """Take a revision out of quarantine and have it considered again. The revisions that were lifted."""
    async with loop.turn:
        book = loop.book
        lifted = matching(book.quarantined, revision)
        if not lifted:
            raise UsageError(f"{revision} of {book.app.name} is not quarantined", hint="noren quarantine list")
        revisions = [q.revision for q in lifted]
        record = book.record
        if record.revision in revisions:
            record = replace(record, tip=None, revision=None, settings=None)
        notes = [book.note("quarantine", f"{by} lifted {r[:12]}") for r in revisions]
        await book.save(record, drop=[QuarantineRecord(quarantined=q) for q in lifted], notes=notes)
        return revisions


def _under_way(loop: AppLoop) -> Rollout:
    if loop.book.rollout is None:
        raise UsageError(f"{loop.book.app.name} has no rollout under way")
    return loop.book.rollout.rollout


def _free(loop: AppLoop) -> None:
    if loop.book.rollout is not None:
        rollout = loop.book.rollout.rollout
        raise UsageError(f"rollout {rollout.id} of {loop.book.app.name} is {rollout.phase}", hint="wait, or abort it")
