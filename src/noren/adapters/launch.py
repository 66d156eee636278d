"""Starts the command of an instance so that it outlives Noren and carries its marks.

Called by `processes`. subprocess.Popen and not asyncio's, whose transports kill the child when the
loop closes. What has to happen inside the child (joining its group, limits) is done by a line of
shell in front of the command: a preexec_fn can deadlock in a process that has threads.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from noren.adapters import proctable
from noren.adapters.identity import Identity
from noren.core.errors import ReleaseError
from noren.core.model import Release

_SHELL = "/bin/sh"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# $1: the command, $2: open files or nothing, then groups. When memory runs out, the kernel takes an
# instance (+200) before Noren and the proxy.
_PROLOGUE = """
run=$1 files=$2; shift 2
for group do { echo $$ >"$group/cgroup.procs"; } 2>/dev/null; done
{ echo 200 >/proc/self/oom_score_adj; } 2>/dev/null
[ -z "$files" ] || ulimit -n "$files"
exec /bin/sh -c "$run"
"""


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that one start needs; ``groups`` are folders of control groups to join."""

    release: Release
    instance: str
    port: int
    state_dir: Path
    groups: tuple[Path, ...] = ()

    def environment(self) -> dict[str, str]:
        """What the process gets and nothing else: of the daemon's variables only PATH.

        Beyond the documented ones: NOREN_INSTANCE, the mark by which the process is found again,
        and NOREN_LOG_LIMIT (bytes), by which a restarted Noren knows how far its log may grow.
        """
        app = self.release.app
        return {
            "PATH": os.environ.get("PATH", _PATH),
            "HOME": str(self._folder("home", app.name)),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self._folder("tmp", self.instance)),
            **app.variables,
            "PORT": str(self.port),
            "NOREN_APP": app.name,
            "NOREN_RELEASE": str(self.release.number),
            "NOREN_REVISION": self.release.revision,
            "NOREN_DATA": str(self._folder("data", app.name)),
            "NOREN_INSTANCE": self.instance,
            "NOREN_LOG_LIMIT": str(app.limits.log),
        }

    def start(self, output: int) -> Identity:
        """Start it with its output to this descriptor.

        Raises ReleaseError when there is nothing to start, OSError when the host refuses.
        """
        directory = self.release.artifact.path
        command = self.release.app.run or ""
        environment = self.environment()
        _check(command, directory, environment)
        files = self.release.app.limits.open_files
        argv = [_SHELL, "-c", _PROLOGUE, _SHELL, command, str(files or ""), *map(str, self.groups)]
        return _spawn(argv, directory, environment, output)

    def _folder(self, kind: str, name: str) -> Path:
        folder = self.state_dir / kind / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder


def _spawn(argv: list[str], directory: str, environment: dict[str, str], output: int) -> Identity:
    child = subprocess.Popen(
        argv,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    # Identity waits for and reaps the child; Popen must do neither, nor warn that it still runs.
    child.returncode = 0
    row = proctable.row(child.pid)
    assert row is not None, "an unreaped child has a row, dead or alive"
    return Identity.told_by(row)


def _check(command: str, directory: str, environment: dict[str, str]) -> None:
    """Name what is missing now, instead of "exit code 127" later."""
    if not Path(directory).is_dir():
        raise ReleaseError(
            "The directory to run in does not exist.", seen=directory, hint="check `root`, or what the build leaves"
        )
    if not command.strip():
        raise ReleaseError("There is no command to run.", hint="set `run`")
    word = command.split()[0]
    # Anything with quotes, variables or assignments is the shell's to judge.
    if re.fullmatch(r"[\w./+-]+", word) and not _found(word, directory, environment):
        raise ReleaseError(
            f"The command to run, {word}, is missing or not executable.",
            seen=f"looked in {directory}" if "/" in word else f"PATH={environment['PATH']}",
            hint="check that the build makes it, or that it is installed on this host",
        )


def _found(word: str, directory: str, environment: dict[str, str]) -> bool:
    if "/" in word:
        file = Path(directory, word)
        return file.is_file() and os.access(file, os.X_OK)
    # The shell knows its own words too (cd, exec, test), which no search of PATH finds.
    asked = subprocess.run(
        [_SHELL, "-c", 'command -v -- "$1"', _SHELL, word],
        cwd=directory,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=5,
        check=False,
    )
    return asked.returncode == 0
