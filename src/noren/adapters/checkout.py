"""A tree with history out of a mirror, for one build.

Used by the Git adapter. The clone borrows the mirror's objects, so it costs the files and no copy of
the history, and ``git log`` works in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from noren.adapters.command import Outcome, Patience, run
from noren.adapters.mirror import Mirror, git
from noren.adapters.refusal import evidence, refusal
from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import App

# Ten small trees can stand for 10^9 files: what is listed is counted before anything is written.
MOST_LISTING = 64_000_000


class Checkout:
    """``env`` is for git alone with itself; what talks to a remote gets its own."""

    def __init__(self, mirror: Mirror, into: Path, env: Mapping[str, str], patience: Patience) -> None:
        self._mirror = mirror
        self._into = into
        self._env = env
        self._patience = Patience(patience.total, patience.total)

    async def make(self, app: App, revision: str, remote_env: Mapping[str, str]) -> None:
        """Clone, check out ``revision``, bring submodules; raises ReleaseError, OutsideError or Stalled."""
        await self._count(app, revision)
        flags = ("--quiet", "--shared", "--no-checkout", "--template=")
        done = await run(
            git("clone", *flags, "--end-of-options", str(self._mirror.path), str(self._into)),
            env=self._env,
            cwd=self._mirror.path.parent,
            patience=self._patience,
        )
        _must(done, f"clone of the mirror of {app.repo}")
        # Relative submodule URLs and site generators start from the address of the repository, not of our mirror.
        _must(await self._git("config", "remote.origin.url", self._mirror.url), "setting the origin")
        done = await self._git("checkout", "--quiet", "--force", "--detach", revision, "--")
        _must(done, f"checkout of {app.repo} at {revision[:7]}")
        if app.submodules:
            await self._submodules(app, remote_env)

    async def _submodules(self, app: App, env: Mapping[str, str]) -> None:
        words = ("submodule", "--quiet", "update", "--init", "--recursive", "--force")
        done = await run(git(*words), env=env, cwd=self._into, patience=self._patience)
        if done.code != 0:
            raise refusal(f"fetch of the submodules of {app.repo}", app.repo, done.stderr, env.get("NOREN_GIT_TOKEN"))

    async def _count(self, app: App, revision: str) -> None:
        listing = await self._mirror.git(
            *("ls-tree", "-r", "-z", "--name-only", revision), env=self._env, patience=self._patience, most=MOST_LISTING
        )
        if len(listing.stdout) >= MOST_LISTING:
            raise ReleaseError(
                f"{app.repo} at {revision[:7]} holds too many files to check out",
                seen=f"the list of their names alone is longer than {MOST_LISTING // 1_000_000} MB",
                hint="is it a mistake of a generator, or an attack?",
            )

    async def _git(self, *words: str) -> Outcome:
        return await run(git("-C", str(self._into), *words), env=self._env, cwd=self._into, patience=self._patience)


def _must(done: Outcome, doing: str) -> None:
    if done.code != 0:
        raise OutsideError(f"{doing} failed", seen=evidence(done.stderr), hint="it is tried again; check the disk")
