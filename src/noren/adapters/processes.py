"""Runs process apps: one session, one port, one log file and, where possible, one control group each.

The engine calls it through the Runner port. Instances outlive the daemon, which is why each is known
by its identity and its mark and not by a handle; a restarted daemon adopts them.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from noren.adapters import logfile, proctable
from noren.adapters.cgroup import Cgroups
from noren.adapters.identity import Identity
from noren.adapters.launch import Launch
from noren.adapters.members import Members, identity_of
from noren.adapters.portpool import PortPool
from noren.adapters.removal import remove
from noren.core.errors import OutsideError
from noren.core.model import App, Exit, Found, Instance, Limits, Release

# How long SIGKILL may take: only a process stuck in the kernel needs more.
_KILL_SECONDS = 5.0
_TRIM_SECONDS = 1.0
# A fork bomb ends here: far above any sane server, far below the kernel's usual limit.
_MOST_PROCESSES = 4096
_OTHER_LOG = 200_000  # bytes


class Processes:
    """The Runner of process apps in one state directory; ``rest``: seconds before a port is used again."""

    def __init__(self, state_dir: Path, *, first_port: int, last_port: int, rest: float = 60.0) -> None:
        self._state = state_dir.absolute()
        self._ports = PortPool(first_port, last_port, rest=rest)
        self._members = Members(self._state)
        self._groups = Cgroups(self._state)
        self._logs: dict[str, tuple[Path, int]] = {}
        self._codes: dict[Identity, int] = {}

    async def start(self, release: Release, instance: Instance) -> Instance:
        """Start, and return the instance with its address and identity; it need not listen yet.

        Raises ReleaseError (nothing to start) or OutsideError (no port, no disk, no process).
        """
        if running := await self.adopt(instance):
            return running
        port = self._ports.take(instance.id)
        with ExitStack() as undo:
            undo.callback(self._clear, instance)
            started = self._started(release, instance, port)
            undo.pop_all()
        return started

    async def found(self, app: App) -> Found | None:
        """Nothing: what runs without a record is not ours."""
        return None

    async def adopt(self, instance: Instance) -> Instance | None:
        """The instance when its main process still runs; one that never got its identity is found by its mark."""
        found = instance if instance.pid is not None else await asyncio.to_thread(self._found, instance)
        identity = found and identity_of(found)
        if found is None or identity is None or not identity.alive():
            return None
        self._claim(found)
        limit = proctable.environment(identity.pid).get("NOREN_LOG_LIMIT", "")
        self._logs[found.id] = (self._log(found), int(limit) if limit.isdigit() else Limits().log)
        return found

    async def exited(self, instance: Instance) -> Exit:
        """Wait until the main process ends; children that it leaves behind are ended by stop()."""
        identity = identity_of(instance)
        code = None
        if identity is not None:
            await self._end(identity)
            code = self._codes.pop(identity, None)
        return Exit(instance=instance.id, code=code, log_tail=logfile.tail(self._log(instance)))

    async def stop(self, instance: Instance, grace: float) -> None:
        """SIGTERM to every process of it, after ``grace`` seconds SIGKILL, until none is left; its port rests.

        Also when the main process is gone and only children are left. Raises OutsideError when a
        process survives SIGKILL for 5 s.
        """
        # Known here: started or adopted in this life, so its session number cannot be anybody else's yet.
        session = instance.pid if instance.id in self._logs else None
        self._claim(instance)
        await self._signal(await self._left(instance, session), signal.SIGTERM, grace)
        await self._kill(instance, session)
        self._clear(instance)

    def running(self) -> list[Instance]:
        """Every instance that has a process, told by marks alone: what `noren down` stops without a daemon."""
        return self._members.running()

    async def clear(self, app: str) -> None:
        """Remove what an app that will not come back left: its data, home and logs. Again: no change."""
        for kind in ("data", "home", "logs"):
            try:
                await asyncio.to_thread(remove, self._state / kind / app)
            except OSError as exc:
                raise OutsideError(
                    f"what {app} left could not be removed", seen=str(exc), hint="check the disk; it is tried again"
                ) from exc

    async def guard_logs(self, *others: Path) -> None:
        """Keep the logs of running instances, and these others, within their limits.

        Runs until cancelled, as one task of the daemon.
        """
        while True:
            for file, limit in [*self._logs.values(), *((other, _OTHER_LOG) for other in others)]:
                await asyncio.to_thread(logfile.trim, file, limit)
            await asyncio.sleep(_TRIM_SECONDS)  # the kernel has no event for "a file has grown that large"

    def _started(self, release: Release, instance: Instance, port: int) -> Instance:
        log, limits = self._log(instance), release.app.limits
        groups = self._groups.of(instance.id).create(limits, most_processes=_MOST_PROCESSES)
        try:
            with logfile.opened(log) as output:
                identity = Launch(release, instance.id, port, self._state, groups).start(output)
        except OSError as refusal:
            raise OutsideError("The host refused to start an instance.", seen=str(refusal)) from refusal
        self._logs[instance.id] = (log, limits.log)
        logfile.prune(log.parent, self._logs)
        return replace(
            instance,
            address=f"127.0.0.1:{port}",
            pid=identity.pid,
            start_ticks=identity.start_ticks,
            boot_id=identity.boot_id,
            log=str(log),
        )

    def _found(self, instance: Instance) -> Instance | None:
        for told in self._members.running():
            leads = told.pid is not None and (row := proctable.row(told.pid)) and row.session == row.pid
            if told.id == instance.id and leads:
                return replace(told, ordinal=instance.ordinal, log=str(self._log(instance)))
        return None

    async def _kill(self, instance: Instance, session: int | None) -> None:
        deadline = time.monotonic() + _KILL_SECONDS
        while left := await self._left(instance, session):
            if time.monotonic() > deadline:
                raise _immortal(instance, left)
            self._groups.of(instance.id).kill()
            await self._signal(left, signal.SIGKILL, _KILL_SECONDS)

    async def _left(self, instance: Instance, session: int | None) -> list[Identity]:
        # In a thread: on a host with thousands of processes, looking through /proc takes a while.
        return await asyncio.to_thread(self._members.of, instance, session=session)

    async def _signal(self, members: list[Identity], number: signal.Signals, seconds: float) -> None:
        """Send to all, and wait until all are gone or the time is up."""
        for identity in members:
            # A child that became another user's: what is left at the end is named, with its command.
            with suppress(PermissionError):
                identity.send(number)
        # One after the other: the last end is what counts, and a fork bomb must not cost thousands of descriptors.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for identity in members:
                    await self._end(identity)

    async def _end(self, identity: Identity) -> None:
        """Wait for the end; whoever waits first gets the exit code from the kernel and notes it for the others."""
        code = await identity.ended()
        if code is not None:
            self._codes[identity] = code

    def _log(self, instance: Instance) -> Path:
        return Path(instance.log) if instance.log else self._state / "logs" / instance.app / f"{instance.id}.log"

    def _claim(self, instance: Instance) -> None:
        """Its port is not to be given away, nor right after its end, even when it was started by another Noren."""
        if instance.address is not None:
            self._ports.claim(instance.id, int(instance.address.rpartition(":")[2]))

    def _clear(self, instance: Instance) -> None:
        self._groups.of(instance.id).remove()
        self._ports.give_back(instance.id)
        self._logs.pop(instance.id, None)
        if (identity := identity_of(instance)) is not None:
            self._codes.pop(identity, None)
        with suppress(OSError):  # an app of another user's rights may have left what only that user can remove
            remove(self._state / "tmp" / instance.id)


def _immortal(instance: Instance, left: list[Identity]) -> OutsideError:
    return OutsideError(
        f"Processes of {instance.app}@{instance.release} survive SIGKILL.",
        seen=", ".join(f"{identity.pid} ({proctable.command(identity.pid)})" for identity in left[:10]),
        hint="a process stuck in the kernel waits for a disk or a network share: look at `ps -o pid,stat,wchan`",
    )
