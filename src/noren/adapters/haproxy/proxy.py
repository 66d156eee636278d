"""The Proxy port on HAProxy: the only part of this package that the engine talks to.

Brings together the process (lifetime), the routing (switchboard), the numbers (meter) and the log.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from noren.adapters.haproxy import confirm, drain
from noren.adapters.haproxy.addresses import Address
from noren.adapters.haproxy.config import front, render, render_map
from noren.adapters.haproxy.folder import CONFIG, HOOKS, OUTPUT, TOKEN, Folder
from noren.adapters.haproxy.lifetime import Lifetime
from noren.adapters.haproxy.log import Log
from noren.adapters.haproxy.meter import Meter
from noren.adapters.haproxy.predecessor import Predecessor, noted, silent
from noren.adapters.haproxy.runtime import Gone, Runtime
from noren.adapters.haproxy.switchboard import Switchboard
from noren.adapters.haproxy.view import TAKEN_OVER
from noren.adapters.identity import Identity
from noren.core.errors import TrafficError
from noren.core.model import App, Routing
from noren.core.traffic import Observation, Sample

_CONFIRM_DEADLINE, _ASK_TIMEOUT, _ASK_PAUSE = 5.0, 1.0, 0.02

T = TypeVar("T")


class HAProxy:
    """Adopts or starts HAProxy when entered; left, HAProxy goes on serving. ``shutdown`` ends it.

    ``listen`` are the public addresses, ``binary`` is what ``find_binary`` found. Entering raises HostError
    when HAProxy cannot be started or an address cannot be bound.
    """

    def __init__(self, state_dir: Path, listen: Sequence[str], binary: Path) -> None:
        self._addresses = [Address.parse(text) for text in listen]
        self._folder = Folder(state_dir / "haproxy")
        self._runtime = Runtime(self._folder)
        self._meter = Meter(self._folder, self._runtime)
        self._predecessors: list[Predecessor] = []
        self._board = Switchboard(self._folder, self._runtime, self._meter)
        self._life = Lifetime(self._folder, binary, self._addresses, self._render, self._began, self._predecessors)
        self._log = Log(self._folder, self._life.connected)
        self._one = asyncio.Lock()
        self._token = ""
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def output(self) -> Path:
        """What HAProxy says goes to this file; it only grows."""
        return self._folder.path / OUTPUT

    @property
    def hooks(self) -> Path:
        """The socket that webhooks are passed on to: whoever takes them listens here."""
        return self._folder.path / HOOKS

    @property
    def pid(self) -> int:
        """The process id of the HAProxy that serves now."""
        return self._life.identity.pid if self._life.identity else 0

    async def __aenter__(self) -> HAProxy:
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def shutdown(self) -> None:
        """End HAProxy: nothing is served any more. The context still has to be left."""
        await self._stop_supervising()
        await self._life.end()

    async def apply(self, routing: Routing) -> None:
        """Proxy.apply; when it raises before maps were written, what was routed before still is."""
        await self._through(lambda: self._board.put(routing))
        if routing.app not in self._board.table.routings:
            self._log.forget(routing.app)

    def routed(self, app: str) -> Routing | None:
        """What is routed for an app."""
        return self._board.table.routings.get(app)

    async def settle(self) -> None:
        """All apps were applied: what nobody named goes, if the saved table was lost."""
        await self._through(self._board.settle)

    async def confirm(self, app: App, release: int, times: int) -> None:
        """Proxy.confirm; an app without hosts has nothing that could be asked."""
        if app.hosts:
            asked = [self._confirm(address, app, release, times) for address in self._addresses]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            await self._meter.keep()
            for outcome in outcomes:
                if outcome is not None:
                    raise outcome

    async def drain(self, app: str, instances: Sequence[str], *, requests: float, connections: float) -> int:
        """Proxy.drain: wherever they answer, as servers of a release or as backups of another."""
        self._board.draining |= set(instances)
        try:
            await self._through(self._board.mend)
            limits = {"read": connections, "write": requests}
            everywhere = (self._runtime, *self._predecessors)
            seen = silent(self._strangers(), self._board.ports(instances), max(limits.values()))
            return sum(await asyncio.gather(seen, *(self._drain(each, instances, limits) for each in everywhere)))
        except asyncio.CancelledError:
            self._board.draining -= set(instances)
            raise

    async def observe(self, app: str) -> Observation:
        """Proxy.observe; ``failed`` counts 5xx and answers that their server broke off."""
        return await self._through(lambda: self._meter.observe(app))

    def samples(self, app: str, since: float) -> Sequence[Sample]:
        """Proxy.samples."""
        return self._log.samples(app, since)

    async def _open(self) -> None:
        known = self._board.load()
        self._meter.load()
        await self._log.open()
        if await self._life.open():
            self._board.whole = known
            self._token = (await self._runtime.ask(f"show acl {TOKEN}")).split()[-1]
            self._meter.adopt(self._life.id, self._board.table)
            async with self._one:
                await self._board.mend()
            await self._up_to_date()
        else:
            await self._began()
        self._supervisor = asyncio.create_task(self._life.supervise(), name="haproxy supervisor")

    async def _up_to_date(self) -> None:
        """Another version of HAProxy or of Noren takes over the listeners, and no connection ends by it."""
        began_with = front(self._folder.read(CONFIG) or "")
        if f"backend {TAKEN_OVER}-read" not in began_with:
            return  # it was configured by a Noren that could not hand over
        other = self._life.other_binary() or began_with != front(render(self._addresses, self._board.view()))
        if other and await self._life.renew():
            await self._began()

    def _strangers(self) -> Sequence[Identity]:
        """Those that an earlier daemon replaced."""
        ours = {predecessor.identity for predecessor in self._predecessors}
        return [identity for identity in noted(self._folder) if identity not in ours]

    async def _drain(self, runtime: Runtime, instances: Sequence[str], limits: Mapping[str, float]) -> int:
        try:
            ask = lambda: self._board.servers(runtime, instances)  # noqa: E731
            servers = await (self._through(ask) if runtime is self._runtime else ask())
        except Gone:
            if runtime is self._runtime:
                raise
            return 0  # a replaced HAProxy ended, and all its connections have
        return await drain.drain(runtime, servers, limits)

    async def _close(self) -> None:
        await self._stop_supervising()
        await self._log.close()
        await self._life.close()
        self._folder.close()

    async def _stop_supervising(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None

    def _render(self) -> None:
        view = self._board.view()
        token = self._token or secrets.token_hex(16)
        files = {name: render_map(entries) for name, entries in view.maps.items()}
        for name, text in {**files, CONFIG: render(self._addresses, view), TOKEN: f"{token}\n"}.items():
            self._folder.write(name, text, durable=False)
        self._token = token

    async def _began(self) -> None:
        """After a start: it counts from zero, and what no file can say (drained, not watched) is told."""
        async with self._one:
            self._meter.restart(self._life.id, self._board.table)
            await self._board.mend()

    async def _through(self, work: Callable[[], Awaitable[T]]) -> T:
        """One piece of work at a time; when HAProxy ends under it, once more with its successor."""
        serving = self._life.identity
        try:
            async with self._one:
                return await work()
        except Gone:
            await self._life.successor(serving)
            async with self._one:
                return await work()

    async def _confirm(self, address: Address, app: App, release: int, times: int) -> None:
        answer = confirm.Answer("", None, f"no answer at {address}")
        question = confirm.question(app, self._token)
        row = 0
        try:
            async with asyncio.timeout(_CONFIRM_DEADLINE):
                while row < times:
                    answer = await confirm.ask(address, question, _ASK_TIMEOUT, self._meter.probing)
                    self._uncount(app.name, answer)
                    row = row + 1 if answer.release(app.name) == release else 0
                    await asyncio.sleep(0 if row else _ASK_PAUSE)
        except TimeoutError as exc:
            raise TrafficError(
                f"{app.name}@{release} does not answer at {address} within {_CONFIRM_DEADLINE:.0f} s",
                seen=str(answer),
                hint="see what else is routed: noren status",
            ) from exc

    def _uncount(self, app: str, answer: confirm.Answer) -> None:
        release = answer.release(app)
        if release is not None and answer.status is not None:
            self._meter.probed(app, release, answer.status)
