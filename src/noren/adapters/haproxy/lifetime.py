"""One HAProxy after the other: adopted or started, watched, and started again the moment it ends.

Used by the proxy. The end arrives by pidfd, "it is up" by its connection to our log: nothing is polled.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from noren.adapters.haproxy.addresses import Address
from noren.adapters.haproxy.folder import CONFIG, IDENTITY, OUTPUT, Folder
from noren.adapters.haproxy.launch import launch, refusal
from noren.adapters.haproxy.listeners import Listeners
from noren.adapters.haproxy.predecessor import Predecessor, end_all, note, noted
from noren.adapters.haproxy.runtime import Gone, Runtime
from noren.adapters.identity import Identity
from noren.core.errors import HostError, NorenError, StateError, TrafficError

_log = logging.getLogger(__name__)

_START_DEADLINE = 20.0
_SUCCESSOR_DEADLINE = 5.0
_END_DEADLINE = 10.0
_SHORT_LIFE, _SHORT_LIVES = 1.0, 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class Lifetime:
    """The running HAProxy. ``render`` writes its files before each start, ``began`` is awaited after each but the
    first. ``predecessors`` are those that were replaced and still have connections."""

    def __init__(
        self,
        folder: Folder,
        binary: Path,
        addresses: Sequence[Address],
        render: Callable[[], None],
        began: Callable[[], Awaitable[None]],
        predecessors: list[Predecessor],
    ) -> None:
        self._folder = folder
        self._binary = binary
        self._addresses = addresses
        self._render = render
        self._began = began
        self._predecessors = predecessors
        self._leaving: set[asyncio.Task[None]] = set()
        self._served: int | None = None  # the binary that served last, whatever became of its file
        self._runtime = Runtime(folder)
        self._listeners = Listeners(folder)
        self._connected: dict[int, asyncio.Event] = {}
        self._changed = asyncio.Event()
        self._started_at = 0.0
        self.identity: Identity | None = None

    @property
    def id(self) -> str:
        """Names this HAProxy: another one counts from zero."""
        return f"{self.identity.pid}-{self.identity.start_ticks}" if self.identity else ""

    def connected(self, pid: int) -> None:
        """The HAProxy with this pid connected to our log: it has bound everything."""
        self._up(pid).set()

    async def open(self) -> bool:
        """Adopt the HAProxy that runs, or start one; whether it was adopted. Raises HostError."""
        self._listeners.open()
        self.identity = await self._running()
        if self.identity is None:
            await self.start()
            return False
        self._started_at = time.monotonic()
        self._hold(self.identity)
        await self._listeners.take()
        return True

    async def close(self) -> None:
        """Let go of the listeners; HAProxy goes on."""
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await self._listeners.close()
        self._release()

    async def start(self) -> None:
        """Start HAProxy and wait until it serves; raises HostError with the reason when it does not.

        A binary that does not start, though another one served, is passed over: that one is started again.
        """
        self._write_files()
        try:
            await self._start(self._binary)
        except HostError as exc:
            if self._served is None:
                raise
            _log.error("%s; the binary that served before is started instead", exc)
            await self._start(Path(f"/proc/{os.getpid()}/fd/{self._served}"))

    def other_binary(self) -> bool:
        """Whether the running HAProxy is of another file than would be started now."""
        assert self.identity is not None
        try:
            return not os.path.samestat(Path(f"/proc/{self.identity.pid}/exe").stat(), self._binary.stat())
        except OSError:
            return False

    async def renew(self) -> bool:
        """Let another HAProxy take over from the running one, which keeps the connections it has; whether it did.

        One that does not start changes nothing.
        """
        before = self.identity
        assert before is not None
        predecessor = await Predecessor.of(before, self._folder)
        self._write_files()
        try:
            await self._start(self._binary, replaces=before)
        except HostError as exc:
            _log.error("HAProxy cannot be replaced, the running one goes on: %s", exc)
            self._keep(before)
            predecessor.close()
            return False
        note(self._folder, [*noted(self._folder), before])
        await predecessor.hand_over()
        self._predecessors.append(predecessor)
        self._leaving.add(asyncio.create_task(self._leave(predecessor), name=f"haproxy {before.pid} leaves"))
        return True

    async def _leave(self, predecessor: Predecessor) -> None:
        try:
            await predecessor.done()
        finally:
            self._predecessors.remove(predecessor)
            predecessor.close()

    async def _start(self, binary: Path, replaces: Identity | None = None) -> None:
        output = self._folder.path / OUTPUT
        size = output.stat().st_size if output.exists() else 0
        self._started_at = time.monotonic()
        identity = launch(binary, self._folder, inherit=bool(self._listeners.held), replaces=replaces)
        # Before anything else can fail: a HAProxy that nobody knows would keep the addresses for ever.
        self._keep(identity)
        if not await self._came_up(identity):
            text = output.read_text(errors="replace")
            raise refusal(text[size if size <= len(text) else 0 :])
        self.identity = identity
        self._hold(identity)
        if not self._listeners.held:
            await self._listeners.take()
        self._changed.set()
        self._changed = asyncio.Event()

    async def supervise(self) -> None:
        """Start HAProxy again whenever it ends, at once; later only when it ends again and again."""
        short = 0
        while self.identity is not None:
            code = await self.identity.ended()
            lived = time.monotonic() - self._started_at
            short = short + 1 if lived < _SHORT_LIFE else 0
            _log.warning("HAProxy %s ended (exit code %s); starting it again", self.id, code)
            if short > _SHORT_LIVES:
                await asyncio.sleep(min(_FIRST_PAUSE * 2 ** (short - _SHORT_LIVES), _LONGEST_PAUSE))
            try:
                await self.start()
                await self._began()
            except NorenError as exc:
                _log.error("HAProxy could not be started again: %s", exc)

    async def successor(self, ended: Identity | None) -> None:
        """Wait until another HAProxy than this one serves; raises TrafficError when none does in time."""
        if self.identity is not ended:
            return
        try:
            async with asyncio.timeout(_SUCCESSOR_DEADLINE):
                await self._changed.wait()
        except TimeoutError as exc:
            raise TrafficError(
                "HAProxy does not answer and was not replaced", seen=str(ended), hint=f"read {OUTPUT} in the state"
            ) from exc

    async def end(self) -> None:
        """Stop HAProxy for good: the public listeners close."""
        if self.identity is not None:
            await _end(self.identity)
        await _end_known(self._folder)  # a successor whose start was cut off is known there only

    def _hold(self, identity: Identity) -> None:
        """An upgrade of the host replaces the file, or is cut off halfway: what was opened can still be started."""
        try:
            served = os.open(f"/proc/{identity.pid}/exe", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:  # it ended already
            _log.warning("the binary of HAProxy %d cannot be held: %s", identity.pid, exc)
            return
        self._release()
        self._served = served

    def _release(self) -> None:
        if self._served is not None:
            os.close(self._served)
            self._served = None

    async def _running(self) -> Identity | None:
        identity, listen = known(self._folder)
        if identity is None:
            return await self._unknown()
        wanted = [str(address) for address in self._addresses]
        if listen != wanted:
            raise HostError(
                "the running proxy listens elsewhere than the settings say",
                seen=f"{', '.join(listen)} instead of {', '.join(wanted)}",
                hint="`noren down`, then `noren up`",
            )
        await self._answers(identity)
        return identity

    async def _unknown(self) -> Identity | None:
        """A HAProxy that serves although its identity was lost."""
        try:
            match = re.search(r"^Pid: (\d+)", await self._runtime.ask("show info"), re.MULTILINE)
        except Gone:
            return None
        identity = Identity.of(int(match[1])) if match else None
        if identity is not None:
            self._keep(identity)
        return identity

    def _keep(self, identity: Identity) -> None:
        listen = [str(address) for address in self._addresses]
        self._folder.keep(IDENTITY, json.dumps({**asdict(identity), "listen": listen}))

    async def _answers(self, identity: Identity) -> None:
        try:
            await self._runtime.ask("show info")
        except Gone:
            # The daemon ended while HAProxy was starting: it connects to our log when it is up.
            try:
                async with asyncio.timeout(_START_DEADLINE):
                    await self._up(identity.pid).wait()
            except TimeoutError as exc:
                raise TrafficError(
                    f"the running HAProxy (pid {identity.pid}) does not answer", hint="`noren down`, then `noren up`"
                ) from exc

    def _write_files(self) -> None:
        try:
            self._render()
        except StateError as exc:
            # On a full disk the files of the last start serve; what changed since is told to it right after.
            if not (self._folder.path / CONFIG).exists():
                raise
            _log.error("%s", exc)

    async def _came_up(self, identity: Identity) -> bool:
        ended = asyncio.ensure_future(identity.ended())
        serves = asyncio.ensure_future(self._up(identity.pid).wait())
        try:
            done, _ = await asyncio.wait({ended, serves}, timeout=_START_DEADLINE, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                identity.send(signal.SIGKILL)
            return serves in done
        finally:
            self._connected.clear()
            for task in (ended, serves):
                task.cancel()
            await asyncio.gather(ended, serves, return_exceptions=True)

    def _up(self, pid: int) -> asyncio.Event:
        return self._connected.setdefault(pid, asyncio.Event())


def known(folder: Folder) -> tuple[Identity | None, list[str]]:
    """The running HAProxy that was started in this folder and what it listens on; None when it does not run."""
    saved = json.loads(folder.kept(IDENTITY) or "{}")
    listen = saved.pop("listen", [])
    identity = Identity(**saved) if saved else None
    return (identity if identity is not None and identity.alive() else None), listen


async def _end_known(folder: Folder) -> bool:
    """End the HAProxy of this folder and what it replaced, wait until they are gone; whether it ran."""
    identity, _ = known(folder)
    if identity is not None:
        await _end(identity)
    await end_all(folder)
    folder.remove(IDENTITY)
    return identity is not None


async def _end(identity: Identity) -> None:
    identity.send(signal.SIGTERM)
    try:
        async with asyncio.timeout(_END_DEADLINE):
            await identity.ended()
    except TimeoutError:
        identity.send(signal.SIGKILL)
        await identity.ended()


async def end_left(state_dir: Path) -> bool:
    """Stop the HAProxy that a dead daemon left running; whether there was one. For `noren down`."""
    folder = Folder(state_dir / "haproxy")
    try:
        return await _end_known(folder)
    finally:
        folder.close()


def runs(state_dir: Path) -> bool:
    """Whether the HAProxy of this state directory runs."""
    folder = Folder(state_dir / "haproxy")
    try:
        return known(folder)[0] is not None
    finally:
        folder.close()
