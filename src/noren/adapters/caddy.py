"""Runs the one Caddy that serves every static site, and starts it again at once when it dies.

daemon.py enters it, static.py asks for it. Caddy outlives the daemon and is adopted again. It
listens on a socket of the daemon, inherited as descriptor 0, so connections that wait while it is
dead are answered by the next one. It and its configuration are known by its command and environment: no file of it
can be lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import socket
from types import TracebackType

from noren.adapters import proctable
from noren.adapters.caddy_config import LOG, config
from noren.adapters.identity import Identity
from noren.adapters.unix_listener import aside, bound, put, settle, taken_back
from noren.address import reachable
from noren.core.errors import HostError

_log = logging.getLogger(__name__)

_START_DEADLINE = 15.0
_STOP_DEADLINE = 5.0  # above Caddy's own grace_period
_STABLE = 1.0  # a life shorter than this counts as a failed start; one that began to serve does not
_LONGEST_PAUSE = 5.0
_CONFIG = "NOREN_CADDY_CONFIG"  # in its environment: a digest of what it was started with


class Caddy:
    """Caddy below ``state_dir``: the socket in ``caddy/``, the sites in ``sites/``."""

    def __init__(self, state_dir: Path, binary: Path) -> None:
        state = state_dir.resolve()
        self.sites = state / "sites"
        self._folder = state / "caddy"
        self._socket = self._folder / "caddy.sock"
        self._binary = binary
        self._logged = 0  # length of its log when the last one was started
        self._listener: socket | None = None
        self._process: Identity | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    @property
    def address(self) -> str:
        """Where it listens, as instances name it: ``unix@/path``."""
        return f"unix@{self._socket}"

    @property
    def pid(self) -> int | None:
        """The running Caddy, None before the first site."""
        return self._process and self._process.pid

    async def __aenter__(self) -> Caddy:
        """Adopt the Caddy of an earlier daemon; none is started."""
        for folder in (self._folder, self.sites):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        settle(self._socket)
        self._process = await self._newest()
        if self._process is not None:
            with ExitStack() as undo:
                undo.callback(self._close_listener)
                self._listener = taken_back(self._process.pid, 0)
                self._supervise(await self._up_to_date(self._process))
                undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of Caddy: it keeps serving."""
        await self._unsupervise()
        self._close_listener()

    async def ensure(self) -> None:
        """Start Caddy unless it runs, and wait until it answers; HostError when it cannot. Again: no change."""
        async with self._starting:
            if self._supervisor is None:
                process = self._start()
                await self._answering(process)
                self._supervise(process)

    async def shutdown(self) -> None:
        """End Caddy and remove its socket. Again: no change."""
        await self._unsupervise()
        process, self._process = self._process, None
        if process is not None:
            await _end(process)
        self._close_listener()
        self._socket.unlink(missing_ok=True)

    def _start(self) -> Identity:
        if self._listener is None or not self._socket.is_socket():
            self._close_listener()
            self._listener = bound(self._socket)
        try:
            self._logged = len(_text(self._errors))
            self._config.write_text(config(self._folder, self.sites))
            process = _spawn(self._argv, self._listener, self._environment, self._output)
        except OSError as exc:
            raise HostError(
                "Caddy could not be started", seen=str(exc), hint="reinstall Noren, it brings Caddy; check the disk"
            ) from exc
        self._process = process
        return process

    async def _up_to_date(self, process: Identity) -> Identity:
        """Another version of Noren may configure Caddy differently: then a new one takes over, once it lives.

        Both accept from one queue meanwhile, or, where that could not be taken back, from one each. One that does
        not live changes nothing, and is tried again by the next daemon.
        """
        if proctable.environment(process.pid).get(_CONFIG) == self._digest:
            return process
        own_queue = self._listener is None and self._socket.is_socket()
        try:
            if own_queue:
                self._listener = aside(self._socket)
            successor = self._start()
            await self._lives(successor)
            if own_queue:
                put(self._socket)
        except HostError as exc:
            _log.error("the Caddy that runs goes on, another configuration waits: %s", exc)
            await self._undo(process, own_queue)
            return process
        await _end(process)
        return successor

    async def _undo(self, process: Identity, own_queue: bool) -> None:
        failed, self._process = self._process, process
        if failed is not None and failed != process:
            await _end(failed)
        if own_queue:
            self._close_listener()
            settle(self._socket)

    async def _lives(self, process: Identity) -> None:
        """HostError when it ends within a second, as one with a wrong binary or configuration was seen to."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_STABLE):
                await process.ended()
                raise HostError("Caddy did not start", seen=self._said())

    def _said(self) -> str:
        """The end of what the last one wrote: to its output, and to the log once it knew where that is."""
        return "\n".join(
            text[-500:].strip() for text in (_text(self._output), _text(self._errors)[self._logged :]) if text
        )

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    @property
    def _config(self) -> Path:
        return self._folder / "caddy.json"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(config(self._folder, self.sites).encode()).hexdigest()[:16]

    @property
    def _output(self) -> Path:
        return self._folder / "stderr.log"

    @property
    def _errors(self) -> Path:
        return self._folder / LOG

    @property
    def _argv(self) -> list[str]:
        return [str(self._binary), "run", "--config", str(self._config)]

    @property
    def _environment(self) -> dict[str, str]:
        """Small: HAProxy's cache takes the load; measured 3 MB less than Go's defaults, at no cost seen."""
        folder = str(self._folder)
        return {
            "HOME": folder,
            "XDG_DATA_HOME": folder,
            "XDG_CONFIG_HOME": folder,
            _CONFIG: self._digest,
            "GOGC": "25",
            "GOMEMLIMIT": "32MiB",
            "GOMAXPROCS": str(min(4, os.cpu_count() or 1)),
        }

    async def _newest(self) -> Identity | None:
        """The one that was started last; a daemon that died while it took over left the one before it, which goes."""
        ours = sorted((row for row in proctable.rows() if self._is_ours(row.pid)), key=lambda row: row.start_ticks)
        found = [Identity.told_by(row) for row in ours if not row.dead]
        for earlier in found[:-1]:
            await _end(earlier)
        return found[-1] if found else None

    def _is_ours(self, pid: int) -> bool:
        """By command and folder; the same names in a container are another Caddy's."""
        return (
            proctable.words(pid)[1:] == self._argv[1:]
            and proctable.environment(pid).get("XDG_CONFIG_HOME") == str(self._folder)
            and proctable.beside_us(pid)
        )

    async def _answering(self, process: Identity) -> None:
        """Any answer will do: before it, the queue of the listener holds the request."""
        answer = asyncio.create_task(self._ask(), name="caddy answers")
        ended = asyncio.create_task(process.ended(), name="caddy ended")
        tasks = {answer, ended}
        await asyncio.wait(tasks, timeout=_START_DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        answered = answer.done() and answer.exception() is None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not answered:
            await _end(process)
            raise HostError(
                "Caddy did not start",
                seen=self._said() or f"no answer within {_START_DEADLINE:g} s",
                hint=f"run it by hand: {' '.join(self._argv)}",
            )

    async def _ask(self) -> None:
        with reachable(self._socket) as address:
            reader, writer = await asyncio.open_unix_connection(address)
        try:
            writer.write(b"GET / HTTP/1.0\r\nHost: noren\r\n\r\n")
            await reader.readuntil(b"\r\n")
        finally:
            writer.close()

    def _supervise(self, process: Identity) -> None:
        self._supervisor = asyncio.create_task(self._keep_running(process), name="caddy supervisor")

    async def _unsupervise(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None

    async def _keep_running(self, process: Identity) -> None:
        failures = 0
        while True:
            born = time.monotonic()
            code = await process.ended()
            lived = time.monotonic() - born
            failures = failures + 1 if lived < _STABLE else 0
            _log.warning(
                "Caddy (pid %d) ended with code %s after %.1f s: it is started again", process.pid, code, lived
            )
            await asyncio.sleep(_pause(failures))
            process = await self._restarted()

    async def _restarted(self) -> Identity:
        """The next Caddy; what the host refuses now (no memory, no disk) is tried again."""
        while True:
            try:
                return self._start()
            except HostError as exc:
                _log.error("Caddy cannot be started again: %s", exc)
            await asyncio.sleep(_LONGEST_PAUSE)


def _pause(failures: int) -> float:
    """The first two deaths in a row cost no time; then 0.2, 0.4 … seconds."""
    return 0.0 if failures < 3 else min(_LONGEST_PAUSE, 0.1 * 2 ** (failures - 2))


def _spawn(argv: list[str], listener: socket, environment: dict[str, str], errors: Path) -> Identity:
    with errors.open("w") as stderr:
        child = subprocess.Popen(
            argv,
            stdin=listener.fileno(),
            stdout=stderr,
            stderr=stderr,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    process = Identity.of(child.pid)
    if process is None:
        child.wait(_STOP_DEADLINE)
        raise HostError("Caddy ended at once", seen=_text(errors)[-1000:].strip())
    # It is ours to leave behind: Identity.ended reaps it, Popen must neither reap nor warn.
    child.returncode = 0
    return process


async def _end(process: Identity) -> None:
    for number, deadline in ((signal.SIGTERM, _STOP_DEADLINE), (signal.SIGKILL, _STOP_DEADLINE)):
        process.send(number)
        try:
            async with asyncio.timeout(deadline):
                await process.ended()
        except TimeoutError:
            continue
        return


def _text(path: Path) -> str:
    """ "" when there is no such file."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
