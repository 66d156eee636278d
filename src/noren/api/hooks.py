"""Webhooks over HTTP: the only part of Noren that strangers reach, so the smallest.

Served on a socket of its own, to which the proxy passes ``POST /.noren/hooks/<app>`` and nothing else.
Nothing is believed before its signature is right, and nothing of the payload after it: see ``core/webhook.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Protocol

from noren.core.errors import HostError, StateError, UsageError
from noren.core.webhook import LARGEST, SENT_AT_MOST, Headers, delivery, proven, well_formed

PATH = "/.noren/hooks/"
_DEADLINE = 10.0  # seconds for a whole body; GitHub gives up after ten, too
_HELD = 16_000_000  # bytes of bodies at once: what nobody has proven yet must not fill the memory

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class HookDesk(Protocol):
    """What the engine does with hints."""

    def secret(self, app: str) -> str:
        """The secret of an app's webhook; UsageError when it has none, HostError when it is not there."""
        ...

    async def hint(self, app: str, delivery: str | None) -> None:
        """Look at the app's repository soon; returns once that is durable. Raises StateError."""
        ...


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class Hooks:
    """The ASGI application."""

    def __init__(self, desk: HookDesk) -> None:
        self._desk = desk
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        try:
            status, text = HTTPStatus.ACCEPTED, await self._take(scope, receive)
        except _RefusedError as refused:
            status, text = refused.status, str(refused)
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        if status not in (HTTPStatus.ACCEPTED, HTTPStatus.UNAUTHORIZED):
            headers.append((b"connection", b"close"))  # of these the body may not have been read to its end
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", b"30"))
        await send({"type": "http.response.start", "status": status.value, "headers": headers})
        await send({"type": "http.response.body", "body": f"{text}\n".encode()})

    async def _take(self, scope: Scope, receive: Receive) -> str:
        app = scope["path"].removeprefix(PATH)
        secret = self._secret(scope, app)
        headers = _headers(scope)
        body = await self._body(receive)
        if not proven(headers, body, secret, time.time()):
            raise _RefusedError(HTTPStatus.UNAUTHORIZED, "The signature is missing or wrong: compare the secrets.")
        if not well_formed(headers, body):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "The payload is no JSON object.")
        try:
            await self._desk.hint(app, delivery(headers))
        except StateError as exc:
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "This could not be written down.") from exc
        return f"{app}: the repository is looked at."

    def _secret(self, scope: Scope, app: str) -> str:
        if scope["method"] != "POST" or not scope["path"].startswith(PATH):
            raise _RefusedError(HTTPStatus.NOT_FOUND, f"Webhooks are sent to POST {PATH}APP.")
        try:
            return self._desk.secret(app)
        except UsageError as exc:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "No such app takes webhooks.") from exc
        except HostError as exc:
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "Noren runs without the secret of this app.") from exc

    async def _body(self, receive: Receive) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(_DEADLINE):
                size = await self._read(receive, body)
        except TimeoutError as exc:
            raise _RefusedError(HTTPStatus.REQUEST_TIMEOUT, f"No whole payload in {_DEADLINE:.0f} s.") from exc
        finally:
            self._held -= len(body)
        if size > LARGEST:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A webhook may have {LARGEST} bytes.")
        return bytes(body)

    async def _read(self, receive: Receive, body: bytearray) -> int:
        """How much was sent. What is too much is dropped, yet read: who is cut off in mid-sending learns no status."""
        size, more = 0, True
        while more and size <= SENT_AT_MOST:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _RefusedError(HTTPStatus.BAD_REQUEST, "The payload ended too early.")
            more, part = bool(message.get("more_body")), message.get("body", b"")
            size += len(part)
            if size <= LARGEST:
                body += part
                self._held += len(part)
            if self._held > _HELD:
                raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "Too many webhooks at once.")
        return size


def _headers(scope: Scope) -> Headers:
    """By name; of one that comes twice nobody can tell which is meant, and joined they prove nothing."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found
