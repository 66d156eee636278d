"""The Source port of apps that follow a tag: a new digest behind it is what a commit is elsewhere.

Wired in daemon.py for apps whose ``repo`` is ``docker://…``. A revision is a digest without its ``sha256:``.
"""

from __future__ import annotations

import re
from dataclasses import replace

from noren.adapters.images.reference import Reference
from noren.adapters.images.registry import Registries, Registry
from noren.core.model import App, Commit

SCHEME = "docker://"
_HEX = re.compile(r"[0-9a-f]{64}")
_NEVER = "1970-01-01T00:00:00Z"


class TagSource:
    """Asks the registries; keeps nothing: what is deployed by digest stays in its registry as long as that wants."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries

    async def tip(self, app: App) -> str:
        """The digest that the tag names now. Raises OutsideError."""
        return await self._digest(app, watched(app))

    async def commit(self, app: App, tip: str) -> Commit:
        """What is known of a digest, or of a tag by its name, as of a commit. Raises OutsideError."""
        image = watched(app)
        if not _HEX.fullmatch(tip):
            image = replace(image, tag=tip)
            tip = await self._digest(app, image)
        base = await self._registry(app).base(image.at(f"sha256:{tip}"))
        created = str(base.config.get("created") or _NEVER)
        return Commit(revision=tip, subject=str(image), author=str(base.config.get("author", "")), committed_at=created)

    async def keep(self, app: App, number: int, revision: str) -> None:
        """Nothing: the tag is not ours."""

    async def forget(self, app: App, number: int) -> None:
        """Nothing."""

    async def _digest(self, app: App, image: Reference) -> str:
        return (await self._registry(app).digest(image)).removeprefix("sha256:")

    def _registry(self, app: App) -> Registry:
        return self._registries.of(app.kubernetes.registry_auth_file if app.kubernetes else None)


def watched(app: App) -> Reference:
    """The image and tag that the app follows."""
    return Reference.parse(app.repo.removeprefix(SCHEME))
