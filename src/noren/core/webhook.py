"""Whether a webhook was sent by who knows the secret, and what it is called.

``api/hooks.py`` asks this for each request before anything else looks at it. The payload decides
nothing: a webhook is a hint to look at the repository now, and what is released is what the look finds.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

Headers = Mapping[str, str]  # names in lower case

LARGEST = 1_000_000  # bytes of a payload; pushes of hundreds of commits have less
SENT_AT_MOST = 26_214_400  # bytes; GitHub sends no larger payload
_SKEW = 300.0  # seconds that a signed time may be off: the tolerance of Standard Webhooks
# What names a delivery, by sender; the same name comes again when a delivery is repeated.
_NAMES = ("x-github-delivery", "x-gitea-delivery", "x-forgejo-delivery", "webhook-id", "idempotency-key")


def proven(headers: Headers, body: bytes, secret: str, now: float) -> bool:
    """Whether the first of the known signatures is right; a wrong one is not made good by another.

    GitHub, Gitea, Forgejo and anything that can sign as GitHub does; Standard Webhooks, which GitLab
    speaks since it signs; else GitLab's token. SHA-1 is not looked at. ``now`` is seconds of the epoch.
    """
    if not secret:
        return False
    if (said := headers.get("x-hub-signature-256")) is not None:
        return _same(said, f"sha256={_hmac(secret.encode(), body).hex()}")
    for name in ("x-forgejo-signature", "x-gitea-signature"):
        if (said := headers.get(name)) is not None:
            return _same(said, _hmac(secret.encode(), body).hex())
    if (said := headers.get("webhook-signature")) is not None:
        return _standard(headers, said, body, secret, now)
    return _same(headers.get("x-gitlab-token", ""), secret)


def _standard(headers: Headers, said: str, body: bytes, secret: str, now: float) -> bool:
    """https://www.standardwebhooks.com: of several signatures one must be right."""
    name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not name or not at.isascii() or not at.isdigit() or abs(now - int(at[:20])) > _SKEW:
        return False
    signed = _hmac(_key(secret), f"{name}.{at}.".encode() + body)
    expected = "v1," + binascii.b2a_base64(signed, newline=False).decode()
    return any(_same(each, expected) for each in said.split(" "))


def _key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        try:
            return b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            pass  # not of that kind after all: any text may be a secret
    return secret.encode()


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)


def _same(said: str, expected: str) -> bool:
    return hmac.compare_digest(said.encode(), expected.encode())


def delivery(headers: Headers) -> str | None:
    """A short name of the delivery, None where the sender gives it none."""
    name = next((headers[key] for key in _NAMES if headers.get(key)), None)
    return None if name is None else hashlib.sha256(name.encode()).hexdigest()[:32]


def well_formed(headers: Headers, body: bytes) -> bool:
    """Whether a proven payload is what the forges document: a JSON object, as it is or as the field of a form."""
    try:
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            body = parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)["payload"][0].encode()
        return isinstance(json.loads(body, object_pairs_hook=_object), dict)
    except (ValueError, KeyError, RecursionError):
        return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found
