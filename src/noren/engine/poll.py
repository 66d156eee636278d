"""Looks at each repository now and then, and tells its apps of a tip they have not considered.

One task per repository and branch, so that three sites of one repository cost one look. A
repository that cannot be reached is asked less often, said once, and heals by itself. A webhook
is a hint to look now: it only wakes the task, so there is one way in for every commit. ``Host`` starts and stops it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from noren.core.errors import NorenError
from noren.core.model import App
from noren.engine.loop import AppLoop
from noren.engine.ports import Source

USUAL = 30.0  # seconds; how often a repository with poll = "off" is tried again while it cannot be reached
HINT_PAUSE = 1.0  # seconds between two looks, however many webhooks ask for them
JITTER = 0.1  # share of the interval, so that many repositories of one server are not asked at once
SLOWEST = 600.0  # seconds between looks at a repository that cannot be reached

Place = tuple[str, str | None, str | None, bool]


def place(app: App) -> Place:
    """Apps with the same place are asked for together."""
    return app.repo, app.branch, app.tags, app.prereleases


class Poll:
    """The tasks that look at repositories; ``watch`` is given all apps again after each reload."""

    def __init__(self, source: Source, group: asyncio.TaskGroup) -> None:
        self._source = source
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []
        self._hinted: dict[Place, asyncio.Event] = {}

    def watch(self, loops: Mapping[str, AppLoop]) -> None:
        """Look at the repositories of these apps from now on, and at once."""
        self.stop()
        places: dict[Place, list[AppLoop]] = {}
        for loop in loops.values():
            if loop.book.app.triggers.poll is not None or loop.book.app.webhook.secret_env is not None:
                places.setdefault(place(loop.book.app), []).append(loop)
            else:
                loop.source_problem = ""
        self._hinted = {where: self._hinted.get(where, asyncio.Event()) for where in places}
        self._tasks = [
            self._group.create_task(self._look(shared, self._hinted[where]), name=f"poll {where[0]}")
            for where, shared in places.items()
        ]

    def hint(self, app: App) -> None:
        """Something happened at this app's repository: look now."""
        if (hinted := self._hinted.get(place(app))) is not None:
            hinted.set()

    def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _look(self, loops: Sequence[AppLoop], hinted: asyncio.Event) -> None:
        interval = min((poll for loop in loops if (poll := loop.book.app.triggers.poll) is not None), default=None)
        failures = 0
        while True:
            trigger = "webhook" if hinted.is_set() else "poll"
            hinted.clear()
            problems = await self._looked(loops, trigger, hinted)
            # One of several that failed is looked at again after the interval; where there is none, nobody else would.
            failures = failures + 1 if problems and (interval is None or len(problems) == len(loops)) else 0
            await _say(loops, problems)
            await pause(interval, failures, hinted)

    async def _looked(self, loops: Sequence[AppLoop], trigger: str, hinted: asyncio.Event) -> dict[str, str]:
        try:
            return await self._ask(loops, trigger, hinted)
        except Exception as exc:  # noqa: BLE001 - told in the history: one repository must not end the others' polls
            return {loop.book.app.name: f"looking at {loop.book.app.repo} failed: {exc!r}" for loop in loops}

    async def _ask(self, loops: Sequence[AppLoop], trigger: str, hinted: asyncio.Event) -> dict[str, str]:
        before = [loop.book.record.choice for loop in loops]
        try:
            tip = await self._source.tip(loops[0].book.app)
        except NorenError as exc:
            return {loop.book.app.name: str(exc) for loop in loops}
        problems: dict[str, str] = {}
        for loop, since in zip(loops, before, strict=True):
            if tip == loop.book.record.tip:
                continue
            if loop.tasks.busy("trigger"):
                hinted.set()  # still at the commit before: look again, or with poll = "off" nobody would
                continue
            try:
                commit = await self._source.commit(loop.book.app, tip)
            except NorenError as exc:
                problems[loop.book.app.name] = str(exc)
            else:
                # A task of the app: a reload ends ours, and must not end it between two commits to the ledger.
                found = partial(loop.found, since=since, look_again=hinted.set)
                loop.tasks.spawn("trigger", f"{loop.book.app.name}: trigger", found, tip, commit, trigger)
        return problems


async def pause(interval: float | None, failures: int, hinted: asyncio.Event) -> None:
    """Until the next look: the interval, longer while the repository cannot be reached, shorter for a hint."""
    usual = interval or USUAL
    wait = min(max(usual, SLOWEST), usual * 2 ** min(failures, 10)) if failures else interval
    if wait is not None:
        wait *= random.uniform(1 - JITTER, 1 + JITTER)
    begun = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(wait):
            await hinted.wait()
    except TimeoutError:
        return
    rest = min(HINT_PAUSE, wait or HINT_PAUSE) - (asyncio.get_running_loop().time() - begun)
    await asyncio.sleep(max(0.0, rest))


async def _say(loops: Iterable[AppLoop], problems: Mapping[str, str]) -> None:
    """A line of history when a problem begins, changes or ends."""
    for loop in loops:
        problem = problems.get(loop.book.app.name, "")
        if problem != loop.source_problem:
            loop.source_problem = problem
            text = problem or f"{loop.book.app.repo} can be read again"
            await loop.book.save(notes=[loop.book.note("source", text)])
