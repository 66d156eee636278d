"""Runs the command of one build and lets nothing of it survive.

Used by Builds. The command sees the environment it is given and nothing else of the daemon's; at its
end, its deadline or a cancellation every process it started is killed. It gives way to what serves:
nice 5, first to go when memory runs out, and limited in processes where the host allows control groups.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from noren.adapters.build_log import BuildLog
from noren.adapters.cgroup import Cgroup
from noren.adapters.marked import MARK, end_all
from noren.core.model import Limits

MOST_PROCESSES = 4096
# A process joins its groups before it becomes the build, so that nothing can slip out in between.
_LAUNCH = """\
command=$1 nice=$2; shift 2
for group do { echo $$ >"$group/cgroup.procs"; } 2>/dev/null; done
{ echo 500 >/proc/self/oom_score_adj; } 2>/dev/null
exec $nice /bin/sh -c "$command"
"""
_CHUNK = 65_536
_LAST_WORDS = 2.0


async def run_build(
    command: str, *, cwd: Path, env: Mapping[str, str], group: Cgroup, log: BuildLog, timeout: float
) -> int | None:
    """The exit code (negative: signal), None when ``timeout`` seconds were not enough. ``env`` must hold the mark."""
    reading, writing = os.pipe()
    copy = asyncio.create_task(_copy(reading, log), name=f"log of {env[MARK]}")
    try:
        process = await _start(command, cwd, env, group.create(Limits(), most_processes=MOST_PROCESSES), writing)
    except BaseException:
        copy.cancel()
        raise
    finally:
        os.close(writing)
    try:
        async with asyncio.timeout(timeout):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        await end_all(env[MARK], group, process.pid)
        group.remove()
        # The pipe ends with its last writer; one that cannot be killed must not hold us.
        await asyncio.wait([copy], timeout=_LAST_WORDS)
        copy.cancel()


async def _start(
    command: str, cwd: Path, env: Mapping[str, str], groups: Sequence[Path], output: int
) -> asyncio.subprocess.Process:
    nice = shutil.which("nice")
    return await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", _LAUNCH, "noren-build", command, f"{nice} -n 5" if nice else "", *map(str, groups)),
        cwd=cwd,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


async def _copy(reading: int, log: BuildLog) -> None:
    """Our own pipe: asyncio would tell of the exit only after the last process let go of its."""
    stream = asyncio.StreamReader()
    with os.fdopen(reading, "rb") as pipe:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
        try:
            while chunk := await stream.read(_CHUNK):
                log.write(chunk)
        finally:
            transport.close()
