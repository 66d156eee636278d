"""Keeps the public listeners across the lives of HAProxy.

The daemon takes duplicates of them over the admin socket and hands them to each new HAProxy that asks
with ``-x``, so the kernel's queue of connections never closes. The wire form is HAProxy's own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct

from noren.adapters.haproxy.folder import ADMIN, LISTENERS, Folder
from noren.core.errors import TrafficError

_log = logging.getLogger(__name__)

_INT = struct.Struct("=i")
_ASK = b"_getsocks\n"
_PART = 253
# No namespace, no interface name, no socket options: what HAProxy expects beside each descriptor.
_PLAIN = b"\0\0" + _INT.pack(0)


class Listeners:
    """Duplicates of HAProxy's public listeners, and the socket on which they are given out."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.held: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: socket.socket | None = None

    def open(self) -> None:
        """Give the listeners to whoever connects; only the owner of the folder can."""
        self._folder.remove(LISTENERS)
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(self._folder.socket(LISTENERS))
        self._server.listen()
        self._server.setblocking(False)
        self._tasks.add(asyncio.create_task(self._serve(self._server), name="haproxy listeners"))

    async def close(self) -> None:
        """Stop giving and close the duplicates; HAProxy keeps its own."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        self.drop()

    def drop(self) -> None:
        """Close the duplicates."""
        for descriptor in self.held:
            os.close(descriptor)
        self.held = []

    async def take(self) -> None:
        """Get duplicates from the running HAProxy instead of those held; raises TrafficError."""
        try:
            taken = await asyncio.to_thread(_take, self._folder.socket(ADMIN))
        except (OSError, struct.error) as exc:
            raise TrafficError("HAProxy did not hand over its listeners", seen=str(exc)) from exc
        self.drop()
        self.held = taken

    async def _serve(self, server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(server)
            except OSError as exc:  # out of descriptors for now
                _log.error("nobody can get the listeners: %s", exc)
                await asyncio.sleep(1)
                continue
            with connection:
                await self._answer(connection)

    async def _answer(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(5):
                if await loop.sock_recv(connection, len(_ASK)) != _ASK:
                    return
                await loop.sock_sendall(connection, _INT.pack(len(self.held)))
                for start in range(0, len(self.held), _PART):
                    part = self.held[start : start + _PART]
                    socket.send_fds(connection, [_PLAIN * len(part)], part)
                    await loop.sock_recv(connection, _INT.size)
        except (OSError, TimeoutError):
            return  # The asker is gone; it starts again and asks again.


def _take(path: str) -> list[int]:
    taken: list[int] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall(_ASK)
        (count,) = _INT.unpack(connection.recv(_INT.size))
        while len(taken) < count:
            _, descriptors, _, _ = socket.recv_fds(connection, 65536, _PART)
            if not descriptors:
                raise OSError(f"{len(taken)} of {count} listeners arrived")
            taken += descriptors
            connection.sendall(_INT.pack(len(taken)))
    return [descriptor for descriptor in taken if _public(descriptor)]


def _public(descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        if listener.family != socket.AF_UNIX:
            os.set_inheritable(descriptor, False)
            return True
    os.close(descriptor)
    return False
