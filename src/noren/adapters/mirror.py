"""One bare mirror of a repository: all its branches and tags, and the refs that keep our releases.

Used by the Git adapter, one per repository however many apps share it. Whole history and no filter:
``git log`` and the clones that builds run in need every object.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from noren.adapters.command import MOST, Outcome, Patience, Stalled, run

# On every call: nothing in a repository may name a program for git to run, and nothing may outlive the call.
HARDENED = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "credential.helper=",
    "core.askPass=",
    "gc.autoDetach=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "advice.detachedHead=false",
    "i18n.logOutputEncoding=UTF-8",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    # What comes is kept whole or not at all: a cut fetch would leave commits without their files, which look fetched.
    "fetch.unpackLimit=1",
)
QUICK = Patience(60, 60)
_FETCH = ("fetch", "--force", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--progress")
# What git says of a repository that lost or damaged files of its own; never of one that it cannot reach, nor of a
# pack that was cut on its way ("protocol error: bad pack header", "pack has bad object", "expected 'packfile'").
_BROKEN = re.compile(
    r"^(?!remote:).*(?:not a git repository|(?<!pack has )bad object|corrupt|loose object|unable to read "
    r"|(?<!')packfile|inflate:|bad packed|bad config line|checked out at)",
    re.MULTILINE,
)
_REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


def git(*words: str) -> tuple[str, ...]:
    """The argv of a git that no repository can talk into anything."""
    return ("git", *(word for setting in HARDENED for word in ("-c", setting)), *words)


class Mirror:
    """The mirror of ``url`` below ``directory``; ``env`` of the verbs is git's whole environment."""

    def __init__(self, directory: Path, url: str) -> None:
        self.url = url
        self.path = directory / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.git"
        self._lock = asyncio.Lock()
        self.fetches = 0
        self._good = 0
        self._opened = False

    async def git(self, *words: str, env: Mapping[str, str], patience: Patience = QUICK, most: int = MOST) -> Outcome:
        """Run git in the mirror, which is killed when it prints more than ``most`` bytes; raises Stalled."""
        argv = git("--git-dir", str(self.path), *words)
        return await run(argv, env=env, cwd=self.path.parent, patience=patience, most=most)

    async def fetch(self, env: Mapping[str, str], patience: Patience) -> Outcome:
        """Fetch all branches and tags; whoever waited while another fetch began after the question shares it."""
        seen = self.fetches
        async with self._lock:
            if self._good > seen:
                return Outcome(0, b"", "")
            self.fetches += 1
            return await self._fetch(self.fetches, env, patience)

    async def fetch_object(self, sha: str, env: Mapping[str, str], patience: Patience) -> None:
        """Ask for one commit that no branch holds any more; the caller looks whether it came."""
        async with self._lock:
            await self.git("fetch", "--quiet", "--end-of-options", self.url, sha, env=env, patience=patience)

    async def resolve(self, name: str, env: Mapping[str, str]) -> str | None:
        """The commit that a sha, branch or tag of the mirror names; None when there is none."""
        if not self.path.exists() or re.search(r"^-|[\s:^~{}\\\x00-\x1f]|\.\.", name):
            return None
        done = await self.git("rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}", env=env)
        return done.stdout.decode().strip() or None if done.code == 0 else None

    async def _fetch(self, number: int, env: Mapping[str, str], patience: Patience) -> Outcome:
        await self._open(env)
        done = await self._update(env, patience)
        if done.code != 0 and _BROKEN.search(done.stderr):
            await self._start_over(env, patience)
            done = await self._update(env, patience)
        if done.code == 0:
            self._good = number
            await self._tidy(env, patience)
        return done

    async def _update(self, env: Mapping[str, str], patience: Patience) -> Outcome:
        words = (*_FETCH, "--prune", "--end-of-options", self.url, *_REFSPECS)
        try:
            return await self.git(*words, env=env, patience=patience)
        finally:
            self._sweep()

    async def _tidy(self, env: Mapping[str, str], patience: Patience) -> None:
        """Housekeeping in our own time, not in the background; what it leaves, the next fetch finds again."""
        with contextlib.suppress(Stalled):
            await self.git("gc", "--auto", "--quiet", env=env, patience=Patience(patience.total, patience.total))

    async def _start_over(self, env: Mapping[str, str], patience: Patience) -> None:
        """A mirror that a crash damaged is fetched anew; of the kept releases as many are saved as can be read."""
        broken = self.path.with_suffix(".broken")
        await asyncio.to_thread(shutil.rmtree, broken, ignore_errors=True)
        self.path.rename(broken)
        self._opened = False
        await self._open(env)
        kept = "+refs/noren/*:refs/noren/*"
        local = {**env, "GIT_ALLOW_PROTOCOL": "file"}
        await self.git(*_FETCH, "--end-of-options", str(broken), kept, env=local, patience=patience)

    def _sweep(self) -> None:
        """Half a pack, as large as what came of it: git leaves it for two weeks (we are the only user)."""
        with contextlib.suppress(OSError):  # tried again after the next fetch; this one may be being cancelled
            for half in self.path.glob("objects/pack/tmp_*"):
                half.unlink(missing_ok=True)

    async def _open(self, env: Mapping[str, str]) -> None:
        """Make the mirror when it is not there; remove the locks that a crash left (we are the only user)."""
        if self._opened:
            return
        await run(
            git(
                "init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--end-of-options", str(self.path)
            ),
            env=env,
            cwd=self.path.parent,
            patience=QUICK,
        )
        for stale in (*self.path.glob("*.lock"), *(self.path / "refs").rglob("*.lock")):
            stale.unlink(missing_ok=True)
        self._sweep()
        self._opened = True
