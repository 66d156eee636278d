"""What ``noren.toml`` says, all defaults filled in: the daemon's own settings and the apps.

Built by ``file``, used by main.py, ``effective`` and the tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from noren.core.model import App, Notifications


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Settings of the daemon itself; ``state`` and ``haproxy`` are absolute.

    ``ports`` are the first and the last for instances, outside the kernel's ephemeral range (32768 up)
    so that no outgoing connection can take one. ``haproxy`` None: the embedded one, else that of PATH.
    """

    listen: tuple[str, ...] = ("[::]:8080",)
    state: str
    builds: int = 2
    ports: tuple[int, int] = (20000, 28999)
    haproxy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One settings file; ``path`` is absolute, ``apps`` are in the order of the file."""

    path: Path
    server: Server
    notify: Notifications = field(default_factory=Notifications)
    apps: dict[str, App]
