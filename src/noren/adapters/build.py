"""One build of one key: check out, run the command, leave the artifact or nothing but the log.

Used by Builds, which sees to it that a key is built once at a time.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from noren.adapters.artifact import empty_submodules, inside, tree_digest, without_history
from noren.adapters.build_log import BuildLog, Mask, last_lines
from noren.adapters.build_process import run_build
from noren.adapters.cgroup import Cgroup
from noren.adapters.free_space import kept_free
from noren.adapters.marked import MARK, end_all
from noren.adapters.removal import remove
from noren.core.errors import ReleaseError
from noren.core.model import App, Kind

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class TreeSource(Protocol):
    """What a build needs of Git."""

    async def checkout(self, app: App, revision: str, into: Path) -> None:
        """A tree with history at ``into``, which does not exist yet; raises ReleaseError or OutsideError."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """What is written down of a finished build; ``empty_submodules`` explain why a page may be missing.

    ``digest`` is that of the whole result, "" for a site: apps may serve parts of it.
    """

    seconds: float
    empty_submodules: tuple[str, ...] = ()
    digest: str = ""

    def hint(self) -> str:
        """What to try when something is missing in the output; "" when nothing is known."""
        return _submodule_hint(self.empty_submodules)


@dataclass(frozen=True, slots=True)
class Build:
    """``app`` is the first that asked; whatever differs between apps of one key has no part in the build."""

    app: App
    revision: str
    key: str
    directory: Path
    group: Cgroup

    @property
    def label(self) -> str:
        """For errors."""
        return f"build of {self.app.name} at {self.revision[:7]}"

    @property
    def folder(self) -> Path:
        """Everything of this build but the log."""
        return self.directory / self.key

    @property
    def log(self) -> Path:
        """The log of the newest try; it stays when the build fails."""
        return self.directory / f"{self.key}.log"

    def finished(self) -> Built | None:
        """What was written down when it was finished, None when it was not."""
        try:
            told = json.loads((self.folder / "built.json").read_text())
            return Built(told["seconds"], tuple(told["empty_submodules"]), told.get("digest", self.key))
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None

    def site_base(self) -> Path:
        """What ``publish`` is relative to."""
        return self.folder / "output" if self.app.build.run else inside(self.folder / "tree", self.app.root, "root")

    def process_path(self) -> Path:
        """Working directory of a process: the output when the build filled it, else root in the tree."""
        output = self.folder / "output"
        return output if any(output.iterdir()) else inside(self.folder / "tree", self.app.root, "root")

    def _digest(self) -> str:
        """Before anything runs in it and writes there."""
        output = self.folder / "output"
        return tree_digest(output if any(output.iterdir()) else self.folder / "tree", str(self.folder))

    async def make(self, source: TreeSource, min_free: int) -> Built:
        """Build now; whatever goes wrong, no process and no folder are left.

        Raises ReleaseError or OutsideError.
        """
        started = time.monotonic()
        await self.discard()
        log = BuildLog(self.log, Mask(value for _, value in self.app.secrets))
        try:
            async with kept_free(self.directory, min_free, self.label):
                await self._run(source, log)
            return await asyncio.to_thread(self._finish, time.monotonic() - started)
        except BaseException:
            await self.discard()
            raise
        finally:
            log.close()

    async def discard(self) -> None:
        """End every process of an earlier try and remove its folder."""
        await end_all(str(self.folder), self.group)
        await asyncio.to_thread(remove, self.folder)

    def environment(self) -> dict[str, str]:
        """Everything the command sees; of the daemon's own variables only PATH.

        NOREN_BUILD is the mark by which the processes of the build are found.
        """
        return {
            "PATH": os.environ.get("PATH", _PATH),
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.folder / "tmp"),
            **self.app.variables,
            "NOREN_OUTPUT": str(self.folder / "output"),
            "NOREN_REVISION": self.revision,
            MARK: str(self.folder),
        }

    async def _run(self, source: TreeSource, log: BuildLog) -> None:
        for name in ("home", "tmp", "output"):
            (self.folder / name).mkdir(mode=0o755, parents=True)
        tree = self.folder / "tree"
        await source.checkout(self.app, self.revision, tree)
        cwd = inside(tree, self.app.root, "root")
        if not (command := self.app.build.run):
            return
        timeout = self.app.build.timeout
        code = await run_build(command, cwd=cwd, env=self.environment(), group=self.group, log=log, timeout=timeout)
        log.close()
        if code != 0:
            raise self._failed(code)

    def _failed(self, code: int | None) -> ReleaseError:
        if code is None:
            why = f"it took longer than {self.app.build.timeout:g} s"
        else:
            why = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
        return ReleaseError(
            f"{self.label} failed: {why}",
            seen=last_lines(self.log) or "the build said nothing",
            hint=self._hint(code),
        )

    def _hint(self, code: int | None) -> str:
        empty = () if self.app.submodules else empty_submodules(self.folder / "tree")
        if empty:
            return _submodule_hint(empty)
        if code is None:
            return "raise `build.timeout`"
        whole = f"noren logs {self.app.name} --build"
        missing = "install the missing command on this host, where the PATH of the daemon finds it; all of the log: "
        return f"{missing}{whole}" if code == 127 else whole

    def _finish(self, seconds: float) -> Built:
        """Keep what is served or run, and say so last."""
        tree, command = self.folder / "tree", self.app.build.run
        empty = () if self.app.submodules else tuple(empty_submodules(tree))
        remove(self.folder / "tmp")
        if self.app.kind is Kind.STATIC:
            remove(self.folder / "home")
            remove(tree) if command else without_history(tree)
        built = Built(round(seconds, 3), empty, "" if self.app.kind is Kind.STATIC else self._digest())
        beside = self.folder / "built.json.new"
        beside.write_text(json.dumps(asdict(built)))
        _sync(self.folder)
        beside.rename(self.folder / "built.json")
        _sync(self.folder)
        return built


def _submodule_hint(empty: tuple[str, ...] | list[str]) -> str:
    if not empty:
        return ""
    return f"the submodule folders {', '.join(map(ascii, empty))} are empty: set submodules = true"


def _sync(folder: Path) -> None:
    """One call for all files of the build: built.json must not outlive what it speaks of in a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed", str(folder))
    finally:
        os.close(descriptor)
