"""The Builder port of apps in a cluster: from a real commit to an image in a real registry."""

from __future__ import annotations

import asyncio
import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from docker_registry import DockerRegistry, docker_registry
from repository import Repository

from noren.adapters.builder import Builds
from noren.adapters.cgroup import Cgroups
from noren.adapters.git import Git
from noren.adapters.images.buildah import Buildah
from noren.adapters.images.builder import Images
from noren.adapters.images.image import compose, nothing
from noren.adapters.images.layer import write_layer
from noren.adapters.images.layout import Layout
from noren.adapters.images.reference import Reference
from noren.adapters.images.registry import Registries
from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import App, Artifact, Build, Kind, Kubernetes


class Yard:
    """A repository, a registry with a base image in it, and a builder between."""

    def __init__(self, path: Path, registry: DockerRegistry) -> None:
        self.path, self.registry = path, registry
        self.origin = Repository(path / "origin")
        self.base = f"{registry.host}/library/server:1"

    def app(self, run: str = "", **kubernetes: Any) -> App:
        return App(
            name="web",
            kind=Kind.KUBERNETES,
            repo=str(self.origin.path),
            image=f"{self.registry.host}/shop/web",
            build=Build(run=run),
            kubernetes=Kubernetes(deployment="web", **kubernetes),
        )

    def site(self) -> App:
        return self.app("cp *.html $NOREN_OUTPUT", base_image=self.base, base_path="/srv")

    def build(self, app: App, revision: str, state: str = "state") -> Artifact:
        """As a daemon that was just started does."""

        async def run() -> Artifact:
            git, registries = Git(self.path / state), Registries()
            images = Images(self.path / state, Builds(self.path / state, git, parallel=1, min_free=1), registries)
            try:
                if not app.repo.startswith("docker://"):
                    await git.commit(app, revision)
                return await images.build(app, revision)
            finally:
                await registries.close()

        return asyncio.run(run())

    def files(self, image: str) -> dict[str, bytes]:
        """What the last layer of an image in the registry holds."""

        async def run() -> dict[str, bytes]:
            registries = Registries()
            reference = Reference.parse(image)
            base = await registries.of(None).base(reference)
            digest = base.manifest["layers"][-1]["digest"]
            await registries.close()
            stored = self.path / "registry" / "docker/registry/v2/blobs/sha256" / digest[7:9] / digest[7:] / "data"
            with tarfile.open(stored) as tar:
                return {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isreg()}  # type: ignore[union-attr]

        return asyncio.run(run())

    def push_base(self) -> None:
        layout = Layout(self.path / "base")
        (self.path / "server").mkdir()
        (self.path / "server" / "server").write_text("serves")
        compose(layout, nothing(), [write_layer(layout, self.path / "server")], {"Entrypoint": ["/server"]})

        async def run() -> None:
            registries = Registries()
            await registries.of(None).push(layout, Reference.parse(self.base))
            await registries.close()

        asyncio.run(run())


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with docker_registry(tmp_path) as registry:
        yard = Yard(tmp_path, registry)
        yard.push_base()
        yield yard


@pytest.fixture
def buildah() -> None:
    """Skips where it is missing."""
    if not shutil.which("buildah"):
        pytest.skip("buildah is missing: apt-get install buildah")


def test_what_a_build_leaves_becomes_a_layer_on_the_base_and_the_same_content_the_same_image(yard: Yard) -> None:
    first = yard.build(yard.site(), yard.origin.commit({"index.html": "one"}))
    assert first.path == f"{yard.registry.host}/shop/web@{first.digest}"
    assert yard.files(first.path)["srv/index.html"] == b"one"
    second = yard.build(yard.site(), yard.origin.commit({"index.html": "two"}))
    assert second.digest != first.digest
    again = yard.build(yard.site(), yard.origin.commit({"index.html": "one"}), state="elsewhere")
    assert again.digest == first.digest


def test_what_was_pushed_is_not_built_again_and_what_the_registry_lost_is(yard: Yard) -> None:
    app, revision = yard.site(), yard.origin.commit({"index.html": "one"})
    first = yard.build(app, revision)
    assert yard.build(app, revision) == replace(first, seconds=0.0)
    shutil.rmtree(yard.path / "registry" / "docker/registry/v2/repositories/shop")
    assert yard.build(app, revision).digest == first.digest
    assert yard.files(first.path)["srv/index.html"] == b"one"


def test_a_dockerfile_is_built_in_root_with_what_the_build_command_made(yard: Yard, buildah: None) -> None:
    dockerfile = 'FROM scratch\nCOPY made /app/made\nENTRYPOINT ["/app/made"]\n'
    revision = yard.origin.commit({"shop/Dockerfile": dockerfile})
    built = yard.build(replace(yard.app("echo x >made"), root="shop"), revision)
    assert yard.files(built.path) == {"app/made": b"x\n"}
    assert [path.name for path in (yard.path / "state" / "images").glob("new-*")] == []


@pytest.mark.parametrize("folder", ["new-_a", "new-a__b", "new-a_"])
def test_a_dockerfile_is_built_wherever_its_layout_goes(folder: str, yard: Yard, buildah: None) -> None:
    tree, work = yard.path / "tree", yard.path / folder
    tree.mkdir()
    work.mkdir()
    (tree / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /x\n")
    builds = Buildah(yard.path / "storage")
    group = Cgroups(yard.path).of("image")
    asyncio.run(builds.build(yard.app(), tree, work / "layout", log=yard.path / "build.log", group=group))
    assert (work / "layout" / "index.json").exists()


def test_a_dockerfile_that_fails_is_the_commits_fault(yard: Yard, buildah: None) -> None:
    with pytest.raises(ReleaseError, match="could not be built: exit code") as caught:
        yard.build(yard.app(), yard.origin.commit({"Dockerfile": "FROM scratch\nCOPY missing /x\n"}))
    assert "missing" in caught.value.seen and not isinstance(caught.value, OutsideError)


def test_a_base_that_is_not_to_be_had_is_not(yard: Yard, buildah: None) -> None:
    yard.registry.process.kill()
    yard.registry.process.wait()
    with pytest.raises(OutsideError, match="could not be built"):
        yard.build(yard.app(), yard.origin.commit({"Dockerfile": f"FROM {yard.base}\n"}))


def test_a_build_that_leaves_nothing_to_make_an_image_of_says_what_is_missing(yard: Yard) -> None:
    with pytest.raises(ReleaseError, match="left no output, and there is no Dockerfile"):
        yard.build(yard.app(), yard.origin.commit({"readme": "x"}))
    with pytest.raises(ReleaseError, match="no image to put the output of web on") as caught:
        yard.build(yard.app("echo x >$NOREN_OUTPUT/index.html"), yard.origin.commit({"readme": "y"}))
    assert "base_image" in caught.value.hint


def test_an_app_that_follows_a_tag_has_its_image_already(yard: Yard) -> None:
    app = replace(yard.app(), repo=f"docker://{yard.base}", image=yard.base)
    digest = json.loads((yard.path / "base" / "index.json").read_text())["manifests"][0]["digest"]
    built = yard.build(app, digest.removeprefix("sha256:"))
    assert built.path == f"{yard.registry.host}/library/server@{digest}"
    with pytest.raises(OutsideError, match="refuses"):
        yard.build(app, "0" * 64)


def test_pruning_forgets_other_keys_and_keeps_what_is_named(yard: Yard) -> None:
    app = yard.site()
    kept, gone = (yard.build(app, yard.origin.commit({"index.html": text})) for text in ("one", "two"))
    state = yard.path / "state"
    builds = Builds(state, Git(state), parallel=1, min_free=1)
    asyncio.run(Images(state, builds, Registries()).prune(frozenset({kept.key})))
    assert (state / "images" / kept.key).exists() and not (state / "images" / gone.key).exists()
