"""Names a process beyond pid reuse, reboots and restarts of Noren, and waits for its end without polling.

Used by every adapter that runs something which outlives the daemon (instances, HAProxy, Caddy).
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from noren.adapters.proctable import Row, row


@cache
def boot_id() -> str:
    """The kernel's id of this boot (proc(5): /proc/sys/kernel/random/boot_id), the same for as long as we live."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """Start of a process in clock ticks since boot; None for a zombie or no process."""
    found = row(pid)
    return None if found is None or found.dead else found.start_ticks


@dataclass(frozen=True, slots=True)
class Identity:
    """A process: pid, start time and boot."""

    pid: int
    start_ticks: int
    boot_id: str

    @staticmethod
    def of(pid: int) -> Identity | None:
        """The identity of a running process, None when it is gone."""
        ticks = start_ticks(pid)
        return None if ticks is None else Identity(pid, ticks, boot_id())

    @staticmethod
    def told_by(row: Row) -> Identity:
        """The identity of what was seen in the table of processes, dead or alive."""
        return Identity(row.pid, row.start_ticks, boot_id())

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return start_ticks(self.pid) == self.start_ticks and boot_id() == self.boot_id

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this very process; a process that is gone is no error."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)

    async def ended(self) -> int | None:
        """Wait until it ended; the exit code (negative: signal), None when it was not our child or is long gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        try:
            if self.alive():
                await _readable(descriptor)
            return _reap(descriptor)
        finally:
            os.close(descriptor)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.add_reader(descriptor, lambda: done.done() or done.set_result(None))
    try:
        await done
    finally:
        loop.remove_reader(descriptor)


def _reap(descriptor: int) -> int | None:
    try:
        result = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
