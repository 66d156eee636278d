"""Which forge an app has: what the settings say, else what the address of its repository tells.

Called by ``outside`` with what is written, before its types are known to be right.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from noren.core.forge import Forge, ForgeKind

_KNOWN = {"codeberg.org": ForgeKind.GITEA}
_WORDS = {"github": "github", "gitlab": "gitlab", "gitea": "gitea", "forgejo": "gitea"}
_PLACE = re.compile(r"(?:https://|ssh://)(?:[^@/]*@)?([^/:]+)(:\d+)?/(.+)|[^@/]+@([^:/]+):(.+)")


def forge(written: dict[str, Any], repo: str, token_env: object) -> Forge:
    """Raises ValueError with what is missing."""
    url, project = _guessed(repo)
    url = str(written.get("url", url)).rstrip("/")
    project = str(written.get("project", project))
    kind = str(written.get("kind", _kind(url)))
    if url and not _safe(url):
        raise ValueError("url must be https://host, or http:// to this machine: the token goes there")
    missing = [name for name, value in (("kind", kind), ("url", url), ("project", project)) if not value]
    if missing:
        raise ValueError(f"{', '.join(missing)} of the forge cannot be told from repo: write forge.{missing[0]}")
    if kind not in list(ForgeKind):
        raise ValueError(f"kind must be {', '.join(ForgeKind)}")
    token = written.get("token_env", token_env)
    return Forge(kind=ForgeKind(kind), url=url, project=project, token_env=token if isinstance(token, str) else None)


def _guessed(repo: str) -> tuple[str, str]:
    """``https://host`` and ``owner/name`` of an https or ssh address; empty for anything else."""
    match = _PLACE.fullmatch(repo)
    if match is None:
        return "", ""
    port = match[2] or "" if repo.startswith("https://") else ""
    return f"https://{match[1] or match[4]}{port}", (match[3] or match[5]).strip("/").removesuffix(".git")


def _kind(url: str) -> str:
    host = urlsplit(url).hostname or ""
    return _KNOWN.get(host) or next((kind for word, kind in _WORDS.items() if word in host), "")


def _safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        local = host == "localhost" or (parts.scheme == "http" and ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f]", url))
    return plain and bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and local))
