"""The other end of the socket, for the CLI and for ``prove``: plain calls, errors rebuilt as they were raised.

Starts fast (``noren status`` is typed often): the standard library only.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from noren.address import reachable
from noren.core.errors import NorenError, NotRunningError, UsageError

Json = dict[str, Any]

_ANSWER = 30.0  # seconds for a read
_ACTION = 900.0  # seconds: a deploy may have to clone first
_SILENCE = 45.0  # seconds without a sign of life of a stream (the server gives one every 15)
_ERRORS: dict[int, type[NorenError]] = {2: UsageError, 3: NotRunningError}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("noren", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with reachable(self._path) as address:
            self.sock.connect(address)


class Client:
    """Every call raises NotRunningError when no daemon answers, and what the daemon refused with otherwise."""

    def __init__(self, path: Path, by: str = "someone") -> None:
        self._path = path
        self._by = by

    def status(self) -> Json:
        """``{"apps": […]}``."""
        return self._get("/v1/status")

    def releases(self, app: str) -> list[Json]:
        """Newest first."""
        return self._get(_of(app, "releases"))

    def receipt(self, app: str, rollout: int | None = None) -> Json:
        """Of a rollout, by default of the newest that has one."""
        return self._get(_of(app, "receipt"), rollout=rollout)

    def events(self, app: str | None, after: int) -> list[Json]:
        """After a ``seq``, or the newest ``-after``."""
        return self._get("/v1/events", app=app, after=after)

    def follow(self, app: str | None, after: int) -> Iterator[Json]:
        """As ``events``, then each new line as it comes, until the daemon ends."""
        return self._stream("/v1/events", app=app, after=after, follow=1)

    def logs(self, app: str, *, release: int | None, build: bool, last: int, follow: bool) -> Iterator[str]:
        """Lines of a log."""
        options = {"build": 1 if build else None, "follow": 1 if follow else None}
        for item in self._stream(_of(app, "log"), release=release, last=last, **options):
            yield item["line"]

    def verdict(self, app: str, rollout: int) -> Iterator[Json]:
        """``{"event": …}`` as they come, at last ``{"outcome": …}``; ends without it when the daemon stops."""
        return self._stream(_of(app, f"rollouts/{rollout}/verdict"))

    def run(self, app: str) -> Json:
        """``{"release", "directory", "environment"}`` of the active release."""
        return self._get(_of(app, "run"))

    def quarantine(self) -> list[Json]:
        """Of all apps, newest first."""
        return self._get("/v1/quarantine")

    def deploy(self, app: str, revision: str | None = None) -> int:
        """The number of the rollout."""
        return self._post(_of(app, "deploy"), revision=revision)["rollout"]

    def rollback(self, app: str, release: int | None = None) -> int:
        """The number of the rollout."""
        return self._post(_of(app, "rollback"), release=release)["rollout"]

    def restart(self, app: str) -> int:
        """The number of the rollout."""
        return self._post(_of(app, "restart"))["rollout"]

    def promote(self, app: str) -> None:
        """Skip what is left of the steps and the bake time."""
        self._post(_of(app, "promote"))

    def abort(self, app: str) -> None:
        """End the running rollout."""
        self._post(_of(app, "abort"))

    def hold(self, app: str, reason: str) -> None:
        """Stop triggers."""
        self._post(_of(app, "hold"), reason=reason)

    def resume(self, app: str) -> None:
        """End a hold."""
        self._post(_of(app, "resume"))

    def approve(self, app: str, number: int, revision: str) -> None:
        """Let a commit of a fork's pull request have a preview."""
        self._post(_of(app, "approve"), number=number, revision=revision)

    def lift(self, app: str, revision: str) -> None:
        """Out of quarantine."""
        self._post(_of(app, "lift"), revision=revision)

    def reload(self, *, prune: bool, dry: bool) -> list[str]:
        """The plan; unless ``dry``, it is done."""
        return self._post("/v1/reload", prune=prune, dry=dry)["plan"]

    def stop(self, *, everything: bool) -> None:
        """End the daemon."""
        self._post("/v1/stop", everything=everything)

    def _get(self, path: str, **query: object) -> Any:
        with _Answer(self._path, "GET", _with(path, query), None, _ANSWER) as answer:
            return answer.whole()

    def _post(self, path: str, **body: object) -> Json:
        fields = {name: value for name, value in body.items() if value is not None} | {"by": self._by}
        with _Answer(self._path, "POST", path, fields, _ACTION) as answer:
            return answer.whole()

    def _stream(self, path: str, **query: object) -> Iterator[Json]:
        with _Answer(self._path, "GET", _with(path, query), None, _SILENCE) as answer:
            yield from answer.lines()


def _of(app: str, verb: str) -> str:
    if not app or "/" in app or app.startswith("."):
        raise UsageError(f"{app!r} is no name of an app", hint="noren status")
    return f"/v1/apps/{quote(app, safe='')}/{verb}"


def _with(path: str, query: dict[str, object]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


class _Answer:
    """One request and its answer, with everything that can go wrong on the way told in our words."""

    def __init__(self, path: Path, method: str, target: str, body: Json | None, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._request = (method, target, None if body is None else json.dumps(body))
        self._connection = _Connection(path, timeout)

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        self._connection.close()
        if isinstance(exc, TimeoutError):
            raise NorenError(f"the daemon did not answer within {self._timeout:.0f} s", seen=str(self._path)) from exc
        if isinstance(exc, PermissionError):
            hint = "run this as the user of the daemon, or as root"
            raise NotRunningError(f"{self._path} may not be used by this user", hint=hint) from exc
        if isinstance(exc, OSError | http.client.HTTPException):
            seen = os.strerror(exc.errno) if isinstance(exc, OSError) and exc.errno else type(exc).__name__
            raise NotRunningError(f"no daemon answers on {self._path}", seen=seen, hint="noren up") from exc

    def whole(self) -> Any:
        """The JSON of the answer."""
        return json.loads(self._answered().read())

    def lines(self) -> Iterator[Json]:
        """The documents of a stream."""
        answer = self._answered()
        while raw := answer.readline():
            if raw.strip():
                item: Json = json.loads(raw)
                if "error" in item:
                    raise _rebuilt(item["error"])
                yield item

    def _answered(self) -> http.client.HTTPResponse:
        method, target, body = self._request
        self._connection.request(method, target, body, {"content-type": "application/json"} if body else {})
        answer = self._connection.getresponse()
        if answer.status == 200:
            return answer
        raise _rebuilt(_document(answer.read()))


def _document(raw: bytes) -> Json:
    try:
        return json.loads(raw)
    except ValueError:
        return {
            "what": "the daemon failed to answer",
            "seen": raw[:200].decode(errors="replace"),
            "hint": "see its log",
        }


def _rebuilt(error: Json) -> NorenError:
    kind = _ERRORS.get(error.get("exit_code", 1), NorenError)
    return kind(str(error.get("what", "the daemon refused")), seen=error.get("seen", ""), hint=error.get("hint", ""))
