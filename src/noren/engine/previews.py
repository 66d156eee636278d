"""Keeps the previews of pull requests in step with what the forge says is open.

Made by ``Host``, one task for each app with previews. The forge is asked at the start, at each interval of the
poll and after each hint; events alone open or close nothing, so one that was missed is made good by the next
look. A forge that cannot be asked changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from noren.core.errors import NorenError, UsageError
from noren.core.forge import PullRequest
from noren.core.preview import candidates, preview
from noren.engine.loop import AppLoop
from noren.engine.poll import USUAL, pause
from noren.engine.ports import Ports

TRIGGER = "pull request"


class Rooms(Protocol):
    """Where previews live: ``Host``."""

    @property
    def ports(self) -> Ports:
        """The ports of the host."""
        ...

    def find(self, app: str) -> AppLoop | None:
        """An app that runs, previews included."""
        ...

    def taken(self, host: str, name: str) -> str | None:
        """The app other than ``name`` that has this host."""
        ...

    async def open_preview(self, parent: AppLoop, pull: PullRequest) -> AppLoop:
        """Take a preview up, or change it to what it should be now. Again: no change."""
        ...

    async def close_preview(self, parent: AppLoop, number: int) -> None:
        """End a preview and forget all of it. Again: no change."""
        ...


class Previews:
    """The tasks; ``watch`` is told after each change of the settings."""

    def __init__(self, rooms: Rooms, group: asyncio.TaskGroup) -> None:
        self._rooms = rooms
        self._group = group
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, asyncio.Event] = {}

    def watch(self, loops: Sequence[AppLoop]) -> None:
        """Look at the pull requests of these apps from now on, and at once."""
        for loop in loops:
            name = loop.book.app.name
            if _concerned(loop):
                self._asked.setdefault(name, asyncio.Event()).set()
                if name not in self._tasks or self._tasks[name].done():
                    self._tasks[name] = self._group.create_task(self._keep(name), name=f"{name}: previews")

    def hint(self, app: str) -> None:
        """Something happened to the pull requests of an app: look now."""
        if app in self._asked:
            self._asked[app].set()

    def stop(self) -> None:
        """Look no more."""
        for task in self._tasks.values():
            task.cancel()

    async def _keep(self, name: str) -> None:
        """While the app has previews, or could have some."""
        asked, failures = self._asked[name], 0
        while (loop := self._rooms.find(name)) is not None and _concerned(loop):
            asked.clear()
            said = await self._looked(loop)
            failures = failures + 1 if said else 0
            await _say(loop, said)
            await pause(loop.book.app.triggers.poll or USUAL, failures, asked)

    async def _looked(self, loop: AppLoop) -> str:
        """What kept it from being done; "" when it is."""
        try:
            await self.reconcile(loop)
        except NorenError as exc:
            return f"the pull requests could not be looked at: {exc}"
        except Exception as exc:  # noqa: BLE001 - told in the history: one forge must not end the others' previews
            return f"looking at the pull requests of {loop.book.app.name} failed: {exc!r}"
        return ""

    async def reconcile(self, loop: AppLoop) -> None:
        """Open, change and close previews until they are those of the open pull requests."""
        parent = loop.book.app
        pulls: Sequence[PullRequest] = ()
        if parent.pull_requests is not None:
            pulls = await self._rooms.ports.forge.pulls(parent)
        may, left = candidates(parent, pulls, loop.book.previews.approved)
        chosen = await self._chosen(loop, may, left)
        for number in sorted({each.number for each in loop.book.previews.open} - {each.number for each in chosen}):
            await self._rooms.close_preview(loop, number)
        problems = [problem for pull in chosen if (problem := await self._opened(loop, pull))]
        await self._forget_approvals(loop, pulls)
        await _tell_left(loop, {number: (_head(pulls, number), reason) for number, reason in left.items()})
        if problems:
            raise NorenError("; ".join(problems))

    async def _chosen(self, loop: AppLoop, may: Sequence[PullRequest], left: dict[int, str]) -> list[PullRequest]:
        """The newest, as many as may be, of those that change what the app is made of."""
        wanted = loop.book.app.pull_requests
        chosen: list[PullRequest] = []
        for pull in may:
            if wanted is None or len(chosen) >= wanted.limit:
                left[pull.number] = f"there are newer ones (limit = {wanted.limit if wanted else 0})"
            elif reason := await self._in_the_way(loop, pull):
                left[pull.number] = reason
            else:
                chosen.append(pull)
        return chosen

    async def _in_the_way(self, loop: AppLoop, pull: PullRequest) -> str:
        app = preview(loop.book.app, pull)
        there = self._rooms.find(app.name)
        if there is not None and there.book.app.preview is None:
            return f"{app.name} is an app of its own"
        if other := self._rooms.taken(app.hosts[0], app.name):
            return f"{app.hosts[0]} is a host of {other}"
        if there is not None and there.book.record.tip == pull.head:
            return ""
        try:
            commit = await self._rooms.ports.source.commit(loop.book.app, pull.head)
        except NorenError as exc:
            return "" if there is not None else str(exc)  # what is shown stays until more is known
        known = {loop.book.record.revision, *(release.revision for release in loop.book.releases.values())}
        return "touches nothing that is watched" if commit.revision in known else ""

    async def _opened(self, parent: AppLoop, pull: PullRequest) -> str:
        loop = await self._rooms.open_preview(parent, pull)
        since = loop.book.record.choice
        if loop.book.record.tip == pull.head:
            return ""
        if loop.tasks.busy("trigger"):
            self.hint(parent.book.app.name)  # it is still taking in the head before
            return ""
        try:
            commit = await self._rooms.ports.source.commit(loop.book.app, pull.head)
        except NorenError as exc:
            return str(exc)
        found = partial(loop.found, since=since, look_again=partial(self.hint, parent.book.app.name))
        loop.tasks.spawn("trigger", f"{loop.book.app.name}: trigger", found, pull.head, commit, TRIGGER)
        return ""

    async def approve(self, loop: AppLoop, number: int, revision: str, by: str) -> None:
        """Let a commit of a fork have a preview. Raises UsageError when that is not what it is at."""
        app = loop.book.app
        if app.pull_requests is None or not app.pull_requests.forks:
            raise UsageError(f"{app.name} takes nothing from forks", hint="set pull_requests.forks = true")
        heads = {pull.number: pull.head for pull in await self._rooms.ports.forge.pulls(app)}
        if heads.get(number) != revision:
            seen = f"pull request {number} is {f'at {heads[number]}' if number in heads else 'not open'}"
            raise UsageError(f"{revision} of pull request {number} cannot be approved", seen=seen)
        async with loop.turn:
            record = loop.book.previews
            approved = (*(each for each in record.approved if each[0] != number), (number, revision))
            note = loop.book.note("trigger", f"{by} approved {revision[:12]} of pull request {number}")
            await loop.book.save(replace(record, approved=approved), notes=[note])
        self.hint(app.name)

    async def _forget_approvals(self, loop: AppLoop, pulls: Sequence[PullRequest]) -> None:
        heads = {(pull.number, pull.head) for pull in pulls}
        async with loop.turn:
            record = loop.book.previews
            kept = tuple(each for each in record.approved if each in heads)
            if kept != record.approved:
                await loop.book.save(replace(record, approved=kept))


def _concerned(loop: AppLoop) -> bool:
    """An app that left the settings opens and changes none; a reload that prunes it closes those it has."""
    return not loop.absent and (loop.book.app.pull_requests is not None or bool(loop.book.previews.open))


def _head(pulls: Sequence[PullRequest], number: int) -> str:
    return next(pull.head for pull in pulls if pull.number == number)


async def _tell_left(loop: AppLoop, left: dict[int, tuple[str, str]]) -> None:
    """A line of history for each that is left out, once for each reason."""
    before, loop.left_out = loop.left_out, left
    new = [number for number, told in left.items() if before.get(number) != told]
    if new:
        texts = [f"pull request {number} has no preview: {left[number][1]}" for number in new]
        await loop.book.save(notes=[loop.book.note("trigger", text) for text in texts])


async def _say(loop: AppLoop, problem: str) -> None:
    if problem != loop.preview_problem:
        loop.preview_problem = problem
        await loop.book.save(notes=[loop.book.note("forge", problem or "the pull requests can be looked at again")])
