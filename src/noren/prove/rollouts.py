"""Rolls one app out again and again through the daemon's API, while the loads of a trial run.

Each is a new release of the active revision, so that what is served stays the same; or a restart of it. The calls of
the client block: each has a thread of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from noren.core.errors import NorenError, UsageError
from noren.prove.window import seconds

Json = dict[str, Any]
Tell = Callable[[str], None]


class Daemon(Protocol):
    """What of the daemon's API a trial uses; ``api.client.Client`` is one."""

    def status(self) -> Json:
        """``{"apps": […]}``."""
        ...

    def deploy(self, app: str, revision: str | None = None) -> int:
        """The number of the rollout."""
        ...

    def restart(self, app: str) -> int:
        """The number of the rollout."""
        ...

    def promote(self, app: str) -> None:
        """Skip what is left of the bake time."""
        ...

    def verdict(self, app: str, rollout: int) -> Iterator[Json]:
        """Events, at last the outcome."""
        ...

    def receipt(self, app: str, rollout: int | None = None) -> Json:
        """Of a rollout."""
        ...

    def events(self, app: str | None, after: int) -> list[Json]:
        """The newest ``-after``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """``bake``: seconds after which a release that has traffic is promoted; None: the app's own bake time."""

    daemon: Daemon
    app: str
    restart: bool = False
    bake: float | None = 5.0

    def state(self) -> Json:
        """The app as ``status`` shows it; raises UsageError when there is none of this name."""
        apps = self.daemon.status()["apps"]
        found = next((entry for entry in apps if entry["name"] == self.app), None)
        if found is None:
            names = ", ".join(entry["name"] for entry in apps)
            raise UsageError(f"no app is named {self.app}", seen=names or "no app at all", hint="noren status")
        return found

    async def one(self, hurry: asyncio.Event) -> Json:
        """Roll out once and wait for the verdict: the receipt. Once ``hurry`` is set, ``bake`` is over."""
        number, baking = await asyncio.to_thread(self._begin), asyncio.Event()
        promotion = asyncio.create_task(self._promote(baking, hurry), name=f"promote rollout {number}")
        begun = partial(asyncio.get_running_loop().call_soon_threadsafe, baking.set)
        try:
            return await asyncio.to_thread(self._verdict, number, begun)
        finally:
            promotion.cancel()

    async def _promote(self, baking: asyncio.Event, hurry: asyncio.Event) -> None:
        if self.bake is None:
            return
        await baking.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.bake):
                await hurry.wait()
        with suppress(NorenError):  # its own bake time was shorter, or it was sent back
            await asyncio.to_thread(self.daemon.promote, self.app)

    def _verdict(self, number: int, baking: Callable[[], object]) -> Json:
        for line in self.daemon.verdict(self.app, number):
            if "outcome" in line:
                return self.daemon.receipt(self.app, line["outcome"]["rollout"])
            if line["event"]["phase"] == "baking" and line["event"]["rollout"] == number:
                baking()
        raise NorenError(f"the daemon stopped while rollout {number} of {self.app} was running", hint="noren up")

    def _begin(self) -> int:
        if self.restart:
            return self.daemon.restart(self.app)
        active = self.state()["active"]
        if active is None:
            raise UsageError(f"{self.app} has no active release", hint=f"noren deploy {self.app} --wait")
        return self.daemon.deploy(self.app, active["revision"])

    def history(self, since: float) -> list[Json]:
        """The newest lines of the app's history from this second of the epoch on."""
        return [line for line in self.daemon.events(self.app, -2000) if seconds(line["at"]) >= since]
