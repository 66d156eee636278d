"""Sends webhooks as Git servers do, and as strangers would."""

from __future__ import annotations

import hmac
import http.client
import uuid

SECRET = "a secret of the forge"
PUSH = b'{"ref": "refs/heads/main", "after": "0000000000000000000000000000000000000000"}'


def signed(body: bytes, secret: str = SECRET, name: str | None = None) -> dict[str, str]:
    """The headers GitHub would send, for a delivery of this name."""
    digest = hmac.digest(secret.encode(), body, "sha256").hex()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": name or str(uuid.uuid4()),
        "X-Hub-Signature-256": f"sha256={digest}",
    }


def post(port: int, path: str, body: bytes, headers: dict[str, str], method: str = "POST") -> tuple[int, str]:
    """Status and text of the answer, through the public listener."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def tell(port: int, app: str = "website", body: bytes = PUSH, name: str | None = None) -> int:
    """A good webhook; the status of the answer."""
    return post(port, f"/.noren/hooks/{app}", body, signed(body, name=name))[0]
