"""A command of ours ends whole, whenever it is cancelled."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from noren.adapters.command import Patience, run

# In a session of its own, so its number is that of the group; the file is there whole or not at all.
_PARENT = "echo $$ >new && mv new group; sleep 20 & wait"


def members(group: int) -> list[str]:
    """Processes of a process group that live: command and state; one that init has not reaped yet is none."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            name, state, *_ = (process / "stat").read_text().partition(" ")[2].split()
            if os.getpgid(int(process.name)) == group and state != "Z":
                found.append(f"{name} {state}")
    return found


def gone(group: int, within: float = 2.0) -> bool:
    """Whether none is left; a killed process needs a moment."""
    end = time.monotonic() + within
    while members(group) and time.monotonic() < end:
        time.sleep(0.02)
    return not members(group)


@pytest.mark.parametrize("turns", range(8))
def test_a_command_cancelled_while_it_starts_leaves_no_process(tmp_path: Path, turns: int) -> None:
    async def cancelled() -> None:
        env = {"PATH": os.environ["PATH"]}
        argv = ["/bin/sh", "-c", _PARENT]
        task = asyncio.create_task(run(argv, env=env, cwd=tmp_path, patience=Patience(10, 10)))
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251 - it runs on while nobody listens to it
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    group = tmp_path / "group"
    assert not group.exists() or gone(int(group.read_text()))
