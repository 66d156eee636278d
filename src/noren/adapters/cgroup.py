"""Control groups around instances and builds, where the host lets us make them; nothing where it does not.

Used by `members`, `processes` and `build_process`. Best effort: a child of our own group in version 2,
and in version 1 in the hierarchies of pids and memory. A group limits what is in it, and finds the
processes that left their session and dropped their mark.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from noren.core.model import Limits

_MOUNT = Path("/sys/fs/cgroup")


class Cgroups:
    """The groups of one state directory: two of them on one host may use the same names."""

    def __init__(self, state_dir: Path) -> None:
        self._prefix = "noren-" + hashlib.sha256(str(state_dir.absolute()).encode()).hexdigest()[:8]
        self._parents = tuple(_parents())

    def of(self, name: str) -> Cgroup:
        """The group of this name, which need not exist."""
        return Cgroup(tuple(parent / f"{self._prefix}-{name}" for parent in self._parents))


class Cgroup:
    """One group, as a folder in each hierarchy."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders

    def create(self, limits: Limits, *, most_processes: int | None = None) -> tuple[Path, ...]:
        """Make it with these limits; the folders that could be made: () on a host that lets us make none."""
        made = tuple(folder for folder in self._folders if _make(folder))
        for folder in made:
            _limit(folder, limits.memory, most_processes)
        return made

    def pids(self) -> set[int]:
        """What is in it now."""
        return {pid for folder in self._folders for pid in _pids(folder)}

    def kill(self) -> None:
        """SIGKILL to everything in it: at once in version 2, one by one in version 1, where it can no longer fork."""
        for folder in self._folders:
            if _set(folder / "cgroup.kill", "1"):
                continue
            _set(folder / "pids.max", "0")
            for pid in _pids(folder):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def remove(self) -> None:
        """Remove it; no change when it is gone or something is still in it."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                folder.rmdir()


def writable() -> bool:
    """Whether groups can be made here at all."""
    return any(os.access(parent, os.W_OK) for parent in _parents())


def _parents() -> Iterator[Path]:
    """Where groups can be made in each hierarchy that helps: in our own."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("pids", "memory"):
                yield _MOUNT / controllers / path.lstrip("/")
            elif not controllers:
                unified = _MOUNT / "unified"
                own = (unified if unified.is_dir() else _MOUNT) / path.lstrip("/")
                # DelegateSubgroup=daemon of a systemd unit: version 2 limits groups beside processes, not below them.
                yield own.parent if own.name == "daemon" else own


def _make(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
    _set(folder.parent / "cgroup.subtree_control", "+memory +pids")
    return os.access(folder / "cgroup.procs", os.W_OK)


def _limit(folder: Path, memory: int | None, most_processes: int | None) -> None:
    limits = {"memory.max": memory, "memory.limit_in_bytes": memory, "pids.max": most_processes}
    for name, value in limits.items():
        if value is not None:
            _set(folder / name, str(value))


def _set(file: Path, value: str) -> bool:
    """Whether the kernel offers this file here and took the value; some files can be written only, not read."""
    try:
        descriptor = os.open(file, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(descriptor, value.encode())
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _pids(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []
