"""A client of image registries, by the distribution API: digest of a tag, push of a layout, one more tag.

Used by ``source`` (watches a tag) and ``builder`` (pushes what was built). Every call may be repeated: what is there
already is not sent again. Raises OutsideError: unreachable, refused, no such image.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import AsyncIterator, Generator, Mapping
from pathlib import Path
from typing import Any

import httpx2

from noren.adapters.images.credentials import Token, login
from noren.adapters.images.image import Base, architecture
from noren.adapters.images.layout import INDEX, MANIFEST, Json, Layout
from noren.adapters.images.reference import Reference
from noren.core.errors import OutsideError

_DOCKER = "application/vnd.docker.distribution.manifest"
_ACCEPT = {"Accept": ", ".join((INDEX, MANIFEST, f"{_DOCKER}.list.v2+json", f"{_DOCKER}.v2+json"))}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MANY = (INDEX, f"{_DOCKER}.list.v2+json")
_CHUNK = 1 << 20


class Registry:
    """All registries; ``auth_file`` as ``docker login`` writes it, ``timeout`` seconds without progress."""

    def __init__(self, auth_file: Path | None = None, *, timeout: float = 30.0) -> None:
        self._auth_file = auth_file
        # Proxy variables of the daemon's environment are as good for this as for Git.
        self._client = httpx2.AsyncClient(timeout=timeout, follow_redirects=True)
        self._tokens: dict[tuple[str, str], Token] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def digest(self, image: Reference) -> str:
        """The digest that its tag names now, or its own when it is there; changes nothing."""
        answer = await self._ask("HEAD", image, f"manifests/{image.which}", headers=_ACCEPT)
        told = answer.headers.get("Docker-Content-Digest", "")
        return told if _DIGEST.fullmatch(told) else (await self._manifest(image))[0]

    async def tag(self, image: Reference, tag: str) -> None:
        """Give the image one more tag; a tag that is there moves."""
        _, kind, content = await self._manifest(image)
        await self._ask("PUT", image, f"manifests/{tag}", headers={"Content-Type": kind}, content=content)

    async def base(self, image: Reference) -> Base:
        """Manifest and config of an image, of several that for this machine's architecture."""
        _, kind, content = await self._manifest(image)
        if kind in _MANY:
            digest = _for_this_machine(image, json.loads(content)["manifests"])
            _, _, content = await self._manifest(image.at(digest))
        manifest = json.loads(content)
        config = await self._ask("GET", image, f"blobs/{manifest['config']['digest']}")
        _check(image, manifest["config"]["digest"], config.content)
        return Base(manifest, config.json())

    async def push(self, layout: Layout, to: Reference, *, base: Reference | None = None) -> str:
        """Bring the image of the layout to the repository, under its tag or by digest alone; its digest.

        Layers that the layout lacks come from the repository of ``base``.
        """
        described = layout.image()
        content = layout.blob(described["digest"]).read_bytes()
        parts = json.loads(content)
        for part in (parts["config"], *parts["layers"]):
            await self._bring(layout, part["digest"], to, base)
        which = to.tag or described["digest"]
        headers = {"Content-Type": described["mediaType"]}
        await self._ask("PUT", to, f"manifests/{which}", headers=headers, content=content)
        return described["digest"]

    async def _bring(self, layout: Layout, digest: str, to: Reference, base: Reference | None) -> None:
        there = await self._ask("HEAD", to, f"blobs/{digest}", allowed=(404,))
        if there.status_code != 404:
            return
        asked: dict[str, str] = {}
        if base and base.host == to.host:
            asked = {"mount": digest, "from": base.name}
        begun = await self._ask("POST", to, "blobs/uploads/", params=asked)
        if begun.status_code == 201:
            return
        where = begun.url.join(begun.headers["Location"])
        where = where.copy_add_param("digest", digest)
        if (file := layout.blob(digest)).exists():
            await self._upload(to, where, _read(file), file.stat().st_size)
        elif base:
            await self._copy(base, digest, to, where)
        else:
            raise OutsideError(f"a layer of {to} is missing", seen=digest, hint="build again")

    async def _copy(self, base: Reference, digest: str, to: Reference, where: httpx2.URL) -> None:
        """From one registry to another, without a file between."""
        url = f"{base.api}/blobs/{digest}"
        with _translated(base):
            async with self._client.stream("GET", url, auth=self._auth(base)) as source:
                if source.status_code != 200:
                    raise _refused(base, source.status_code, f"blob {digest}")
                size = int(source.headers["Content-Length"])
                await self._upload(to, where, source.aiter_bytes(_CHUNK), size)

    async def _upload(self, to: Reference, where: httpx2.URL, content: AsyncIterator[bytes], size: int) -> None:
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        with _translated(to):
            answer = await self._client.put(where, content=content, headers=headers, auth=self._auth(to))
        if answer.status_code != 201:
            raise _refused(to, answer.status_code, answer.text)

    async def _manifest(self, image: Reference) -> tuple[str, str, bytes]:
        """Digest, media type and bytes."""
        answer = await self._ask("GET", image, f"manifests/{image.which}", headers=_ACCEPT)
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        if image.digest:
            _check(image, image.digest, answer.content)
        return digest, answer.headers.get("Content-Type", MANIFEST), answer.content

    async def _ask(
        self,
        method: str,
        image: Reference,
        path: str,
        *,
        allowed: tuple[int, ...] = (),
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx2.Response:
        url = f"{image.api}/{path}"
        with _translated(image):
            auth = self._auth(image)
            answer = await self._client.request(method, url, headers=headers, params=params, content=content, auth=auth)
        if answer.is_success or answer.status_code in allowed:
            return answer
        raise _refused(image, answer.status_code, answer.text or f"{method} {path}")

    def _auth(self, image: Reference) -> Token:
        key = (image.host, image.name)
        if key not in self._tokens:
            self._tokens[key] = Token(image, login(self._auth_file, image.host))
        return self._tokens[key]


class Registries:
    """One client for each file of logins that apps name; the last to go is ``close``."""

    def __init__(self) -> None:
        self._clients: dict[str | None, Registry] = {}

    def of(self, auth_file: str | None) -> Registry:
        """The client that uses these logins."""
        if auth_file not in self._clients:
            self._clients[auth_file] = Registry(Path(auth_file) if auth_file else None)
        return self._clients[auth_file]

    async def close(self) -> None:
        """Close all of them."""
        for client in self._clients.values():
            await client.close()


@contextlib.contextmanager
def _translated(image: Reference) -> Generator[None]:
    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
        hint = "it is asked again; is the address right, and does it speak HTTPS (http:// in front of it if not)?"
        seen = f"{type(exc).__name__}: {exc}"
        raise OutsideError(f"the registry {image.host} does not answer", seen=seen, hint=hint) from exc


def _refused(image: Reference, status: int, said: str) -> OutsideError:
    hint = {
        401: "set registry_auth_file to a file that `docker login` wrote",
        403: "the login of registry_auth_file may not do this",
        404: "is there an image of this name and tag?",
    }.get(status, "it is tried again")
    return OutsideError(f"the registry refuses {image}", seen=f"{status} {said[:300]}".strip(), hint=hint)


def _check(image: Reference, digest: str, content: bytes) -> None:
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise OutsideError(f"the registry sent something else than {image}", seen=f"not {digest}", hint="try again")


def _for_this_machine(image: Reference, manifests: list[Json]) -> str:
    wanted = {"os": "linux", "architecture": architecture()}
    for manifest in manifests:
        platform: dict[str, Any] = manifest.get("platform", {})
        if {key: platform.get(key) for key in wanted} == wanted:
            return manifest["digest"]
    raise OutsideError(f"{image} is not for this architecture", seen=str(wanted), hint="name another base_image")


async def _read(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as opened:
        while chunk := await asyncio.to_thread(opened.read, _CHUNK):
            yield chunk
