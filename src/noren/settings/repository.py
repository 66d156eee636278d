"""Which repositories may be named: https, ssh, ``user@host:path`` or a local path.

Called by ``file``. Git would take more (``ext::`` runs a command, ``file://`` and ``git://`` slip
past the allowed protocols), and takes a leading dash for an option: refused here, with a reason.
"""

from __future__ import annotations

import re
from pathlib import Path

_URL = re.compile(r"(?P<scheme>https|ssh)://(?P<host>(?:[^/@\s]*@)?[^/@\s]+)/\S+")
_SCP = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s-]\S*")


def repository(text: str, folder: Path) -> str:
    """The URL as it is, or a local path made absolute from ``folder``; raises ValueError."""
    if not text or text.startswith("-") or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ValueError("must be a URL or a local path, without a leading dash or control characters")
    if "::" in text.split("/")[0]:
        raise ValueError("names a transport helper of Git, which could run any command")
    if "://" in text:
        return _url(text)
    if _SCP.fullmatch(text):
        return text
    if "@" in text.split("/")[0] or re.match(r"[^/.]+:", text):
        raise ValueError('must be an https or ssh URL, "git@host:path" or a local path')
    return str((folder / text).resolve())


def _url(text: str) -> str:
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("must be an https:// or ssh:// URL, or a local path without file://")
    user, at, host = match["host"].rpartition("@")
    if host.startswith("-") or user.startswith("-"):
        raise ValueError("must not have a dash before the host or user name")
    if at and (":" in user or match["scheme"] == "https"):
        raise ValueError("must not hold credentials: name a variable of the daemon with token_env instead")
    return text
