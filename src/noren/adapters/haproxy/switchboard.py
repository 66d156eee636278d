"""Makes the running HAProxy agree with the table: servers in and read back, maps, then what is no longer named out.

Used by the proxy, one call at a time. Every call compares everything, so it mends what a crash left half done.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable

from noren.adapters.haproxy import saved
from noren.adapters.haproxy.folder import TABLE, Folder
from noren.adapters.haproxy.meter import Meter
from noren.adapters.haproxy.plan import plan
from noren.adapters.haproxy.runtime import Runtime
from noren.adapters.haproxy.table import Table, instance_of, word_of
from noren.adapters.haproxy.view import State, View, parse_servers, slot_of
from noren.core.errors import TrafficError
from noren.core.model import Routing

_log = logging.getLogger(__name__)

_PURGE_DEADLINE, _PURGE_PAUSE = 1.0, 0.01


class Switchboard:
    """The table and the HAProxy that follows it. ``draining`` instances get no new requests, whatever is applied.

    While the table is not ``whole``, because the file of it was lost, what a running HAProxy routes beyond it stays.
    """

    def __init__(self, folder: Folder, runtime: Runtime, meter: Meter) -> None:
        self._folder = folder
        self._runtime = runtime
        self._meter = meter
        self.table = Table()
        self.draining: set[str] = set()
        self.whole = True

    def load(self) -> bool:
        """Read what was routed last; whether it could be."""
        try:
            self.table = saved.load(self._folder.kept(TABLE) or "{}")
        except (ValueError, KeyError, TypeError):
            return False
        return True

    def view(self) -> View:
        """What HAProxy should know now."""
        return self.table.view(self.draining)

    async def servers(self, runtime: Runtime, instances: Collection[str]) -> set[str]:
        """The servers of these instances, as ``s007-read/42-abc``: asked from this HAProxy.

        A backup that is named no more may still answer a request.
        """
        words = {word_of(instance) for instance in instances}
        there = parse_servers(await runtime.ask("show servers state"))
        return {name for name in there if instance_of(name.partition("/")[2]) in words}

    def ports(self, instances: Collection[str]) -> set[int]:
        """Where these instances listen, those with a port of their own."""
        servers = (s for r in self.table.routings.values() for b in r.backends for s in b.servers)
        found = {s.address.rpartition(":")[2] for s in servers if s.instance in instances}
        return {int(port) for port in found if port.isdigit()}

    async def put(self, routing: Routing) -> None:
        """Route one app so; raises TrafficError, and then what was routed before still is.

        Hosts without a backend are an app that was never released, or whose records were lost: what works stays.
        """
        known = self.table.routings.get(routing.app)
        if routing.hosts and not routing.backends and known and known.active:
            _log.error("%s would be routed nowhere: what is routed stays", routing.app)
            return
        found = await self._runtime.view()
        before = self.table
        self.table = before.put(routing, {slot_of(name) for name in found.servers})
        self.draining &= {s.instance for r in self.table.routings.values() for b in r.backends for s in b.servers}
        try:
            await self._meter.begin(self.table)
            await self._servers_in(found)
        except TrafficError:
            self.table = before
            raise
        await self._keep()
        await self._switch(found)

    async def settle(self) -> None:
        """Every app was applied: what the table does not name now goes."""
        if not self.whole:
            self.whole = True
            await self.mend()

    async def mend(self) -> None:
        """Bring HAProxy to what the table says."""
        found = await self._runtime.view()
        await self._meter.begin(self.table)
        await self._servers_in(found)
        await self._switch(found)

    async def _servers_in(self, found: View) -> None:
        wanted = self.view()
        commands = plan(wanted, found).servers
        await self._runtime.do(commands)
        there = parse_servers(await self._runtime.ask("show servers state")) if commands else found.servers
        for name, server in wanted.servers.items():
            if name not in there or (there[name].state is State.MAINTENANCE) != (server.state is State.MAINTENANCE):
                raise TrafficError("HAProxy did not take a server in", seen=f"{name}: {there.get(name, 'not there')}")

    async def _switch(self, found: View) -> None:
        todo = plan(self.view(), found, clear=self.whole)
        await self._runtime.do(todo.maps)
        await self._take_out(todo.gone)
        await self._meter.free(self.table)
        await self._meter.keep()

    async def _take_out(self, names: Iterable[str]) -> None:
        by_slot: dict[str, set[str]] = {}
        for name in names:
            by_slot.setdefault(slot_of(name), set()).add(name)
        for slot, servers in by_slot.items():
            await self._runtime.do([f"set server {name} state maint" for name in sorted(servers)])
            rows = await self._meter.rows(slot)
            out = {name.partition("/")[2] for name in sorted(servers) if await self._delete(name)}
            self._meter.removed(slot, rows, out)

    async def _delete(self, name: str) -> bool:
        """Whether it is out; one that still answers a request is left in maintenance for the next call."""
        end = time.monotonic() + _PURGE_DEADLINE
        while "deleted" not in (answer := await self._runtime.ask(f"del server {name}")):
            if time.monotonic() > end:
                _log.warning("%s stays in maintenance: %s", name, answer.strip())
                return False
            # Idle connections are closed by the threads that own them: a moment later, and without an event.
            await asyncio.sleep(_PURGE_PAUSE)
        return True

    async def _keep(self) -> None:
        await asyncio.to_thread(self._folder.keep, TABLE, saved.dump(self.table))
