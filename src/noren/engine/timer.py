"""Follows the schedule of each app: when a time has come, the repository is looked at and the app is told.

Made by ``Host``. One task per app that sleeps until its next time. When the schedule was followed last is in the
ledger, so that the times that passed while Noren was not running are caught up with once, however many they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from noren.core.errors import NorenError
from noren.core.schedule import retry_delay
from noren.engine.loop import AppLoop
from noren.engine.ports import Source
from noren.timetable import NAP, due, moment, next_after, rfc3339

_HEARD = 60.0  # seconds; by then an app has taken in that its time has come, or its fault was told


class Timer:
    """The tasks that follow schedules; ``watch`` is given all apps again after each reload."""

    def __init__(self, source: Source, group: asyncio.TaskGroup) -> None:
        self._source = source
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []

    def watch(self, loops: Mapping[str, AppLoop]) -> None:
        """Follow the schedules of these apps from now on."""
        self.stop()
        self._tasks = [
            self._group.create_task(self._follow(loop, loop.book.app.triggers.schedule), name=f"schedule {name}")
            for name, loop in loops.items()
            if loop.book.app.triggers.schedule
        ]

    def stop(self) -> None:
        """Follow no more."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _follow(self, loop: AppLoop, schedule: str) -> None:
        zone = ZoneInfo(loop.book.app.triggers.timezone)
        failures, said = 0, ""
        while True:
            await _free(loop)
            at = await self._due(loop, schedule, zone)
            if at is None:
                await asyncio.sleep(_pause(loop, schedule, zone))
                continue
            problem = await self._came(loop, at)
            failures = failures + 1 if problem else 0
            if problem and problem != said:
                await loop.book.save(notes=[loop.book.note("source", f"the schedule has to wait: {problem}")])
            said = problem
            if problem:
                await asyncio.sleep(retry_delay(failures))

    async def _due(self, loop: AppLoop, schedule: str, zone: ZoneInfo) -> datetime | None:
        """The time to follow now. A new app does not wait for its first; one that was released before does."""
        book = loop.book
        now = moment(book.clock.utc())
        if book.record.scheduled:
            return due(schedule, zone, last=moment(book.record.scheduled), now=now)
        if book.record.revision is None:
            return now
        async with loop.turn:
            await book.save(replace(book.record, scheduled=book.clock.utc()))
        return None

    async def _came(self, loop: AppLoop, at: datetime) -> str:
        """Look, and tell the app; what was wrong, "" when it took the time in, or something newer: then look again."""
        book = loop.book
        since = book.record.choice
        try:
            tip = await self._source.tip(book.app)
            commit = await self._source.commit(book.app, tip)
        except NorenError as exc:
            return str(exc)
        except Exception as exc:  # noqa: BLE001 - told in the history: one app's fault must not end the others' schedules
            return f"looking at {book.app.repo} failed: {exc!r}"
        # A task of the app: a reload ends ours, and must not end it between two commits to the ledger.
        came = partial(loop.came, rfc3339(at), tip, commit, since=since)
        heard = asyncio.Event()
        loop.tasks.spawn("trigger", f"{book.app.name}: schedule", _tell, came, heard)
        try:
            async with asyncio.timeout(_HEARD):
                await heard.wait()
        except TimeoutError:
            return f"{book.app.name} did not take it in within {_HEARD:g} s"
        return ""


async def _tell(came: Callable[[], Awaitable[None]], heard: asyncio.Event) -> None:
    await came()
    heard.set()


async def _free(loop: AppLoop) -> None:
    """Wait for the end of a hold: the time that passed meanwhile is followed then."""
    async with loop.book.changed:
        await loop.book.changed.wait_for(lambda: loop.book.record.hold is None)


def _pause(loop: AppLoop, schedule: str, zone: ZoneInfo) -> float:
    book = loop.book
    now = moment(book.clock.utc())
    last = moment(book.record.scheduled) if book.record.scheduled else now
    return min(max((next_after(schedule, zone, last) - now).total_seconds(), 0.05), NAP)
