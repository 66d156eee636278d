"""The registry's client against a real registry, and against one that answers as the rest of the world does."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from docker_registry import DockerRegistry, docker_registry
from odd_registry import OddRegistry, odd_registry

from noren.adapters.images.image import Base, compose, nothing
from noren.adapters.images.layer import write_layer
from noren.adapters.images.layout import Layout
from noren.adapters.images.reference import Reference
from noren.adapters.images.registry import Registries, Registry
from noren.adapters.images.source import TagSource
from noren.core.errors import OutsideError
from noren.core.model import App, Kind, Kubernetes

HTPASSWD = "ann:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"  # secret


@pytest.fixture
def real(tmp_path: Path) -> Iterator[DockerRegistry]:
    with docker_registry(tmp_path) as registry:
        yield registry


def written(path: Path, text: str, base: Base | None = None) -> Layout:
    """A layout with an image of one file."""
    (path / "tree").mkdir(parents=True)
    (path / "tree" / "file").write_text(text)
    layout = Layout(path / "layout")
    compose(layout, base or nothing(), [write_layer(layout, path / "tree", "/srv", alone=base is not None)])
    return layout


def asked(ask: Callable[[Registry], Awaitable[Any]], auth_file: Path | None = None) -> Any:
    async def run() -> Any:
        registry = Registry(auth_file, timeout=5)
        try:
            return await ask(registry)
        finally:
            await registry.close()

    return asyncio.run(run())


def auth(path: Path, host: str, login: str) -> Path:
    path.write_text(json.dumps({"auths": {host: {"auth": base64.b64encode(login.encode()).decode()}}}))
    return path


def test_a_pushed_image_is_found_by_its_tag_and_moves_with_it(real: DockerRegistry, tmp_path: Path) -> None:
    web = Reference.parse(f"{real.host}/shop/web:latest")
    one, two = written(tmp_path / "1", "one"), written(tmp_path / "2", "two")
    first = asked(lambda registry: registry.push(one, web))
    assert asked(lambda registry: registry.digest(web)) == first
    second = asked(lambda registry: registry.push(two, web))
    assert first != second and asked(lambda registry: registry.digest(web)) == second
    assert asked(lambda registry: registry.push(two, web)) == second  # again: no change


def test_an_image_pushed_by_digest_gets_the_tag_of_its_release(real: DockerRegistry, tmp_path: Path) -> None:
    web = Reference.parse(f"{real.host}/shop/web")
    layout = written(tmp_path / "1", "one")
    digest = asked(lambda registry: registry.push(layout, web))
    for _ in range(2):
        asked(lambda registry: registry.tag(web.at(digest), "42-0123abc"))
    assert asked(lambda registry: registry.digest(replace(web, tag="42-0123abc"))) == digest


def test_layers_of_the_base_come_from_its_own_repository_or_registry(real: DockerRegistry, tmp_path: Path) -> None:
    nginx = Reference.parse(f"{real.host}/library/nginx:1")
    web = written(tmp_path / "base", "web server")
    asked(lambda registry: registry.push(web, nginx))
    layout = written(tmp_path / "1", "site", asked(lambda registry: registry.base(nginx)))
    asked(lambda registry: registry.push(layout, Reference.parse(f"{real.host}/shop/web:1"), base=nginx))
    (tmp_path / "other").mkdir()
    with docker_registry(tmp_path / "other") as other:
        there = Reference.parse(f"{other.host}/shop/web:1")
        digest = asked(lambda registry: registry.push(layout, there, base=nginx))
        base = asked(lambda registry: registry.base(there))
    assert digest == layout.image()["digest"]
    assert [len(base.manifest["layers"]), len(base.config["rootfs"]["diff_ids"])] == [2, 2]


def test_a_registry_with_a_password_asks_for_the_file_and_takes_it(tmp_path: Path) -> None:
    layout = written(tmp_path / "1", "one")
    with docker_registry(tmp_path, htpasswd=HTPASSWD) as private:
        web = Reference.parse(f"{private.host}/shop/web:1")
        with pytest.raises(OutsideError, match="refuses") as caught:
            asked(lambda registry: registry.push(layout, web))
        assert "registry_auth_file" in caught.value.hint
        wrong = auth(tmp_path / "wrong.json", private.host, "ann:guess")
        with pytest.raises(OutsideError, match="refuses"):
            asked(lambda registry: registry.push(layout, web), wrong)
        right = auth(tmp_path / "right.json", private.host, "ann:secret")
        digest = asked(lambda registry: registry.push(layout, web), right)
        assert asked(lambda registry: registry.digest(web), right) == digest


def test_a_token_is_asked_for_once_and_again_when_it_has_expired(tmp_path: Path) -> None:
    async def run(odd: OddRegistry) -> None:
        web = Reference.parse(f"{odd.host}/shop/web:latest")
        registry = Registry(auth(tmp_path / "auth.json", odd.host, "ann:secret"), timeout=5)
        for _ in range(3):
            assert await registry.digest(web) == odd.digest
        odd.valid.clear()
        assert await registry.digest(web) == odd.digest
        await registry.close()
        assert odd.logins == ["ann:secret"] * 2
        assert odd.scopes == ["repository:shop/web:pull"] * 2

    with odd_registry() as odd:
        asyncio.run(run(odd))


def test_a_realm_that_gives_no_token_is_named(tmp_path: Path) -> None:
    with odd_registry(denies=True) as odd, pytest.raises(OutsideError, match="gives no access to shop/web as ann"):
        web = Reference.parse(f"{odd.host}/shop/web:latest")
        asked(lambda registry: registry.digest(web), auth(tmp_path / "auth.json", odd.host, "ann:secret"))


def test_no_password_goes_in_the_clear_to_another_machine(tmp_path: Path) -> None:
    with odd_registry(realm="http://tokens.example/token") as odd:
        web = replace(Reference.parse(f"{odd.host}/shop/web:latest"), plain=False)
        with pytest.raises(OutsideError):
            asked(lambda registry: registry.digest(web), auth(tmp_path / "auth.json", odd.host, "ann:secret"))
        assert odd.logins == []


def test_a_digest_is_counted_out_where_the_registry_does_not_tell_it() -> None:
    with odd_registry(tells_digest=False) as odd:
        web = Reference.parse(f"{odd.host}/shop/web:latest")
        assert asked(lambda registry: registry.digest(web)) == odd.digest


def test_an_image_that_is_not_what_its_digest_says_is_refused() -> None:
    with odd_registry() as odd, pytest.raises(OutsideError, match="something else"):
        web = Reference.parse(f"{odd.host}/shop/web").at(f"sha256:{'0' * 64}")
        asked(lambda registry: registry.base(web))


@pytest.mark.parametrize("name", ["no/such:1", "shop/web:nope"])
def test_what_is_not_there_is_named(real: DockerRegistry, name: str) -> None:
    with pytest.raises(OutsideError, match=f"refuses {real.host}/{name}") as caught:
        asked(lambda registry: registry.digest(Reference.parse(f"{real.host}/{name}")))
    assert caught.value.seen.startswith("404")


def test_a_registry_that_is_gone_is_an_outside_fault(real: DockerRegistry) -> None:
    real.process.kill()
    real.process.wait()
    with pytest.raises(OutsideError, match="does not answer"):
        asked(lambda registry: registry.digest(Reference.parse(f"{real.host}/shop/web:1")))


@pytest.mark.parametrize("text", ["{", '{"auths": 3}', '{"auths": {"r.example": {"auth": "%"}}}'])
def test_a_file_of_logins_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "auth.json").write_text(text)
    with pytest.raises(OutsideError, match=r"auth\.json cannot be read"):
        asked(lambda registry: registry.digest(Reference.parse("r.example/web:1")), tmp_path / "auth.json")


def test_a_new_digest_behind_a_watched_tag_is_a_new_tip(real: DockerRegistry, tmp_path: Path) -> None:
    image = f"{real.host}/shop/web:latest"
    app = App(name="web", kind=Kind.KUBERNETES, repo=f"docker://{image}", kubernetes=Kubernetes(deployment="web"))

    async def run() -> list[str]:
        registries = Registries()
        source, tips = TagSource(registries), []
        for number in ("1", "2", "2b"):
            layout = written(tmp_path / number, number[0])
            await registries.of(None).push(layout, Reference.parse(image))
            tips.append(await source.tip(app))
        commit = await source.commit(app, tips[0])
        assert (commit.revision, commit.subject) == (tips[0], image)
        assert (await source.commit(app, "latest")).revision == tips[1]
        await registries.close()
        return tips

    first, second, again = asyncio.run(run())
    assert first != second == again
