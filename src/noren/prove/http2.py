"""HTTP/2 in clear text with prior knowledge (L7): many streams over few connections, open loop.

HAProxy's clear listener takes it from the first bytes. Needs the package ``h2``. A connection that is told to go away
gets no new stream; the streams that it has must still end well.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError

from noren.prove.load import Load, Stage
from noren.prove.outcome import Outcome, Problem
from noren.prove.pace import starts
from noren.prove.request import Answer, Request, Requests, Target, gets

_HELD = {"connection", "host"}  # headers of HTTP/1.1 only


@dataclass(slots=True)
class _Stream:
    """One request under way."""

    done: asyncio.Future[Answer | Problem]
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytearray = field(default_factory=bytearray)

    def end(self, result: Answer | Problem) -> None:
        if not self.done.done():
            self.done.set_result(result)

    def cut(self, why: str) -> None:
        self.end(Problem(Outcome.CUT_SHORT if self.headers else Outcome.RESET, why))


class Session(asyncio.Protocol):
    """One connection. ``open``: it takes new streams."""

    def __init__(self) -> None:
        self.open = True
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._streams: dict[int, _Stream] = {}
        self._loop = asyncio.get_running_loop()

    @property
    def room(self) -> bool:
        """Whether the server allows one more stream."""
        return self.open and len(self._streams) < self._h2.remote_settings.max_concurrent_streams

    async def ask(self, request: Request, host: str, deadline: float) -> Answer | Problem:
        """One request, one answer until ``deadline`` (loop time)."""
        number = self._h2.get_next_available_stream_id()
        stream = self._streams[number] = _Stream(self._loop.create_future())
        self._h2.send_headers(number, _head(request, host), end_stream=not request.body)
        if request.body:
            self._h2.send_data(number, request.body, end_stream=True)
        self._flush()
        try:
            async with asyncio.timeout_at(deadline):
                return await stream.done
        except TimeoutError:
            return Problem(Outcome.TIMEOUT, "the answer did not end in time" if stream.headers else "no answer in time")
        finally:
            self._streams.pop(number, None)

    def close(self) -> None:
        """Say goodbye."""
        if self.open:
            self.open = False
            self._h2.close_connection()
            self._flush()
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
        except ProtocolError as error:
            self._end(f"no HTTP/2: {error}")
            self._transport.abort()
            return
        for event in events:
            self._take(event)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc else "closed by the server")

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self._go_away(event)
            return
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        if stream is None:
            return
        if isinstance(event, ResponseReceived):
            stream.headers = {str(name): str(value) for name, value in event.headers or ()}
        elif isinstance(event, DataReceived):
            stream.body += event.data or b""
        elif isinstance(event, StreamEnded):
            stream.end(Answer(int(stream.headers[":status"]), stream.headers, bytes(stream.body), True))
        elif isinstance(event, StreamReset):
            stream.cut(f"the stream was reset: {event.error_code}")

    def _go_away(self, event: ConnectionTerminated) -> None:
        """Streams up to the last one go on, if it is a friendly goodbye."""
        self.open = False
        last = event.last_stream_id if event.error_code == ErrorCodes.NO_ERROR else 0
        for number, stream in list(self._streams.items()):
            if number > (last or 0):
                stream.cut(f"told to go away: {event.error_code}")

    def _end(self, why: str) -> None:
        self.open = False
        for stream in list(self._streams.values()):
            stream.cut(why)

    def _flush(self) -> None:
        self._transport.write(self._h2.data_to_send())


def _head(request: Request, host: str) -> list[tuple[str, str]]:
    pseudo = {":method": request.method, ":path": request.path, ":scheme": "http", ":authority": host}
    named = {name.lower(): value for name, value in request.headers.items() if name.lower() not in _HELD}
    length = {"content-length": str(len(request.body))} if request.body else {}
    return [*pseudo.items(), *named.items(), *length.items()]


@dataclass(kw_only=True)
class Http2(Load):
    """``rate`` requests a second over ``connections``, each with as many streams as it takes."""

    rate: float
    connections: int = 10
    requests: Requests = field(default_factory=lambda: gets("/"))

    async def run(self, stage: Stage) -> None:
        """Issue in the open loop."""
        self._sessions: list[Session | None] = [None] * self.connections
        self._turns = [asyncio.Lock() for _ in self._sessions]
        try:
            async with asyncio.TaskGroup() as group:
                async for due in starts(self.rate, stage.stop):
                    group.create_task(self._one(stage, self.requests(stage.next_id(), stage.rng), due))
        finally:
            for session in self._sessions:
                if session is not None:
                    session.close()

    async def _one(self, stage: Stage, request: Request, due: float) -> None:
        issued = asyncio.get_running_loop().time()
        session = await self._session(int(request.id.rpartition("-")[2]) % self.connections, issued + self.timeout)
        if isinstance(session, Session):
            result = await session.ask(request, self.target.host, issued + self.timeout)
        else:
            result = session
        self.settle(stage, request, due, issued, result)

    async def _session(self, number: int, deadline: float) -> Session | Problem:
        """The connection of this number, opened anew when it takes no more streams."""
        async with self._turns[number]:
            session = self._sessions[number]
            if session is not None and session.room:
                return session
            opened = await _connect(self.target, deadline)
            if isinstance(opened, Session):
                self._sessions[number] = opened
            return opened


async def _connect(target: Target, deadline: float) -> Session | Problem:
    try:
        async with asyncio.timeout_at(deadline):
            loop = asyncio.get_running_loop()
            _, session = await loop.create_connection(Session, target.address, target.port)
            return session
    except TimeoutError:
        return Problem(Outcome.TIMEOUT, "no connection in time")
    except OSError as error:
        return Problem(Outcome.REFUSED, str(error))
