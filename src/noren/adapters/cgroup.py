"""A control group around one build, where the host lets us make one; nothing where it does not.

Used by ``build_process``. Best effort: under cgroup v1 the pids and memory controllers, under v2 a
child of our own group. A group also finds processes that left their session and dropped their mark.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
MOST_PROCESSES = 4096
_LIMITS = (("pids.max", str(MOST_PROCESSES)), ("memory.oom.group", "1"))


@contextlib.contextmanager
def groups(name: str, memory: int | None = None) -> Iterator[tuple[Path, ...]]:
    """Directories whose ``cgroup.procs`` a process joins by writing 0; () where none can be made.

    ``memory`` in bytes, None for no limit. The groups go when the block ends, unless processes are left.
    """
    made = tuple(group for parent in _parents() if (group := _made(parent / f"noren-{name}")))
    try:
        for group in made:
            _limit(group, memory)
        yield made
    finally:
        for group in made:
            with contextlib.suppress(OSError):
                group.rmdir()


def _parents() -> Iterator[Path]:
    """Our own group in each hierarchy that helps: v2, and the v1 hierarchies of pids and memory."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("pids", "memory"):
            yield _MOUNT / controllers / path.lstrip("/")
        elif not controllers:
            unified = _MOUNT / "unified"
            yield (unified if unified.is_dir() else _MOUNT) / path.lstrip("/")


def _made(group: Path) -> Path | None:
    try:
        group.mkdir(exist_ok=True)
    except OSError:
        return None
    return group if os.access(group / "cgroup.procs", os.W_OK) else None


def _limit(group: Path, memory: int | None) -> None:
    limits = _LIMITS
    if memory is not None:
        limits += (("memory.max", str(memory)), ("memory.limit_in_bytes", str(memory)))
    for name, value in limits:
        with contextlib.suppress(OSError):
            if (group / name).exists():
                (group / name).write_text(value)
