"""Where revisions and artifacts come from, app by app: Git and builds on this host, or a registry and its images.

Wired in daemon.py between the engine, which has one Source and one Builder, and the adapters of each way.
"""

from __future__ import annotations

from typing import Protocol

from noren.adapters.builder import Builds
from noren.adapters.git import Git
from noren.adapters.images.builder import Images
from noren.adapters.images.source import TagSource
from noren.core.model import App, Artifact, Commit, Kind
from noren.core.source import watches_image


class Origin:
    """The Source of all apps."""

    def __init__(self, git: Git, tags: TagSource) -> None:
        self._git, self._tags = git, tags

    async def tip(self, app: App) -> str:
        """The newest revision."""
        return await self._of(app).tip(app)

    async def commit(self, app: App, tip: str) -> Commit:
        """What is known of a revision."""
        return await self._of(app).commit(app, tip)

    async def keep(self, app: App, number: int, revision: str) -> None:
        """Hold the revision of a release."""
        await self._of(app).keep(app, number, revision)

    async def forget(self, app: App, number: int) -> None:
        """Let it go."""
        await self._of(app).forget(app, number)

    def _of(self, app: App) -> Git | TagSource:
        return self._tags if watches_image(app) else self._git


class _Builder(Protocol):
    async def build(self, app: App, revision: str, rebuilt: str | None = None) -> Artifact: ...

    async def log(self, app: App, revision: str, rebuilt: str | None = None) -> str | None: ...


class Artifacts:
    """The Builder of all apps."""

    def __init__(self, builds: Builds, images: Images) -> None:
        self._builds, self._images = builds, images

    async def build(self, app: App, revision: str, rebuilt: str | None = None) -> Artifact:
        """Files on this host, or an image in a registry."""
        return await self._of(app).build(app, revision, rebuilt)

    async def log(self, app: App, revision: str, rebuilt: str | None = None) -> str | None:
        """The log of the newest build."""
        return await self._of(app).log(app, revision, rebuilt)

    async def prune(self, keys: frozenset[str]) -> None:
        """Both kinds: what an image was made of may go with it."""
        await self._builds.prune(keys)
        await self._images.prune(keys)

    def _of(self, app: App) -> _Builder:
        return self._images if app.kind is Kind.KUBERNETES else self._builds
