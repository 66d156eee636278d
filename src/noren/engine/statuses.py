"""Tells the forge what became of each release: a commit status that says pending, success or failure.

Made by ``AppLoop``, which calls ``tell`` after each change. What the forge knows is noted with the release,
so that nothing is told twice, and what could not be told is told later, also after a restart.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from noren.core.errors import NorenError
from noren.core.schedule import retry_delay
from noren.core.status import untold
from noren.engine.shared import Shared


class Statuses:
    """The commit statuses of one app; none where it has no forge, or no token for it."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._said = ""

    def tell(self) -> None:
        """See to it that the forge knows; returns at once."""
        forge, tasks = self._shared.book.app.forge, self._shared.tasks
        if forge is not None and forge.token_env is not None and not tasks.busy("statuses"):
            tasks.spawn("statuses", f"{self._shared.name}: statuses", self._told)

    async def _told(self) -> None:
        shared, failures = self._shared, 0
        while waiting := untold(shared.book.app, shared.book.releases.values()):
            release, status = waiting[0]
            try:
                await shared.ports.forge.tell(shared.book.app, status)
            except NorenError as exc:
                failures += 1
                await self._say(str(exc))
                await asyncio.sleep(retry_delay(failures))
                continue
            failures, self._said = 0, ""
            async with shared.turn:
                known = shared.book.releases.get(release.number)
                if known is not None:
                    await shared.book.save(replace(known, told=status.state.value))

    async def _say(self, problem: str) -> None:
        """Once for each problem: a forge may be away for a day."""
        if problem != self._said:
            self._said = problem
            await self._shared.book.save(notes=[self._shared.book.note("forge", problem)])
