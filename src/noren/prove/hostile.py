"""Clients that behave badly but within HTTP (L8): a head that drips, a slow reader, a half-close, pipelining.

Each is owed its answer all the same, and what it does may hurt nobody else: run it beside other loads.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from noren.prove.load import Load, Stage
from noren.prove.outcome import Outcome, Problem
from noren.prove.pace import starts
from noren.prove.parser import AnswerParser, ParseError
from noren.prove.request import Answer, Request, Requests, gets

_Send = Callable[["_Wire", bytes], Awaitable[None]]
_SMALL_BUFFER = 4_096
_PIPELINED = 3


@dataclass(kw_only=True)
class Hostile(Load):
    """``rate`` such clients a second, each kind in turn. ``patience``: seconds for which a slow one drags on."""

    rate: float = 1.0
    patience: float = 5.0
    timeout: float = 20.0
    requests: Requests = field(default_factory=lambda: gets("/"))

    async def run(self, stage: Stage) -> None:
        """Issue in the open loop."""
        kinds = (self._drip, self._slow_reader, self._half_close, self._pipelining)
        number = 0
        async with asyncio.TaskGroup() as group:
            async for due in starts(self.rate, stage.stop):
                group.create_task(kinds[number % len(kinds)](stage, due))
                number += 1

    async def _drip(self, stage: Stage, due: float) -> None:
        """Sends its head byte by byte, a pause between any two."""

        async def send(wire: _Wire, data: bytes) -> None:
            clock = asyncio.get_running_loop().time
            begin, sent = clock(), 0
            while sent < len(data):
                # By the clock and not by so many sleeps: a late generator must not drip until the server gives up.
                due = max(sent + 1, int(len(data) * (clock() - begin) / self.patience))
                await wire.send(data[sent:due])
                sent = due
                await asyncio.sleep(self.patience / len(data))

        await self._one(stage, due, send, pause=0.0)

    async def _slow_reader(self, stage: Stage, due: float) -> None:
        """Has a tiny window and reads nothing for a while, then a few bytes at a time."""
        await self._one(stage, due, _whole, pause=self.patience / 2)

    async def _half_close(self, stage: Stage, due: float) -> None:
        """Says that it will send no more, and waits for its answer."""

        async def send(wire: _Wire, data: bytes) -> None:
            await wire.send(data)
            wire.half_close()

        await self._one(stage, due, send, pause=0.0)

    async def _pipelining(self, stage: Stage, due: float) -> None:
        """Sends several requests at once and expects as many answers, in their order."""
        requests = [self.requests(stage.next_id(), stage.rng) for _ in range(_PIPELINED)]
        await self._exchange(stage, due, requests, _whole, pause=0.0)

    async def _one(self, stage: Stage, due: float, send: _Send, pause: float) -> None:
        await self._exchange(stage, due, [self.requests(stage.next_id(), stage.rng)], send, pause)

    async def _exchange(self, stage: Stage, due: float, requests: list[Request], send: _Send, pause: float) -> None:
        issued = asyncio.get_running_loop().time()
        data = b"".join(request.encode(self.target.host) for request in requests)
        results = self._results(data, requests, send, pause, issued + self.timeout)
        async for request, result in results:
            self.settle(stage, request, due, issued, result)

    async def _results(
        self, data: bytes, requests: list[Request], send: _Send, pause: float, deadline: float
    ) -> AsyncIterator[tuple[Request, Answer | Problem]]:
        """The answer to each, or why there is none; the first failure fails the rest."""
        answers: list[Answer] = []
        problem = Problem(Outcome.RESET, "closed by the server")
        wire = _Wire(self.target.address, self.target.port)
        try:
            async with asyncio.timeout_at(deadline):
                await wire.open()
                await send(wire, data)
                await asyncio.sleep(pause)
                async for answer in wire.answers(requests, slow=pause > 0):
                    answers.append(answer)  # noqa: PERF401 - what came before a failure counts
        except TimeoutError:
            problem = Problem(Outcome.TIMEOUT, "no complete answer in time")
        except ParseError as error:
            problem = Problem(Outcome.WRONG_BODY, str(error))
        except ConnectionRefusedError as error:
            problem = Problem(Outcome.REFUSED, str(error))
        except OSError as error:
            problem = Problem(Outcome.RESET, str(error))
        finally:
            wire.close()
        for number, request in enumerate(requests):
            yield request, answers[number] if number < len(answers) else problem


class _Wire:
    """A bare socket with a small window."""

    def __init__(self, address: str, port: int) -> None:
        self._to = (address, port)
        self._loop = asyncio.get_running_loop()
        self._sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        self._sock.setblocking(False)

    async def open(self) -> None:
        await self._loop.sock_connect(self._sock, self._to)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    def half_close(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    async def answers(self, requests: list[Request], *, slow: bool) -> AsyncIterator[Answer]:
        """One for each request, until the server closes."""
        parser = AnswerParser(requests[0].method)
        left = [request.method for request in requests[1:]]
        while data := await self._loop.sock_recv(self._sock, 16 if slow else 65_536):
            parser.feed(data)
            while parser.done:
                yield parser.answer()
                if not left:
                    return
                rest, parser = parser.leftover, AnswerParser(left.pop(0))
                if rest:
                    parser.feed(rest)
        if parser.end():
            yield parser.answer()

    def close(self) -> None:
        self._sock.close()


async def _whole(wire: _Wire, data: bytes) -> None:
    await wire.send(data)
