"""A registry that wants bearer tokens, as the big ones do, and can be odd in other ways. Holds one manifest."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

MANIFEST = b'{"schemaVersion":2,"layers":[]}'


class OddRegistry(ThreadingHTTPServer):
    """``valid`` are the tokens that are good now, ``logins`` and ``scopes`` what was asked at the realm."""

    daemon_threads = True

    def __init__(self, realm: str | None, denies: bool, tells_digest: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.digest = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
        self.realm = realm or f"http://{self.host}/token"
        self.denies, self.tells_digest = denies, tells_digest
        self.valid: set[str] = set()
        self.logins: list[str] = []
        self.scopes: list[str] = []


class _Answers(BaseHTTPRequestHandler):
    server: OddRegistry

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if asked.path == "/token":
            self._token(parse_qs(asked.query))
        elif self.headers.get("Authorization", "").removeprefix("Bearer ") in self.server.valid:
            told = {"Docker-Content-Digest": self.server.digest} if self.server.tells_digest else {}
            self._answer(200, MANIFEST, {"Content-Type": "application/vnd.oci.image.manifest.v1+json", **told})
        else:
            scope = "repository:shop/web:pull"
            challenge = f'Bearer realm="{self.server.realm}",service="odd",scope="{scope}"'
            self._answer(401, b"", {"WWW-Authenticate": challenge})

    def _token(self, asked: dict[str, list[str]]) -> None:
        login = self.headers.get("Authorization", "").removeprefix("Basic ")
        self.server.logins.append(base64.b64decode(login).decode())
        self.server.scopes += asked["scope"]
        if self.server.denies:
            self._answer(403, b"no", {})
            return
        token = secrets.token_hex(8)
        self.server.valid.add(token)
        self._answer(200, f'{{"token": "{token}"}}'.encode(), {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def odd_registry(*, realm: str | None = None, denies: bool = False, tells_digest: bool = True) -> Iterator[OddRegistry]:
    """Runs until the block ends."""
    with OddRegistry(realm, denies, tells_digest) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
