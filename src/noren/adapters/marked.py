"""Finds and ends every process of a build, however it tried to leave.

Used by ``build_process`` at the end of each build, and by Builds for what a crashed daemon left. A
process is known by its session, by the mark in its environment and by its control group, where the
host gives us one; each catches what slips through the others.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

from noren.adapters import proctable
from noren.adapters.cgroup import Cgroup
from noren.adapters.identity import Identity

MARK = "NOREN_BUILD"
_ROUNDS = 50
_ROUND = 0.2


async def end_all(mark: str, group: Cgroup, session: int | None = None) -> bool:
    """SIGKILL until no process is left; ``mark`` is the value of NOREN_BUILD. False: some survived ten seconds."""
    for _ in range(_ROUNDS):
        found = await asyncio.to_thread(_found, mark, group, session)
        if not found:
            return True
        group.kill()
        for identity in found:
            with suppress(PermissionError):
                identity.send(signal.SIGKILL)
        # What forked meanwhile is found by the next round.
        with suppress(TimeoutError):
            async with asyncio.timeout(_ROUND):
                for identity in found:
                    await _gone(identity.pid)
    return False


def _found(mark: str, group: Cgroup, session: int | None) -> list[Identity]:
    members = group.pids()
    return [
        Identity.told_by(row)
        for row in proctable.rows()
        if not row.dead
        and row.pid != os.getpid()
        and (row.pid in members or row.session == session or proctable.environment(row.pid).get(MARK) == mark)
    ]


async def _gone(pid: int) -> None:
    """Wait for the end without reaping: the exit code of the build is asyncio's to read."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    loop.add_reader(descriptor, done.set)
    try:
        await done.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
