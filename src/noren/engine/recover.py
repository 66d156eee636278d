"""Takes up where Noren was stopped, killed or rebooted.

``host.py`` calls this once per app at start, before triggers and people. The ledger says what was
meant, processes and proxy say what is; nothing that works is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from noren.core import events as e
from noren.core.errors import OutsideError
from noren.core.model import Instance
from noren.core.record import Record, RetiringRecord, RolloutRecord
from noren.core.retire import RetirePhase, Running
from noren.core.rollout import Rollout
from noren.engine.found import take_over
from noren.engine.loop import AppLoop


async def recover(loop: AppLoop) -> None:
    """Adopt what runs, mend the routing, resume the rollout, retire and heal the rest."""
    async with loop.turn:
        await take_over(loop.shared)
        for instance in loop.book.record.left:
            loop.retirer.sweep(instance)
        under_way = loop.book.rollout
        adopted = await _adopt(loop, under_way.rollout.instances if under_way else ())
        await _adopt_recorded(loop)
        if under_way is None or not under_way.rollout.phase.over:
            await loop.router.mend()
        for instance in adopted:
            loop.watch(instance)
        await _resume(loop, adopted)
    for record in list(loop.book.retiring.values()):
        loop.retirer.retire(record)
    loop.teller.deliver()
    loop.statuses.tell()


async def _resume(loop: AppLoop, adopted: Sequence[Instance]) -> None:
    under_way = loop.book.rollout
    if under_way is None:
        loop.healer.check()
        await loop.next()
    elif under_way.rollout.phase.over:
        await loop.conclude(_still(under_way, adopted, loop.book.record.active))
        await loop.router.mend()
    else:
        now = loop.ports.clock.monotonic()
        known = replace(under_way, rollout=_with(under_way.rollout, adopted))
        known = replace(known, entered=min(known.entered, now), intent=min(known.intent, now))
        await loop.book.save(known)
        await loop.take(e.Resumed(rollout=known.rollout.id, alive=frozenset(i.id for i in adopted)))
        loop.healer.check()


def _with(rollout: Rollout, adopted: Sequence[Instance]) -> Rollout:
    """With the identities that a crash kept from being committed."""
    if rollout.running is None:
        return rollout
    found = {i.id: i for i in adopted}
    instances = tuple(found.get(i.id, i) for i in rollout.running.instances)
    return replace(rollout, running=replace(rollout.running, instances=instances))


def _still(record: RolloutRecord, adopted: Sequence[Instance], active: Running | None) -> RolloutRecord:
    """The outcome stands, but what did not live through the end of Noren is not there to be active or to retire."""
    rollout = record.rollout
    running = replace(rollout.running, instances=tuple(adopted)) if rollout.running else None
    return replace(record, rollout=replace(rollout, running=running, old=active if rollout.old else None))


async def _adopt(loop: AppLoop, instances: Sequence[Instance]) -> list[Instance]:
    """Those that still run; what others left behind (children, a port) is cleaned up."""
    found: list[Instance] = []
    for instance in instances:
        adopted = await _adopted(loop, instance)
        if adopted is None:
            await _cleaned_up(loop, instance)
        else:
            found.append(adopted)
    return found


async def _adopted(loop: AppLoop, instance: Instance) -> Instance | None:
    try:
        return await loop.ports.runners[loop.book.app.kind].adopt(instance)
    except OutsideError as exc:
        await loop.book.save(notes=[loop.book.note("fault", f"{instance.id} cannot be adopted: {exc}")])
        return None


async def _cleaned_up(loop: AppLoop, instance: Instance) -> None:
    """What cannot be ended now is owed by the retirer: it keeps neither this app nor the others from starting."""
    try:
        await loop.ports.runners[loop.book.app.kind].stop(instance, loop.book.app.drain.grace)
    except OutsideError:
        await loop.retirer.owe(instance)


async def _adopt_recorded(loop: AppLoop) -> None:
    """The active release and the retiring ones: what still runs is watched, what is gone is struck out."""
    book = loop.book
    put: list[Record] = []
    drop: list[Record] = []
    if book.record.healing:
        await _cleaned_up(loop, book.record.healing)
    for record in map(partial(_clamped, loop), book.retiring.values()):
        running = await _alive(loop, record.retiring.running)
        if running != record.retiring.running:
            drop.append(record)
        if running.instances or record.retiring.phase is RetirePhase.STOPPING:
            put.append(RetiringRecord(retiring=replace(record.retiring, running=running)))
    if book.record.active:  # last: what is owed by then is in the same record
        put += book.with_active(await _alive(loop, book.record.active))
    await book.save(*put, drop=drop)


async def _alive(loop: AppLoop, running: Running) -> Running:
    adopted = await _adopt(loop, running.instances)
    for instance in adopted:
        loop.watch(instance)
    return replace(running, instances=tuple(adopted))


def _clamped(loop: AppLoop, record: RetiringRecord) -> RetiringRecord:
    """A reboot starts the monotonic clock anew: no one stays warm longer than the settings say."""
    latest = loop.ports.clock.monotonic() + loop.book.app.keep_warm
    return RetiringRecord(retiring=replace(record.retiring, until=min(record.retiring.until, latest)))
