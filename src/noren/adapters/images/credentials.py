"""How a registry is told who asks: what ``docker login`` wrote down, and the dance for a bearer token.

Used by the registry for each request. A password goes to the registry itself, or to a realm that it names, and never
over plain HTTP to another machine.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from noren.adapters.images.reference import Reference, is_loopback
from noren.core.errors import OutsideError

_PAIR = re.compile(r'(\w+)="([^"]*)"')
_HUB_KEY = "https://index.docker.io/v1/"


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password."""

    user: str
    password: str

    @property
    def basic(self) -> str:
        """The value of the header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def login(auth_file: Path | None, host: str) -> Login | None:
    """What the file (docker's config.json, podman's auth.json) holds for this host; None when nothing.

    Raises OutsideError when the file cannot be read.
    """
    if auth_file is None:
        return None
    try:
        known: dict[str, dict[str, str]] = json.loads(auth_file.read_text()).get("auths", {})
        entry = known.get(host) or (known.get(_HUB_KEY) if host == "docker.io" else None)
        user, _, password = base64.b64decode((entry or {}).get("auth", ""), validate=True).decode().partition(":")
    except (OSError, ValueError, AttributeError, binascii.Error) as exc:
        hint = "give a file as `docker login` or `podman login` writes it, without a credential helper"
        raise OutsideError(f"the file for registries {auth_file} cannot be read", seen=str(exc), hint=hint) from exc
    return Login(user, password) if user else None


class Token(httpx2.Auth):
    """One repository's token: asked for when the registry refuses, kept until it refuses again."""

    requires_response_body = True

    def __init__(self, reference: Reference, known: Login | None) -> None:
        self._reference = reference
        self._login = known
        self._header: str | None = None

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """As it is; when that is refused, once more with what the refusal asks for."""
        if self._header:
            request.headers["Authorization"] = self._header
        answer = yield request
        if answer.status_code != 401:
            return
        scheme, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
        if scheme.lower() == "bearer":
            told = yield self._question(dict(_PAIR.findall(rest)))
            self._header = self._token(told)
        elif scheme.lower() == "basic" and self._login:
            self._header = self._login.basic
        else:
            return
        request.headers["Authorization"] = self._header
        yield request

    def _question(self, challenge: dict[str, str]) -> httpx2.Request:
        realm = httpx2.URL(challenge.get("realm", ""))
        if realm.scheme != "https" and not (self._reference.plain and realm.scheme == "http"):
            raise self._refused(f"it sends us to {str(realm)!r} for a token")
        headers: dict[str, str] = {}
        if self._login and (realm.scheme == "https" or is_loopback(realm.host)):
            headers["Authorization"] = self._login.basic
        asked = {key: challenge[key] for key in ("service", "scope") if key in challenge}
        return httpx2.Request("GET", realm, params=asked, headers=headers)

    def _token(self, told: httpx2.Response) -> str:
        try:
            body: dict[str, str] = told.json() if told.status_code == 200 else {}
            return f"Bearer {body.get('token') or body['access_token']}"
        except (ValueError, KeyError, AttributeError) as exc:
            raise self._refused(f"{told.status_code} from {told.request.url.host}") from exc

    def _refused(self, seen: str) -> OutsideError:
        who = f"as {self._login.user}" if self._login else "without a login"
        return OutsideError(
            f"the registry {self._reference.host} gives no access to {self._reference.name} {who}",
            seen=seen,
            hint="set registry_auth_file to a file that `docker login` wrote",
        )
