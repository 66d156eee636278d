"""The Builder port: revision → artifact, each key built once however many apps ask for it.

Wired in daemon.py, called by the loop of each app. Below ``state_dir``/builds each key has a folder
(``tree`` or ``output``, and ``built.json``, whose presence means finished) and a log beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from noren.adapters.artifact import check_site, inside, site_digest
from noren.adapters.build import Build, Built, TreeSource
from noren.adapters.cgroup import Cgroups
from noren.adapters.free_space import default_minimum
from noren.adapters.marked import end_all
from noren.adapters.removal import remove
from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import App, Artifact, Kind, build_key

_FAILED_LOGS = 30


@dataclass(slots=True, eq=False)
class _Running:
    """A build that runs or waits for its turn, and how many wait for it."""

    task: asyncio.Task[Built]
    waiters: int = 0


class Builds:
    """Builds below ``state_dir``, ``parallel`` at once, while ``min_free`` bytes stay free on its file system."""

    def __init__(self, state_dir: Path, source: TreeSource, *, parallel: int, min_free: int | None = None) -> None:
        self._directory = state_dir.absolute() / "builds"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._source = source
        self._turn = asyncio.Semaphore(parallel)
        self._min_free = default_minimum(self._directory) if min_free is None else min_free
        self._groups = Cgroups(state_dir)
        self._running: dict[str, _Running] = {}
        self._asked: set[str] = set()
        self._removing = asyncio.Lock()

    async def build(self, app: App, revision: str, rebuilt: str | None = None) -> Artifact:
        """The artifact of this revision with these settings: built, shared with who builds it now, or there already.

        With ``rebuilt``, the scheduled time, it is built again even if the commit has a build.
        Raises ReleaseError (its own fault: exit code, deadline, nothing to serve) or OutsideError (disk,
        fetch). When the last one who waits is cancelled, the build and every process of it are ended.
        """
        build = self._build(app, revision, rebuilt)
        async with self._removing:  # what is found finished now must not go before its key is known to be needed
            self._asked.add(build.key)
            ready = await asyncio.to_thread(build.finished)
        if ready:
            return await self._artifact(app, build, replace(ready, seconds=0.0))
        return await self._artifact(app, build, await self._share(build))

    async def log(self, app: App, revision: str, rebuilt: str | None = None) -> str | None:
        """Path of the log, also while the build runs or after it failed; None when there was no such build."""
        path = self._build(app, revision, rebuilt).log
        return str(path) if path.exists() else None

    async def prune(self, keys: frozenset[str]) -> None:
        """Remove finished builds whose key is not among ``keys``, and all but the newest logs of failed ones.

        Raises OutsideError, after everything else is removed, when a folder cannot be.
        """
        self._asked.clear()
        await self._remove_all(lambda folder: folder.name not in keys | self._asked)
        await asyncio.to_thread(self._prune_logs)

    async def clean(self) -> None:
        """Once at start: end what is left of builds that a crash cut off, and remove their folders.

        Raises OutsideError like ``prune``.
        """
        await self._remove_all(lambda folder: not (folder / "built.json").exists())

    async def _remove_all(self, unwanted: Callable[[Path], bool]) -> None:
        problems: list[OSError] = []
        for folder in await asyncio.to_thread(self._folders):
            async with self._removing:
                if folder.name not in self._running and unwanted(folder):
                    try:
                        await self._remove(folder)
                    except OSError as exc:
                        problems.append(exc)
        if problems:
            raise OutsideError("old builds could not be removed", seen=str(problems[0]), hint="remove them by hand")

    def _build(self, app: App, revision: str, rebuilt: str | None) -> Build:
        key = build_key(app, revision, rebuilt)
        return Build(app, revision, key, self._directory, self._groups.of(f"build-{key}"))

    async def _share(self, build: Build) -> Built:
        """Wait for the one build of this key; the last waiter takes it along when cancelled."""
        running = self._running.get(build.key)
        while running and not running.waiters:
            # Its last waiter left and it is being ended: only then may the folder be used again.
            await asyncio.wait([running.task])
            running = self._running.get(build.key)
        mine = not running
        if not running:
            running = _Running(asyncio.create_task(self._make(build), name=f"build {build.key}"))
            self._running[build.key] = running
        running.waiters += 1
        try:
            built = await asyncio.shield(running.task)
            return built if mine else replace(built, seconds=0.0)
        finally:
            running.waiters -= 1
            if not running.waiters and not running.task.done():
                running.task.cancel()
                await asyncio.wait([running.task])

    async def _make(self, build: Build) -> Built:
        try:
            async with self._turn:
                # Between the first look and now another call may have finished it, and serve from it.
                if ready := await asyncio.to_thread(build.finished):
                    return replace(ready, seconds=0.0)
                return await build.make(self._source, self._min_free)
        except OSError as exc:
            raise OutsideError(
                f"{build.label} failed: this machine could not do it",
                seen=str(exc),
                hint="check disk and permissions of the state directory; it is tried again",
            ) from exc
        finally:
            del self._running[build.key]

    async def _artifact(self, app: App, build: Build, built: Built) -> Artifact:
        if app.kind is not Kind.STATIC:
            return Artifact(key=build.key, path=str(build.process_path()), digest=built.digest, seconds=built.seconds)
        try:
            site = inside(build.site_base(), app.publish or ".", "publish")
            await asyncio.to_thread(check_site, site)
        except ReleaseError as exc:
            raise ReleaseError(f"{build.label}: {exc.what}", seen=exc.seen, hint=built.hint() or exc.hint) from exc
        digest = await asyncio.to_thread(site_digest, site)
        return Artifact(key=build.key, path=str(site), digest=digest, seconds=built.seconds)

    def _folders(self) -> list[Path]:
        return [entry for entry in self._directory.iterdir() if entry.is_dir()]

    async def _remove(self, folder: Path) -> None:
        await end_all(str(folder), self._groups.of(f"build-{folder.name}"))
        await asyncio.to_thread(remove, folder)
        folder.with_name(f"{folder.name}.log").unlink(missing_ok=True)

    def _prune_logs(self) -> None:
        """A failed build has a log and no folder; its key is nobody's, so the newest are kept."""
        orphans = [log for log in self._directory.glob("*.log") if not log.with_suffix("").exists()]
        orphans.sort(key=lambda log: log.stat().st_mtime, reverse=True)
        for log in orphans[_FAILED_LOGS:]:
            log.unlink(missing_ok=True)
