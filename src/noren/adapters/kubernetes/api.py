"""One API server: JSON in, JSON out, every failure an ApiFault.

``lightkube`` finds the server, its certificate and the credentials (service account, kubeconfig, exec plug-ins)
and renews tokens; what is sent and answered stays plain data, which the pure functions beside this work on.
It is imported at the first connection: only apps of this kind need it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from noren.adapters.kubernetes.fault import AWAY, HINTS, ApiFault
from noren.adapters.kubernetes.fields import Json
from noren.adapters.kubernetes.marks import MANAGER
from noren.core.errors import OutsideError

if TYPE_CHECKING:
    import httpx2

APPLY = "application/apply-patch+yaml"  # server-side apply; JSON is YAML
JSON_PATCH = "application/json-patch+json"
_TIMEOUT = 15.0  # seconds for one answer
_PATIENCE = 5.0  # seconds in which a request that may yet succeed is tried again
_FIRST_PAUSE, _LAST_PAUSE = 0.2, 2.0
_FORMER = 2  # clients kept after they were refused: requests and watches of others may still use them
_SILENCE = 120.0  # seconds without a line in which a watch is dead: bookmarks come every minute


class Api:
    """The connection that one kubeconfig and context lead to, None for both: the usual places."""

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        self._kubeconfig, self._context = kubeconfig, context
        self._client: httpx2.AsyncClient | None = None
        self._former: list[httpx2.AsyncClient] = []

    async def get(self, path: str, *, patience: float = _PATIENCE, **params: str) -> Json:
        """An object or a list."""
        return msgspec.json.decode(await self._answer("GET", path, params, patience=patience), type=Json)

    async def text(self, path: str, **params: str) -> str:
        """What no JSON is: a log, the answer of a Service. Asked once."""
        return (await self._answer("GET", path, params, patience=0.0)).decode(errors="replace")

    async def apply(self, path: str, body: Json, *, dry_run: bool = False) -> Json:
        """Server-side apply with our field manager. Again: no change."""
        params = {"fieldManager": MANAGER, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        return msgspec.json.decode(await self._answer("PATCH", path, params, body, APPLY), type=Json)

    async def patch(self, path: str, body: list[Json]) -> Json:
        """JSON patch with our field manager."""
        answer = await self._answer("PATCH", path, {"fieldManager": MANAGER}, body, JSON_PATCH)
        return msgspec.json.decode(answer, type=Json)

    async def watch(self, path: str, version: str, **params: str) -> AsyncIterator[Json]:
        """Events after a resource version, until the server ends the stream."""
        params |= {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        client = self._connected()
        httpx = _httpx()
        try:
            request = client.build_request("GET", path, params=params, timeout=httpx.Timeout(_TIMEOUT, read=_SILENCE))
            answer = await client.send(request, stream=True)
            try:
                if answer.is_error:
                    refused = _refused("watch", path, answer.status_code, await answer.aread())
                    await self._renew(refused)
                    raise refused
                async for line in answer.aiter_lines():
                    yield _event(path, line)
            finally:
                await answer.aclose()
        except (httpx.HTTPError, OSError, msgspec.DecodeError) as exc:
            raise _away("watch", path, exc) from exc

    async def close(self) -> None:
        """End the connections."""
        clients, self._client, self._former = [*self._former, self._client], None, []
        for client in clients:
            if client is not None:
                await client.aclose()

    async def _answer(
        self,
        method: str,
        path: str,
        params: dict[str, str],
        body: Json | list[Json] | None = None,
        content: str = "",
        *,
        patience: float = _PATIENCE,
    ) -> bytes:
        until, pause = time.monotonic() + patience, _FIRST_PAUSE
        while True:
            try:
                return await self._once(method, path, params, body, content)
            except ApiFault as exc:
                if not exc.passing or time.monotonic() + pause > until:
                    raise
                await self._renew(exc)
            await asyncio.sleep(pause)
            pause = min(_LAST_PAUSE, pause * 2)

    async def _once(
        self, method: str, path: str, params: dict[str, str], body: Json | list[Json] | None, content: str
    ) -> bytes:
        headers = {"Content-Type": content} if content else {}
        data = msgspec.json.encode(body) if body is not None else None
        httpx = _httpx()
        try:
            answer = await self._connected().request(method, path, params=params, content=data, headers=headers)
        except (httpx.HTTPError, OSError) as exc:
            raise _away(method, path, exc) from exc
        if answer.is_error:
            raise _refused(method, path, answer.status_code, answer.content)
        return answer.content

    async def _renew(self, refused: ApiFault) -> None:
        """Read the credentials again where they were what was refused."""
        if refused.status != 401 or self._client is None:
            return
        self._former.append(self._client)
        self._client = None
        if len(self._former) > _FORMER:
            await self._former.pop(0).aclose()

    def _connected(self) -> httpx2.AsyncClient:
        if self._client is None:
            self._client = _connect(self._kubeconfig, self._context)
        return self._client


def _httpx() -> Any:
    try:
        import httpx2
    except ImportError as exc:
        raise OutsideError("apps of kind kubernetes need lightkube", hint="pip install 'noren[kubernetes]'") from exc
    return httpx2


def _connect(kubeconfig: str | None, context: str | None) -> httpx2.AsyncClient:
    httpx = _httpx()
    from lightkube import KubeConfig
    from lightkube.config.client_adapter import AsyncClient, ConnectionParams
    from lightkube.core.exceptions import ConfigError

    try:
        found = KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env()
        config = found.get(context)
        if config is None:
            raise ConfigError(f"there is no context {context or 'chosen'}")
        return AsyncClient(config, ConnectionParams(timeout=httpx.Timeout(_TIMEOUT)))
    except (ConfigError, OSError, ValueError, KeyError) as exc:
        where = kubeconfig or "the pod's service account, $KUBECONFIG and ~/.kube/config"
        raise ApiFault("the cluster cannot be found", AWAY, seen=f"{where}: {exc}", hint="kubectl config view") from exc


def _event(path: str, line: str) -> Json:
    event = msgspec.json.decode(line, type=Json)
    if event["type"] == "ERROR":
        status = event["object"]
        raise ApiFault(f"the watch of {path} ended", int(status.get("code", 500)), seen=str(status.get("message", "")))
    return event


def _away(method: str, path: str, exc: Exception) -> ApiFault:
    return ApiFault(
        f"the API server did not answer {method} {path}",
        AWAY,
        seen=f"{type(exc).__name__} {exc}".strip(),
        hint="is it reachable from here? kubectl version",
    )


def _refused(method: str, path: str, status: int, content: bytes) -> ApiFault:
    try:
        message = str(msgspec.json.decode(content, type=Json).get("message", ""))
    except msgspec.DecodeError:
        message = content[:300].decode(errors="replace")
    return ApiFault(
        f"the API server answered {status} to {method} {path}", status, seen=message, hint=HINTS.get(status, "")
    )
