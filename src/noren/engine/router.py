"""Makes the proxy show what the book of an app says, now or as soon as the proxy answers again.

Used by everything that changes what runs outside a switch: healing, retiring, recovery, settings.
The switch itself is ``Executor``'s, because it has to be confirmed.
"""

from __future__ import annotations

import asyncio

from noren.core.errors import TrafficError
from noren.core.phase import Phase
from noren.core.routing import route
from noren.engine.shared import Shared

PROXY_PAUSE = 1.0  # seconds until a proxy that did not answer is asked again


class Router:
    """Routing of one app."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def show(self) -> None:
        """Make the proxy show what the book says. The turn is ours, and no traffic is being moved."""
        book = self._shared.book
        under_way = book.rollout.rollout if book.rollout else None
        candidate = under_way.running if under_way and under_way.moved else None
        weight = 0.0
        if under_way and under_way.phase not in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
            weight = under_way.weight
        retiring = [r.retiring for r in book.retiring.values()]
        await self._shared.proxy.apply(
            route(
                book.app, book.built, active=book.record.active, candidate=candidate, weight=weight, retiring=retiring
            )
        )

    async def mend(self) -> None:
        """As ``show``; a proxy that does not answer now is told as soon as it does. The turn is ours."""
        shared = self._shared
        try:
            await self.show()
        except TrafficError as exc:
            await self._say(exc)
            if not shared.tasks.busy("route"):
                shared.tasks.spawn("route", f"{shared.name}: route", self.shown, said=True)

    async def shown(self, *, said: bool = False) -> None:
        """Until the proxy shows what the book says, however long that takes. The turn is not ours.

        ``said``: that it does not yet is in the history already.
        """
        while True:
            try:
                async with self._shared.turn:
                    await self.show()
                return
            except TrafficError as exc:
                if not said:
                    await self._say(exc)
                said = True
                await asyncio.sleep(PROXY_PAUSE)

    async def _say(self, exc: TrafficError) -> None:
        book = self._shared.book
        await book.save(notes=[book.note("routing", f"the proxy could not be told yet: {exc}")])
