"""One HTTP/1.1 client connection that hides nothing: every reset, early end and second answer is seen.

``pool`` and the loads of long transfers open them. One persistent protocol object, one request at a time;
nothing is ever sent twice.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from noren.prove.outcome import Outcome, Problem
from noren.prove.parser import AnswerParser, ParseError, Sink
from noren.prove.request import Answer, Target

Extra = Callable[[bytes], None]


class Connection(asyncio.Protocol):
    """Use ``open_connection``; ``closed`` is true once nothing more can be sent."""

    def __init__(self, sock: socket.socket) -> None:
        self.closed = False
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._parser: AnswerParser | None = None
        self._waiter: asyncio.Future[Answer | Problem] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._on_extra: Extra | None = None
        self._progress = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def usable(self) -> bool:
        """Whether a request may be sent. Asks the kernel, so that our own lateness hides no close of the server."""
        if self.closed:
            return False
        try:
            seen = self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if seen:
            self.data_received(seen)
        return False

    async def exchange(
        self, data: bytes, method: str, deadline: float, *, sink: Sink | None = None, on_extra: Extra | None = None
    ) -> Answer | Problem:
        """Send a whole request, wait for the whole answer until ``deadline`` (loop time).

        ``on_extra`` is called for bytes that arrive after the answer and before the next request.
        """
        self.begin(method, sink, on_extra)
        self.write(data)
        return await self.finish(deadline)

    def begin(self, method: str, sink: Sink | None = None, on_extra: Extra | None = None) -> None:
        """Expect an answer; what is sent next by ``write`` is the request."""
        self._parser = AnswerParser(method, sink)
        self._waiter = self._loop.create_future()
        self._on_extra = on_extra
        self._progress = self._loop.time()
        if self.closed:
            self._waiter.set_result(Problem(Outcome.RESET, "closed by the server before the request was sent"))

    def write(self, data: bytes) -> None:
        """Send a part of the request."""
        if not self.closed:
            self._transport.write(data)

    async def writable(self, deadline: float) -> bool:
        """Wait until more may be sent; False when the answer or the end came first, or ``deadline`` passed."""
        if self._writable is not None and self._waiter is not None:
            await asyncio.wait(
                (self._writable, self._waiter),
                timeout=max(0.0, deadline - self._loop.time()),
                return_when=asyncio.FIRST_COMPLETED,
            )
        return self._writable is None and self._waiter is not None and not self._waiter.done()

    async def finish(self, deadline: float, *, stall: float | None = None) -> Answer | Problem:
        """Wait for the answer until ``deadline``, and with ``stall`` as long as a byte comes each ``stall`` seconds."""
        assert self._waiter is not None
        self._expire(deadline, stall)
        try:
            return await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def pause(self, seconds: float) -> None:
        """Read nothing for a while: a slow reader."""
        if not self.closed:
            self._transport.pause_reading()
            self._loop.call_later(seconds, self._resume)

    def close(self) -> None:
        """Close; nothing more is seen of it."""
        self.closed = True
        self._on_extra = None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        parser, waiter = self._parser, self._waiter
        if parser is None or waiter is None or waiter.done():
            self._extra(data)
            return
        self._progress = self._loop.time()
        try:
            parser.feed(data)
        except ParseError as error:
            self._give(Problem(Outcome.WRONG_BODY, str(error)))
            return
        if parser.done:
            self._give(self._judge(parser))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.resume_writing()
        parser = self._parser
        if parser is None or self._waiter is None or self._waiter.done():
            return
        how = str(exc) if exc else "closed by the server"
        if exc is None and parser.end():
            self._give(parser.answer())
        elif parser.started:
            self._give(Problem(Outcome.CUT_SHORT, how))
        else:
            self._give(Problem(Outcome.RESET, how))

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    def _judge(self, parser: AnswerParser) -> Answer | Problem:
        if parser.leftover:
            return Problem(Outcome.DUPLICATE, f"more after the answer: {parser.leftover[:40]!r}")
        return parser.answer()

    def _give(self, result: Answer | Problem) -> None:
        assert self._waiter is not None
        if isinstance(result, Problem):
            self.closed = True
            self._transport.abort()
        elif not result.reusable:
            self.closed = True
            self._transport.close()
        self._waiter.set_result(result)

    def _extra(self, data: bytes) -> None:
        if self._on_extra is not None:
            self._on_extra(data)
        self.close()

    def _expire(self, deadline: float, stall: float | None) -> None:
        if self._waiter is None or self._waiter.done():
            return
        until = deadline if stall is None else max(deadline, self._progress + stall)
        if self._loop.time() < until:
            self._timer = self._loop.call_at(until, self._expire, deadline, stall)
            return
        began = self._parser is not None and self._parser.started
        self._give(Problem(Outcome.TIMEOUT, "the answer did not end in time" if began else "no answer in time"))

    def _resume(self) -> None:
        if not self.closed:
            self._transport.resume_reading()


async def open_connection(target: Target, deadline: float) -> Connection | Problem:
    """Connect until ``deadline`` (loop time); a Problem when it is refused or takes longer."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET6 if ":" in target.address else socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        async with asyncio.timeout_at(deadline):
            await loop.sock_connect(sock, (target.address, target.port))
            _, connection = await loop.create_connection(lambda: Connection(sock), sock=sock)
    except TimeoutError:
        sock.close()
        return Problem(Outcome.TIMEOUT, "no connection in time")
    except OSError as error:
        sock.close()
        return Problem(Outcome.REFUSED, str(error))
    except asyncio.CancelledError:
        sock.close()
        raise
    return connection
