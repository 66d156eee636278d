"""Runs one command of ours to its end, with a deadline, bounded output and nothing left behind.

Used by the Git adapter and for notifications. Builds have their own way (``build_process``): their output goes to a log
and their processes cannot be trusted to stay in one group.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 65_536
MOST = 8_000_000
_TERM_GRACE = 2.0
_Called = Callable[[], None]


class Stalled(Exception):
    """The command was ended: silent for too long, or too slow as a whole."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended and what it said."""

    code: int
    stdout: bytes
    stderr: str


@dataclass(slots=True)
class Patience:
    """How long to wait: ``silence`` seconds without output, ``total`` seconds altogether."""

    silence: float
    total: float


async def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    patience: Patience,
    most: int = MOST,
    told: bytes | None = None,
) -> Outcome:
    """Run to the end in a session of its own; the whole group is ended at the deadline or when cancelled.

    ``env`` is the whole environment, ``told`` its standard input, ``most`` the bytes kept of each stream;
    a command whose stdout is longer is killed (code -9).
    Raises Stalled, and OSError when the program cannot be started.
    """
    process = await _start(argv, env, cwd, asyncio.subprocess.DEVNULL if told is None else asyncio.subprocess.PIPE)
    try:
        if process.stdin and told is not None:
            process.stdin.write(told)  # at most what a pipe and our buffer hold: nobody waits for a reader
            process.stdin.close()
        return await _listen(process, patience, most)
    finally:
        await _end(process)


async def _start(argv: Sequence[str], env: Mapping[str, str], cwd: Path, stdin: int) -> asyncio.subprocess.Process:
    """A start is finished before it is cancelled: asyncio would kill the first process only, and wait for the rest."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            env=env,
            cwd=cwd,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting])
        if starting.exception() is None:
            await _end(starting.result())
        raise


async def _listen(process: asyncio.subprocess.Process, patience: Patience, most: int) -> Outcome:
    loop = asyncio.get_running_loop()
    latest = loop.time() + patience.total
    try:
        async with asyncio.timeout(patience.silence) as deadline:

            def heard() -> None:
                deadline.reschedule(min(latest, loop.time() + patience.silence))

            async with asyncio.TaskGroup() as streams:
                out = streams.create_task(
                    _collect(process.stdout, most, heard, lambda: _signal(process.pid, signal.SIGKILL))
                )
                err = streams.create_task(_collect(process.stderr, most, heard, _nothing))
            code = await process.wait()
    except TimeoutError as exc:
        raise Stalled from exc
    return Outcome(code, out.result(), err.result().decode(errors="replace"))


async def _collect(stream: asyncio.StreamReader | None, most: int, heard: _Called, full: _Called) -> bytes:
    kept = bytearray()
    while stream and (chunk := await stream.read(_CHUNK)):
        heard()
        kept += chunk[: max(0, most - len(kept))]
        if len(kept) >= most:
            full()
    return bytes(kept)


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM first: git removes its lock files then. Helpers that a finished command left go as well."""
    _signal(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_TERM_GRACE):
            await _gone(process)
    except TimeoutError:
        _signal(process.pid, signal.SIGKILL)
        await _gone(process)
    finally:
        _signal(process.pid, signal.SIGKILL)


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Read to the end as well: asyncio tells of an exit only after the pipes are closed."""
    streams = (_collect(stream, 0, _nothing, _nothing) for stream in (process.stdout, process.stderr))
    await asyncio.gather(*streams, process.wait())


def _nothing() -> None:
    return


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
