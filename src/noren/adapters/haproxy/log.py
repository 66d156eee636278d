"""Receives HAProxy's log over a unix stream: the samples of each app, and the news that HAProxy is up.

HAProxy connects right after it has bound everything, and again whenever the daemon was away, so the
connection is the event that a start waits for.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence

from noren.adapters.haproxy.folder import EVENTS, Folder
from noren.core.traffic import Sample

# Two minutes of the 200 a second that are logged; a busy app's samples so take some megabytes.
_KEPT = 20_000
_LONGEST_PATH = 100
_CREDENTIALS = struct.Struct("3i")
# First letter of the termination state: ended as it should, by the client, or answered by HAProxy itself (cache).
_COMPLETE = "-CcL"


class Log:
    """The log server; ``connected`` is called with the pid of each HAProxy that connects."""

    def __init__(self, folder: Folder, connected: Callable[[int], None]) -> None:
        self._folder = folder
        self._connected = connected
        self._samples: dict[str, deque[Sample]] = {}
        self._server: asyncio.Server | None = None
        self._readers: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen for HAProxy."""
        self._folder.remove(EVENTS)
        self._server = await asyncio.start_unix_server(self._accept, self._folder.socket(EVENTS))

    async def close(self) -> None:
        """Stop reading; HAProxy keeps lines in its ring until somebody listens again."""
        if self._server is not None:
            self._server.close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def samples(self, app: str, since: float) -> Sequence[Sample]:
        """Samples of an app since a monotonic time, oldest first."""
        found: list[Sample] = []
        for sample in reversed(self._samples.get(app, ())):
            if sample.at < since:
                break
            found.append(sample)
        return found[::-1]

    def forget(self, app: str) -> None:
        """Drop the samples of an app that is gone."""
        self._samples.pop(app, None)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._read(reader, writer), name="haproxy log")
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)
        peer: socket.socket = writer.get_extra_info("socket")
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self._connected(_CREDENTIALS.unpack(credentials)[0])

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = int(await reader.readuntil(b" "))
                self._add((await reader.readexactly(length)).decode(errors="replace"))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, OSError):
            return  # HAProxy ended, or left a broken frame: it connects again and starts a new one.
        finally:
            writer.close()

    def _add(self, line: str) -> None:
        if parsed := parse(line, time.monotonic()):
            app, sample = parsed
            self._samples.setdefault(app, deque(maxlen=_KEPT)).append(sample)


def parse(line: str, at: float) -> tuple[str, Sample] | None:
    """One line of the log: the app and its sample, None when no release answered."""
    fields = line.rstrip("\n").split("\t")
    app, _, release = fields[0].partition("@")
    if len(fields) != 7 or not release.isdigit():
        return None
    method, path, status, milliseconds, retries, end = fields[1:]
    return app, Sample(
        at=at,
        release=int(release),
        method=method,
        path=path[:_LONGEST_PATH],
        status=int(status),
        ms=float(milliseconds),
        retries=int(retries.lstrip("+")),
        complete=end[:1] in _COMPLETE,
    )
