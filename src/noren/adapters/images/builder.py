"""The Builder port of apps in a cluster: commit → image in its registry, known by digest.

Wired in daemon.py. What the build left in $NOREN_OUTPUT becomes one layer on ``base_image``; a build that leaves
nothing there is made into an image by the Dockerfile in ``root``. An app that follows a tag has its image already.
Below ``state_dir``/images each build key has a folder with what was pushed, and the log of its Dockerfile.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from noren.adapters.artifact import listing
from noren.adapters.builder import Builds
from noren.adapters.cgroup import Cgroups
from noren.adapters.images.buildah import Buildah
from noren.adapters.images.image import Base, compose
from noren.adapters.images.layer import write_layer
from noren.adapters.images.layout import Layout
from noren.adapters.images.reference import Reference
from noren.adapters.images.registry import Registries
from noren.adapters.images.source import SCHEME, watched
from noren.adapters.removal import remove
from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import App, Artifact, Kubernetes, build_key


class Images:
    """Images of what ``builds`` builds, pushed by digest; whoever starts a release gives it the release's tag."""

    def __init__(self, state_dir: Path, builds: Builds, registries: Registries) -> None:
        self._directory = state_dir.absolute() / "images"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._builds = builds
        self._registries = registries
        self._buildah = Buildah(self._directory / "storage")
        self._groups = Cgroups(state_dir)

    async def build(self, app: App, revision: str, rebuilt: str | None = None) -> Artifact:
        """The artifact whose path is the image by digest: found in the registry, or built and pushed.

        Raises ReleaseError (its own fault: build, Dockerfile, nothing to put in) or OutsideError (registry, disk).
        """
        started, key = time.monotonic(), build_key(app, revision, rebuilt)
        if app.repo.startswith(SCHEME):
            return await self._found(app, key, watched(app).at(f"sha256:{revision}"))
        target, pushed = _target(app), self._pushed(app, key)
        if (digest := _read(pushed)) and await self._there(app, target.at(digest)):
            return await self._found(app, key, target.at(digest))
        built = await self._builds.build(app, revision, rebuilt)
        try:
            digest = await self._make(app, built, target)
            pushed.write_text(json.dumps({"digest": digest}))
        except OSError as exc:
            hint = "check disk and permissions of the state directory; it is tried again"
            raise OutsideError(f"the image of {app.name} could not be written", seen=str(exc), hint=hint) from exc
        return replace(built, path=str(target.at(digest)), digest=digest, seconds=time.monotonic() - started)

    async def log(self, app: App, revision: str, rebuilt: str | None = None) -> str | None:
        """The log of the Dockerfile, where there was one, else that of the build command."""
        log = self._log(build_key(app, revision, rebuilt))
        return str(log) if log.exists() else await self._builds.log(app, revision, rebuilt)

    async def prune(self, keys: frozenset[str]) -> None:
        """Forget what was pushed for other keys; registries have rules of their own for what they keep."""
        for folder in [entry for entry in self._directory.iterdir() if entry.name not in keys | {"storage"}]:
            if not folder.name.startswith("new-"):
                await asyncio.to_thread(remove, folder)

    async def _make(self, app: App, built: Artifact, target: Reference) -> str:
        kubernetes = _kubernetes(app)
        registry = self._registries.of(kubernetes.registry_auth_file)
        tree = Path(built.path)
        with tempfile.TemporaryDirectory(dir=self._directory, prefix="new-") as work:
            layout = Path(work) / "layout"
            if tree.name == "output" and tree.parent.name == built.key:
                base = _base(app)
                await asyncio.to_thread(_with_files, layout, await registry.base(base), tree, kubernetes.base_path)
                return await registry.push(Layout(layout), target, base=base)
            _check_dockerfile(app, tree)
            log = self._log(built.key)
            group = self._groups.of(f"image-{built.key}")
            await self._buildah.build(app, tree, layout, log=log, group=group)
            return await registry.push(Layout(layout), target)

    async def _there(self, app: App, image: Reference) -> bool:
        """Whether the registry still has it: one that was emptied gets it again."""
        try:
            await self._registries.of(_kubernetes(app).registry_auth_file).digest(image)
        except OutsideError:
            return False
        return True

    async def _found(self, app: App, key: str, image: Reference) -> Artifact:
        digest = await self._registries.of(_kubernetes(app).registry_auth_file).digest(image)
        return Artifact(key=key, path=str(image), digest=digest, seconds=0.0)

    def _pushed(self, app: App, key: str) -> Path:
        """What was pushed for this key, this target and this way to make an image."""
        kubernetes = _kubernetes(app)
        ways = [app.image, kubernetes.base_image, kubernetes.base_path, kubernetes.dockerfile]
        name = hashlib.sha256(json.dumps(ways).encode()).hexdigest()[:16]
        folder = self._log(key).parent
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.json"

    def _log(self, key: str) -> Path:
        return self._directory / key / "build.log"


def _kubernetes(app: App) -> Kubernetes:
    assert app.kubernetes is not None, f"{app.name} is not in a cluster"
    return app.kubernetes


def _target(app: App) -> Reference:
    assert app.image is not None, f"{app.name} has a repository and no image"
    return Reference.parse(app.image)


def _base(app: App) -> Reference:
    base = _kubernetes(app).base_image
    if base is None:
        hint = (
            "set base_image to a web server that serves base_path, or leave $NOREN_OUTPUT empty and write a Dockerfile"
        )
        raise ReleaseError(f"there is no image to put the output of {app.name} on", hint=hint)
    return Reference.parse(base)


def _check_dockerfile(app: App, tree: Path) -> None:
    name = _kubernetes(app).dockerfile
    if not (tree / name).is_file():
        hint = f"let the build write to $NOREN_OUTPUT and set base_image, or add a {name} in root"
        raise ReleaseError(
            f"the build of {app.name} left no output, and there is no {name}", seen=listing(tree), hint=hint
        )


def _with_files(folder: Path, base: Base, tree: Path, where: str) -> None:
    layout = Layout(folder)
    compose(layout, base, [write_layer(layout, tree, where, alone=True)])


def _read(pushed: Path) -> str | None:
    try:
        return str(json.loads(pushed.read_text())["digest"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
