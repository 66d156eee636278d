"""The Source port: repositories by way of the system's git.

Wired in daemon.py, called by the loop of each app (``tip``, ``commit``, ``keep``, ``forget``) and by
Builds (``checkout``). Every failure names the repository and the branch, what git said and what to try.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from noren.adapters import refusal
from noren.adapters.checkout import Checkout
from noren.adapters.command import Outcome, Patience, Stalled, run
from noren.adapters.mirror import QUICK, Mirror, git
from noren.adapters.remote import Remote, plain_environment, prepare
from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import App, Commit
from noren.core.version import newest

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ABBREVIATED = re.compile(r"[0-9a-f]{7,64}")
_LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class _Asked:
    """One app's repository: where it is, how to talk to it, and our mirror of it."""

    app: App
    remote: Remote
    mirror: Mirror
    env: dict[str, str]

    def refused(self, doing: str, said: str) -> OutsideError:
        return refusal.refusal(doing, self.app.repo, said, self.env.get("NOREN_GIT_TOKEN"))


class Git:
    """Mirrors below ``state_dir``/mirrors.

    ``timeout`` (seconds) bounds a question to a remote, and how long a fetch may make no progress;
    a fetch that goes on talking may take thirty times as long.
    """

    def __init__(self, state_dir: Path, *, timeout: float = 60.0) -> None:
        self._mirrors_dir = state_dir.absolute() / "mirrors"
        self._home = state_dir.absolute() / "git"
        self._timeout = timeout
        self._mirrors: dict[str, Mirror] = {}
        self._named_well: set[str] = set()
        self._mirrors_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        prepare(self._home)

    async def tip(self, app: App) -> str:
        """The sha at the tip of the app's branch or newest tag, or of the remote's HEAD, asked from the remote.

        Raises OutsideError: unreachable, refused, no such branch or tag, empty repository.
        """
        asked = self._asked(app)
        with self._outside(f"looking for {_followed(app)} of {app.repo}"):
            if app.tags:
                return await self._newest_tag(asked, app.tags)
            ref = await self._ref(app)
            refs = await self._remote_refs(asked, ref)
            if ref not in refs:
                raise await self._no_branch(asked)
            return refs[ref]

    async def commit(self, app: App, tip: str) -> Commit:
        """The last commit up to ``tip`` (sha, short sha, branch or tag) that touches the app's ``watch``.

        Fetches unless a sha is in the mirror already. Raises ReleaseError when ``tip`` does not exist
        or no commit touches ``watch``, OutsideError when the fetch fails.
        """
        asked = self._asked(app)
        paths = _pathspecs(app)
        with self._outside(f"fetch of {app.repo}"):
            revision = await self._present(asked, tip)
            done = await asked.mirror.git(
                *("log", "-1", "--format=%H%x00%s%x00%an%x00%ct", "--end-of-options", revision, "--", *paths),
                env=self._plain,
                patience=self._patience,
            )
        if done.code != 0:
            raise asked.refused(f"reading the history of {app.repo}", done.stderr)
        if not done.stdout.strip():
            watched = ", ".join(app.watch or (app.root,))
            raise ReleaseError(
                f"no commit of {app.repo} up to {revision[:7]} touches what {app.name} watches",
                seen=f"watch: {watched}",
                hint="correct root or watch; they are relative to the top of the repository",
            )
        commit = _parsed(done.stdout.decode(errors="replace"))
        return replace(commit, tag=await self._tag_at(asked, revision)) if app.tags else commit

    async def keep(self, app: App, number: int, revision: str) -> None:
        """Hold the revision as ``refs/noren/<app>/<number>``; raises OutsideError when it is not in the mirror."""
        await self._update_ref(app, number, revision)

    async def forget(self, app: App, number: int) -> None:
        """Drop that ref; no change when it, or the whole mirror, is gone."""
        if self._mirror(Remote.of(app.repo).url).path.exists():
            await self._update_ref(app, number, None)

    async def checkout(self, app: App, revision: str, into: Path) -> None:
        """A tree with history at ``into`` (which must not exist), detached at ``revision``, submodules if set.

        Raises ReleaseError (not in the mirror, too many files) or OutsideError (disk, submodule fetch).
        """
        asked = self._asked(app)
        tree = Checkout(asked.mirror, into, self._plain, self._patience)
        with self._outside(f"checkout of {app.repo} at {revision[:7]}"):
            if not _SHA.fullmatch(revision) or not await asked.mirror.resolve(revision, self._plain):
                raise _unknown(app, revision)
            await tree.make(app, revision, asked.env)

    @property
    def _plain(self) -> dict[str, str]:
        return plain_environment(self._home)

    @property
    def _patience(self) -> Patience:
        return Patience(self._timeout, 30 * self._timeout)

    def _asked(self, app: App) -> _Asked:
        remote = Remote.of(app.repo)
        return _Asked(app, remote, self._mirror(remote.url), remote.environment(self._home, app.credentials))

    def _mirror(self, url: str) -> Mirror:
        return self._mirrors.setdefault(url, Mirror(self._mirrors_dir, url))

    async def _ref(self, app: App) -> str:
        """A preview follows the ref that its forge keeps for the pull request."""
        if app.branch is None:
            return "HEAD"
        branch = await self._checked(app)
        return branch if app.preview else f"refs/heads/{branch}"

    async def _checked(self, app: App) -> str:
        """The app's branch, once git agrees that a branch can have this name."""
        branch = app.branch or ""
        if branch in self._named_well:
            return branch
        bad = branch.startswith("-") or "\0" in branch
        if bad or (await self._here("check-ref-format", f"refs/heads/{branch}")).code != 0:
            raise OutsideError(
                f"{refusal.plain(branch)!r} cannot be a branch of {app.repo}", hint=f"correct branch of {app.name}"
            )
        self._named_well.add(branch)
        return branch

    async def _remote_refs(self, asked: _Asked, *patterns: str) -> dict[str, str]:
        """Name → sha of the remote's refs that match; patterns match tails, so the caller picks by whole name."""
        words = ("ls-remote", "--quiet", "--end-of-options", asked.remote.url, *patterns)
        doing = f"looking for {_followed(asked.app)} of {asked.app.repo}"
        done = await run(git(*words), env=asked.env, cwd=self._home, patience=Patience(self._timeout, self._timeout))
        if done.code != 0:
            raise asked.refused(doing, done.stderr)
        lines = (line.split("\t", 1) for line in done.stdout.decode(errors="replace").splitlines())
        return {line[1]: line[0] for line in lines if len(line) == 2 and _SHA.fullmatch(line[0])}

    async def _newest_tag(self, asked: _Asked, pattern: str) -> str:
        """The commit of the newest version; an annotated tag is listed a second time, by what it points to."""
        refs = await self._remote_refs(asked, f"refs/tags/{pattern}", f"refs/tags/{pattern}^{{}}")
        names = [name.removeprefix("refs/tags/") for name in refs if not name.endswith("^{}")]
        if tag := newest(names, pattern, asked.app.prereleases):
            return refs.get(f"refs/tags/{tag}^{{}}", refs[f"refs/tags/{tag}"])
        seen = f"tags that match: {', '.join(refusal.plain(n) for n in names[:12])}" if names else "none matches"
        hint = "push one such as v1.0.0" if asked.app.prereleases else "push one such as v1.0.0, or set prereleases"
        raise OutsideError(f"{asked.app.repo} has no version among the tags {pattern!r}", seen=seen, hint=hint)

    async def _tag_at(self, asked: _Asked, revision: str) -> str | None:
        """The newest tag of the app's at a commit, fetched when the mirror knows none: the commit may be older."""
        if found := await self._tag_here(asked, revision):
            return found
        with self._outside(f"fetch of {asked.app.repo}"):
            await asked.mirror.fetch(asked.env, self._patience)
        return await self._tag_here(asked, revision)

    async def _tag_here(self, asked: _Asked, revision: str) -> str | None:
        words = ("for-each-ref", f"--points-at={revision}", "--format=%(refname:strip=2)", "refs/tags")
        done = await asked.mirror.git(*words, env=self._plain)
        names = done.stdout.decode(errors="replace").splitlines()
        return newest(names, asked.app.tags or "", asked.app.prereleases)

    async def _no_branch(self, asked: _Asked) -> OutsideError:
        """Tells a branch that was deleted or renamed from an empty repository and a dangling HEAD."""
        heads = [name.removeprefix("refs/heads/") for name in await self._remote_refs(asked, "refs/heads/*")]
        repo, branch = asked.app.repo, asked.app.branch
        if not heads:
            return OutsideError(f"{repo} has no branch yet", hint="push a first commit")
        seen = f"branches there: {', '.join(refusal.plain(head) for head in heads[:12])}"
        what = (
            f"there is no branch {branch!r} in {repo}" if branch else f"{repo} does not say which branch is its default"
        )
        return OutsideError(
            what, seen=seen, hint=f"was it renamed or deleted? Set branch of {asked.app.name} to one there"
        )

    async def _present(self, asked: _Asked, tip: str) -> str:
        """The sha that ``tip`` names, fetched when the mirror does not have it; a name always asks the remote."""
        if _ABBREVIATED.fullmatch(tip) and (found := await asked.mirror.resolve(tip, self._plain)):
            return found
        done = await asked.mirror.fetch(asked.env, self._patience)
        if done.code != 0:
            raise asked.refused(f"fetch of {asked.app.repo}", done.stderr)
        found = await asked.mirror.resolve(tip, self._plain)
        if not found and _SHA.fullmatch(tip):
            await asked.mirror.fetch_object(tip, asked.env, self._patience)
            found = await asked.mirror.resolve(tip, self._plain)
        if not found:
            raise _unknown(asked.app, tip)
        return found

    async def _update_ref(self, app: App, number: int, revision: str | None) -> None:
        mirror = self._mirror(Remote.of(app.repo).url)
        ref = f"refs/noren/{app.name}/{number}"
        with self._outside(f"writing {ref}"):
            done = await mirror.git("update-ref", *((ref, revision) if revision else ("-d", ref)), env=self._plain)
        if done.code != 0:
            said = refusal.evidence(done.stderr)
            raise OutsideError(f"cannot write {ref} in the mirror of {app.repo}", seen=said, hint="check the disk")

    async def _here(self, *words: str) -> Outcome:
        return await run(git(*words), env=self._plain, cwd=self._home, patience=QUICK)

    @contextlib.contextmanager
    def _outside(self, doing: str) -> Generator[None]:
        """What is nobody's fault here: a git that had to be ended, or could not be started."""
        try:
            yield
        except Stalled as exc:
            raise OutsideError(
                f"{doing} was given up",
                seen=f"git made no progress for {self._timeout:g} s",
                hint="nothing: it is tried again; if it lasts, check the network and the Git server",
            ) from exc
        except OSError as exc:
            raise OutsideError(
                f"{doing} failed", seen=str(exc), hint="is git installed, and the state directory writable?"
            ) from exc


def _followed(app: App) -> str:
    return f"the tags {app.tags}" if app.tags else app.branch or "the default branch"


def _unknown(app: App, revision: str) -> ReleaseError:
    return ReleaseError(
        f"no such revision in {app.repo}: {refusal.plain(revision)!r}",
        hint="name a commit, tag or branch that was pushed there; a force-push may have removed it",
    )


def _pathspecs(app: App) -> list[str]:
    """Git pathspecs of what is watched, none for everything; a folder counts with all below it."""
    watched = [path.removeprefix("./").strip("/") for path in app.watch or (app.root,)]
    if any(path in ("", ".", "**") for path in watched):
        return []
    if not app.watch:
        return [f":(top,literal){watched[0]}"]
    return [f":(top,glob){pattern}" for path in watched for pattern in (path, f"{path}/**")]


def _parsed(line: str) -> Commit:
    revision, subject, author, seconds = line.rstrip("\n").split("\0")
    at = datetime.fromtimestamp(min(int(seconds), _LATEST), UTC)
    return Commit(
        revision=revision,
        subject=refusal.plain(subject),
        author=refusal.plain(author),
        committed_at=at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
