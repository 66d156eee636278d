"""Gives each instance a port of its own from the range in the settings.

Used by `processes`. A port is given only when nothing at all uses it, and rests after use: until
then the proxy may hold a connection or a health check meant for the instance that had it.
"""

from __future__ import annotations

import errno
import random
import socket
import time

from noren.core.errors import OutsideError


class PortPool:
    """Ports ``first`` to ``last``, both included; ``rest`` is seconds from a port's return to its next use."""

    def __init__(self, first: int, last: int, *, rest: float = 60.0) -> None:
        self._range = range(first, last + 1)
        self._rest = rest
        self._owned: dict[str, int] = {}
        self._returned: dict[int, float] = {}

    def take(self, owner: str) -> int:
        """A free port for this instance; raises OutsideError when there is none."""
        # A random start: two Norens with the same range seldom meet between this check and the app's bind.
        start = random.randrange(len(self._range))
        for offset in range(len(self._range)):
            port = self._range[(start + offset) % len(self._range)]
            if self._rested(port) and port not in self._owned.values() and _unused(port):
                self._owned[owner] = port
                return port
        raise OutsideError(
            f"No port is free between {self._range[0]} and {self._range[-1]}.",
            seen=f"{len(self._owned)} in use by instances, {len(self._returned)} returned, some perhaps by others",
            hint="widen `ports` in [server], or wait a minute: ports rest after use",
        )

    def claim(self, owner: str, port: int) -> None:
        """Remember that an adopted instance has this port."""
        self._owned[owner] = port

    def give_back(self, owner: str) -> None:
        """The instance is gone, its port rests. Again: no change."""
        port = self._owned.pop(owner, None)
        if port is not None:
            self._returned[port] = time.monotonic()

    def _rested(self, port: int) -> bool:
        returned = self._returned.get(port)
        return returned is None or time.monotonic() - returned >= self._rest


def _unused(port: int) -> bool:
    """Without SO_REUSEADDR the wildcard address can be bound only when no socket whatever has the port."""
    return _bindable(socket.AF_INET, "0.0.0.0", port) and _bindable(socket.AF_INET6, "::", port)


def _bindable(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family) as attempt:
            if family == socket.AF_INET6:
                attempt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            attempt.bind((address, port))
    except OSError as problem:
        return problem.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # a host without IPv6
    return True
