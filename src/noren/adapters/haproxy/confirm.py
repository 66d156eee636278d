"""Asks the public listeners which release answers: an accepted change is not yet a live one.

Called by the proxy after a switch. Each question is a connection of its own, because that is what a new client makes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import h11

from noren.adapters.haproxy.addresses import Address
from noren.core.model import App, Kind

_LONGEST_ANSWER = 1_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What answered: the release's label ("" when none is named) and the status (None: no answer)."""

    label: str
    status: int | None
    problem: str = ""

    def __str__(self) -> str:
        return self.problem or f"{self.label or 'no release'} answered with status {self.status}"

    def release(self, app: str) -> int | None:
        """The release of this app that answered."""
        name, _, number = self.label.partition("@")
        return int(number) if name == app and number.isdigit() else None


def question(app: App, token: str) -> h11.Request:
    """The request that finds the app: its first host, below its prefix the path that says it is ready."""
    host, _, prefix = app.hosts[0].partition("/")
    path = app.ready.path if app.kind is Kind.PROCESS else "/"
    below = f"/{prefix.strip('/')}" if prefix.strip("/") else ""
    headers = [("Host", host), ("User-Agent", "noren"), ("X-Noren-Token", token), ("Connection", "close")]
    return h11.Request(method="GET", target=below + path, headers=headers)


async def ask(address: Address, request: h11.Request, timeout: float, asking: Callable[[str], None]) -> Answer:
    """One answer of one listener, at most ``timeout`` seconds; never raises for what it is.

    ``asking`` is told the port that asks, before it does.
    """
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(*address.reachable)
            asking(str(writer.get_extra_info("sockname")[1]))
            return await _ask(reader, writer, request)
    except (OSError, TimeoutError, h11.RemoteProtocolError) as exc:
        return Answer("", None, f"no answer at {address}: {exc or 'too late'}")


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: h11.Request) -> Answer:
    try:
        connection = h11.Connection(h11.CLIENT)
        writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        head = await _head(connection, reader)
        # To the end: an answer that its client leaves is not counted, and this one will be taken off.
        await reader.read(_LONGEST_ANSWER)
    finally:
        writer.close()
    headers = dict(head.headers)
    return Answer(headers.get(b"x-noren-release", b"").decode(), head.status_code)


async def _head(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Response:
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Response):
            return event
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
