"""Starts and removes the cluster: ``python -m tests.kubernetes.cluster [--folder DIR] [-- COMMAND…]``.

With a command it runs that inside, removes the cluster and ends with the command's code; without one it stays until
SIGINT or SIGTERM. Where the machine lacks something it says what, and ends with 0: `make test-kubernetes` skips.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.kubernetes.cluster import files, pause, programs

# Whoever ends one of this chain, also by a kill -9, ends all that comes after it.
_NAMESPACES = ["setpriv", "--pdeathsig", "KILL"]
_NAMESPACES += ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="cluster", description=__doc__)
    parser.add_argument("--folder", type=Path, help="everything of the cluster; must not exist yet")
    parser.add_argument("command", nargs="*", metavar="COMMAND")
    asked = parser.parse_args()
    if reason := programs.missing():
        print(f"SKIPPED, no test cluster: {reason}")
        return 0
    binaries = programs.build()
    folder = _fresh(asked.folder)
    try:
        files.write(folder, binaries)
        pause.write(folder)
        return _run(folder, binaries, asked.command)
    finally:
        _remove(folder)


def _fresh(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="noren-cluster-"))
    folder.mkdir(parents=True)
    return folder.absolute()


def _run(folder: Path, binaries: Path, command: list[str]) -> int:
    """Until the first process of the namespaces ends, or until we are told to end it."""
    signal.signal(signal.SIGTERM, _told_to_end)
    signal.signal(signal.SIGINT, signal.SIG_IGN if command else _told_to_end)
    argv = [*_NAMESPACES, sys.executable, "-m", "tests.kubernetes.cluster.inside", str(folder)]
    argv += command or ["sleep", "infinity"]
    with subprocess.Popen(argv, env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}) as namespaces:
        first = _child(namespaces.pid)
        (folder / "pid").write_text(str(first))
        try:
            return namespaces.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGKILL)


def _told_to_end(number: int, frame: object) -> None:
    sys.exit(0 if number == signal.SIGINT else 128 + number)


def _child(pid: int) -> int:
    """The first process of the new namespaces, by the number that we know it by."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            return int(children[0])
        time.sleep(0.01)
    raise TimeoutError("unshare started nothing")


def _remove(folder: Path) -> None:
    """Processes and mounts went with the namespaces; files and cgroups are left."""
    groups = Path("/sys/fs/cgroup")
    for top in [*groups.glob(folder.name), *groups.glob(f"*/{folder.name}")]:
        for group, _, _ in os.walk(top, topdown=False):
            Path(group).rmdir()
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
