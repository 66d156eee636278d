"""HTTP to Desk and back: which path asks what, as JSON.

Built by ``server``; the only other reader of these paths is ``client``. Starlette without FastAPI:
the daemon shall stay small, and both ends of this API are ours.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from noren.api.desk import Desk, Json
from noren.api.stream import error, lines, verdict
from noren.api.tail import tail
from noren.core.errors import HostError, NorenError, NotRunningError, SettingsError, StateError, UsageError

_STATUS = {UsageError: 404, SettingsError: 422, StateError: 503, HostError: 503, NotRunningError: 503}


def application(desk: Desk, stopping: asyncio.Event) -> Starlette:
    """The API of a desk; streams end when ``stopping`` is set."""
    routes = _Routes(desk, stopping)
    return Starlette(
        routes=[*routes.reads(), *routes.acts()],
        exception_handlers={NorenError: _refused, HTTPException: _unknown},
    )


async def _refused(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, NorenError)
    status = next((code for kind, code in _STATUS.items() if isinstance(exc, kind)), 409)
    return JSONResponse(error(exc), status)


async def _unknown(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    what = UsageError(f"the API has no {request.method} {request.url.path}", hint="is the daemon of another version?")
    return JSONResponse(error(what), exc.status_code)


class _Routes:
    def __init__(self, desk: Desk, stopping: asyncio.Event) -> None:
        self.desk = desk
        self.stopping = stopping

    def reads(self) -> list[Route]:
        """GET."""
        return [
            Route("/v1/status", self.status),
            Route("/v1/events", self.events),
            Route("/v1/quarantine", self.quarantine),
            Route("/v1/apps/{app}/releases", self.releases),
            Route("/v1/apps/{app}/receipt", self.receipt),
            Route("/v1/apps/{app}/log", self.log),
            Route("/v1/apps/{app}/run", self.run),
            Route("/v1/apps/{app}/rollouts/{rollout:int}/verdict", self.verdict),
        ]

    def acts(self) -> list[Route]:
        """POST, with a JSON object as the body."""
        verbs: dict[str, Callable[[str, Json], Awaitable[Json]]] = {
            "deploy": self.deploy,
            "rollback": self.rollback,
            "restart": self.restart,
            "promote": self.promote,
            "abort": self.abort,
            "hold": self.hold,
            "resume": self.resume,
            "lift": self.lift,
            "approve": self.approve,
        }
        return [
            *(Route(f"/v1/apps/{{app}}/{name}", _act(verb), methods=["POST"]) for name, verb in verbs.items()),
            Route("/v1/reload", _act(self.reload), methods=["POST"]),
            Route("/v1/stop", _act(self.stop), methods=["POST"]),
        ]

    async def status(self, _: Request) -> Response:
        return JSONResponse({"apps": await self.desk.status()})

    async def quarantine(self, _: Request) -> Response:
        return JSONResponse(await self.desk.quarantine())

    async def releases(self, request: Request) -> Response:
        return JSONResponse(await self.desk.releases(_app(request)))

    async def receipt(self, request: Request) -> Response:
        return JSONResponse(await self.desk.receipt(_app(request), _number(request, "rollout")))

    async def run(self, request: Request) -> Response:
        return JSONResponse(await self.desk.run(_app(request)))

    async def events(self, request: Request) -> Response:
        app, after = request.query_params.get("app"), _number(request, "after") or 0
        if "follow" in request.query_params:
            return self._stream(self.desk.follow(app, after))
        return JSONResponse(await self.desk.events(app, after))

    async def verdict(self, request: Request) -> Response:
        return self._stream(verdict(self.desk, _app(request), request.path_params["rollout"]))

    async def log(self, request: Request) -> Response:
        app, release = _app(request), _number(request, "release")
        build, follow = "build" in request.query_params, "follow" in request.query_params

        async def find() -> str | None:
            return await self.desk.log_path(app, release, build)

        if await find() is None and not follow:
            raise UsageError(f"{app} has no {'build log' if build else 'log'} yet", hint=f"noren events {app}")
        return self._stream(tail(find, _number(request, "last") or 0, follow))

    def _stream(self, source: AsyncIterator[Json]) -> Response:
        return StreamingResponse(lines(source, self.stopping), media_type="application/x-ndjson")

    async def deploy(self, app: str, body: Json) -> Json:
        return {"rollout": await self.desk.deploy(app, body.get("revision"), body["by"])}

    async def rollback(self, app: str, body: Json) -> Json:
        return {"rollout": await self.desk.rollback(app, body.get("release"), body["by"])}

    async def restart(self, app: str, body: Json) -> Json:
        return {"rollout": await self.desk.restart(app, body["by"])}

    async def promote(self, app: str, body: Json) -> Json:
        await self.desk.promote(app, body["by"])
        return {}

    async def abort(self, app: str, body: Json) -> Json:
        await self.desk.abort(app, body["by"])
        return {}

    async def hold(self, app: str, body: Json) -> Json:
        await self.desk.hold(app, body["reason"], body["by"])
        return {}

    async def resume(self, app: str, body: Json) -> Json:
        await self.desk.resume(app, body["by"])
        return {}

    async def lift(self, app: str, body: Json) -> Json:
        await self.desk.lift(app, body["revision"], body["by"])
        return {}

    async def approve(self, app: str, body: Json) -> Json:
        await self.desk.approve(app, body["number"], body["revision"], body["by"])
        return {}

    async def reload(self, _: str, body: Json) -> Json:
        return {"plan": await self.desk.reload(body.get("prune") is True, body.get("dry") is True)}

    async def stop(self, _: str, body: Json) -> Json:
        await self.desk.stop(body.get("everything") is True)
        return {}


_FIELDS = {
    "by": str,
    "revision": str,
    "release": int,
    "number": int,
    "reason": str,
    "prune": bool,
    "dry": bool,
    "everything": bool,
}


def _act(verb: Callable[[str, Json], Awaitable[Json]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return JSONResponse(await verb(request.path_params.get("app", ""), await _body(request)))

    return answer


async def _body(request: Request) -> Json:
    try:
        body: Any = json.loads(await request.body() or b"{}")
    except ValueError as exc:
        raise UsageError("the body of the request is not JSON", seen=str(exc)) from exc
    fields = cast("Json", body) if isinstance(body, dict) else {"": None}
    for name, value in fields.items():
        if name not in _FIELDS or not isinstance(value, _FIELDS[name]) or (isinstance(value, str) and not value):
            raise UsageError(f"the body of the request has a wrong field {name!r}")
    return {"by": "someone", "reason": "no reason given"} | fields


def _app(request: Request) -> str:
    return request.path_params["app"]


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    try:
        return None if text is None else int(text)
    except ValueError as exc:
        raise UsageError(f"{name} must be a number", seen=text or "") from exc
