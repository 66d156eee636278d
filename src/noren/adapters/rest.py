"""One question to a REST API over HTTPS, in a thread of its own.

Used by ``forge``. urllib of the standard library: it verifies certificates, uses the proxies of the
environment, and lives only in daemons that speak with a forge. Redirects are not followed: a token is for
the address that the settings name and for no other.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

TIMEOUT = 15.0  # seconds for the whole answer
_LARGEST = 20_000_000  # bytes; a hundred pull requests with long descriptions have three million


class Unanswered(Exception):
    """No usable answer; the text says why."""


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        return None


def ask(url: str, headers: Mapping[str, str], body: object = None) -> tuple[int, Any]:
    """GET, or POST of a body as JSON; the status and the JSON that came, None where it was none. Blocks.

    Raises Unanswered.
    """
    data = None if body is None else json.dumps(body).encode()
    sent = {"Accept": "application/json", "User-Agent": "noren", **headers}
    if data is not None:
        sent["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data, sent)
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=TIMEOUT) as answer:
            return answer.status, _json(_read(answer))
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, _json(_read(refused))
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise Unanswered(str(getattr(exc, "reason", exc)) or type(exc).__name__) from exc


def _read(answer: Any) -> bytes:
    """All of the body, which may neither drip nor swell."""
    body, end = bytearray(), time.monotonic() + TIMEOUT
    while part := answer.read1(65536):
        body += part
        if len(body) > _LARGEST or time.monotonic() > end:
            raise Unanswered(f"the answer was not over after {len(body)} bytes or {TIMEOUT:g} s")
    return bytes(body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
