"""The public addresses: as the settings write them, as HAProxy binds them, and where to probe them.

Used by the config, the process (for its errors) and the confirmation of a switch.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import cache

from noren.core.errors import HostError


@dataclass(frozen=True, slots=True)
class Address:
    """One public listener."""

    host: str
    port: int

    @staticmethod
    def parse(text: str) -> Address:
        """``[::]:8080``, ``127.0.0.1:80`` or ``:80``; raises HostError."""
        host, _, port = text.rpartition(":")
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise HostError(f"{text} is no address to listen on", hint='write it as "[::]:8080" or "127.0.0.1:8080"')
        return Address(host.strip("[]") or "::", int(port))

    @property
    def bind(self) -> str:
        """The ``bind`` line: every address of a host with IPv6 takes IPv4 as well."""
        if self.host != "::":
            return f"bind {f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        return f"bind [::]:{self.port} v4v6" if has_ipv6() else f"bind 0.0.0.0:{self.port}"

    @property
    def reachable(self) -> tuple[str, int]:
        """Where the listener answers on this machine."""
        return ("127.0.0.1" if self.host in ("::", "0.0.0.0") else self.host), self.port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@cache
def has_ipv6() -> bool:
    """Whether this machine can bind IPv6 at all (containers often cannot)."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True
