"""When a process ended, as the kernel tells it: the clock against which a switch back is measured."""

from __future__ import annotations

import os
import select
import time


def exit_time(pid: int, within: float) -> float:
    """Wait at most ``within`` seconds for the end of a process, which need not be our child: seconds of the epoch."""
    descriptor = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([descriptor], [], [], within)
        now = time.time()
    finally:
        os.close(descriptor)
    assert ready, f"process {pid} did not end within {within:g} s"
    return now
