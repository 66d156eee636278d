"""Names of images: ``registry.example/shop/web:tag`` and ``registry.example/shop/web@sha256:…``.

Used by the registry, and by whoever turns a setting into what a cluster pulls. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from noren.core.errors import UsageError

_HUB = "docker.io"
_HUB_ADDRESS = "registry-1.docker.io"
_NAME = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """``host`` may have a port. ``plain``: asked for as http://, which loopback always is."""

    host: str
    name: str
    tag: str | None = None
    digest: str | None = None
    plain: bool = False

    @staticmethod
    def parse(text: str) -> Reference:
        """As docker reads it (``nginx`` is ``docker.io/library/nginx``); a leading http:// allows plain HTTP.

        Raises UsageError.
        """
        rest, plain = text.removeprefix("http://"), text.startswith("http://")
        rest, at, digest = rest.removeprefix("https://").partition("@")
        host, name = _host(rest)
        name, colon, tag = name.partition(":")
        wrong = (
            not _NAME.fullmatch(name) or (colon and not _TAG.fullmatch(tag)) or (at and not _DIGEST.fullmatch(digest))
        )
        if wrong:
            raise UsageError(
                f"{text!r} does not name an image",
                hint="write registry/name, registry/name:tag or registry/name@sha256:…, in lower case",
            )
        return Reference(host, name, tag or None, digest or None, plain or is_loopback(host))

    @property
    def api(self) -> str:
        """The address of its repository in the distribution API."""
        host = _HUB_ADDRESS if self.host == _HUB else self.host
        return f"{'http' if self.plain else 'https'}://{host}/v2/{self.name}"

    @property
    def which(self) -> str:
        """What a manifest is asked for by: digest, else tag, else latest."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> Reference:
        """The same repository, this one image of it."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        which = f"@{self.digest}" if self.digest else f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.name}{which}"


def _host(text: str) -> tuple[str, str]:
    """The first part is a host when it looks like one: a dot, a port, or localhost."""
    first, slash, rest = text.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, f"library/{rest}" if first == _HUB and "/" not in rest else rest
    return _HUB, text if slash else f"library/{text}"


def is_loopback(host: str) -> bool:
    """Whether this host, with or without a port, is this machine."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        return name == "localhost" or ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
