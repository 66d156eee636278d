"""Reads what went through the slots, and keeps the books in a file.

Held by the switchboard, which tells it when slots are given out and servers taken away; asked by the proxy.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection

from noren.adapters.haproxy import stats
from noren.adapters.haproxy.counters import Counters, Slot, highest
from noren.adapters.haproxy.folder import COUNTERS, Folder
from noren.adapters.haproxy.runtime import Runtime
from noren.adapters.haproxy.stats import Rows
from noren.adapters.haproxy.table import Table
from noren.adapters.haproxy.waiting import Waiting, by_release, parse
from noren.core.traffic import OVERDUE, Observation, Traffic

_log = logging.getLogger(__name__)

_OWN_KEPT = 100
_AGE_SLACK = 2.0


class Meter:
    """Counters by app and release, of one HAProxy after the other.

    What our own probes wait for is nobody's loss. A client may get the port that a probe had before: the
    connection is the probe's only if it is as old as the probe.
    """

    def __init__(self, folder: Folder, runtime: Runtime) -> None:
        self._folder = folder
        self._runtime = runtime
        self._counters = Counters()
        self._seen: dict[str, dict[int, Traffic]] = {}
        self._probes: deque[tuple[str, float]] = deque(maxlen=_OWN_KEPT)

    def load(self) -> None:
        """Read the books of the last daemon; what cannot be read counts as nothing."""
        try:
            self._counters = Counters.load(self._folder.kept(COUNTERS) or Counters().dump())
        except (ValueError, KeyError, TypeError) as exc:
            _log.error("the counters in %s cannot be read and start at zero: %s", COUNTERS, exc)

    def adopt(self, proxy: str, table: Table) -> None:
        """Go on counting if the books are of this HAProxy, else start at zero."""
        if self._counters.proxy != proxy:
            self.restart(proxy, table)

    def restart(self, proxy: str, table: Table) -> None:
        """A new HAProxy: all its counters are zero."""
        slots = {
            table.slot(backend.name): Slot(backend.app, backend.release)
            for app in table.routings
            for backend in table.backends(app)
        }
        self._counters = Counters(proxy, slots)
        self._seen = {}

    async def begin(self, table: Table) -> None:
        """Note what slots that are new in the table have counted before."""
        for app in table.routings:
            for backend in table.backends(app):
                slot = table.slot(backend.name)
                if slot not in self._counters.slots:
                    rows = await stats.read(self._runtime, slot)
                    self._counters.slots[slot] = Slot(app, backend.release, rows.total)

    async def free(self, table: Table) -> None:
        """Close the books of slots that the table no longer has."""
        used = {table.slot(name) for name in table.slots}
        for slot in self._counters.slots.keys() - used:
            self._counters.freed(slot, await stats.read(self._runtime, slot))
        for app in (self._counters.past.keys() | self._seen.keys()) - table.routings.keys():
            self._counters.forget(app)
            self._seen.pop(app, None)

    async def rows(self, slot: str) -> Rows:
        """The counters of a slot, before servers are taken from it."""
        return await stats.read(self._runtime, slot)

    def removed(self, slot: str, rows: Rows, names: Collection[str]) -> None:
        """These servers were taken from the slot: their rows are gone."""
        self._counters.removed(slot, rows, set(names))

    def probing(self, port: str) -> None:
        """A probe of ours asks from this port from now on."""
        self._probes.append((port, asyncio.get_running_loop().time()))

    def probed(self, app: str, release: int, status: int) -> None:
        """An answer to a probe of ours that must not count."""
        self._counters.probed(app, release, status)

    async def keep(self) -> None:
        """Write the books."""
        await asyncio.to_thread(self._folder.keep, COUNTERS, self._counters.dump())

    async def observe(self, app: str) -> Observation:
        """The counters of an app now."""
        slots = [slot for slot, kept in self._counters.slots.items() if kept.app == app]
        rows = {slot: await stats.read(self._runtime, slot) for slot in slots}
        self._seen[app] = highest(self._seen.get(app, {}), self._counters.releases(app, rows))
        waits = await self._waiting({slot for slot in slots if rows[slot].current})
        return Observation(
            proxy=self._counters.proxy,
            releases=self._seen[app],
            waiting=by_release(waits),
            overdue=by_release(each for each in waits if each.age > OVERDUE),
        )

    async def _waiting(self, slots: Collection[str]) -> list[Waiting]:
        """Requests that wait in these slots, without our own probes."""
        if not slots:
            return []
        found = list(parse(await self._runtime.ask("show sess"), slots))
        return [each for each in found if not self._is_probe(each)]

    def _is_probe(self, each: Waiting) -> bool:
        begun = asyncio.get_running_loop().time() - each.age
        return any(port == each.port and abs(asked - begun) <= _AGE_SLACK for port, asked in self._probes)
