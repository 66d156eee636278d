"""WebSockets (L6): many clients that send numbered messages, expect each echo, and note every close code.

Closes with 1001 (going away) and 1012 (service restart) tell the client to come back: they are no loss.
Needs the package ``websockets``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from noren.prove.load import Load, Stage
from noren.prove.outcome import Outcome, Problem
from noren.prove.request import Answer

POLITE = (1001, 1012)


@dataclass(kw_only=True)
class WebSockets(Load):
    """``clients`` connections, each sends every ``interval`` seconds. ``closes`` counts close codes of the server."""

    clients: int = 100
    interval: float = 1.0
    path: str = "/ws"
    closes: Counter[int] = field(default_factory=Counter[int])

    async def run(self, stage: Stage) -> None:
        """All clients until the end."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.clients):
                group.create_task(self._client(stage))

    async def _client(self, stage: Stage) -> None:
        # Spread, so that hundreds of clients are a steady load and no burst.
        ended = await stage.stop.sleep(stage.rng.uniform(0, self.interval))
        while not ended:
            socket = await self._open(stage)
            if socket is not None:
                await self._talk(stage, socket)
            ended = await stage.stop.sleep(stage.rng.uniform(0, self.interval))

    async def _open(self, stage: Stage) -> ClientConnection | None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        uri, address, port = f"ws://{self.target.host}{self.path}", self.target.address, self.target.port
        try:
            return await connect(uri, host=address, port=port, open_timeout=self.timeout, proxy=None, compression=None)
        except InvalidStatus as error:
            problem = Problem(Outcome.WRONG_STATUS, str(error))
        except TimeoutError as error:
            problem = Problem(Outcome.TIMEOUT, f"no WebSocket handshake: {error}")
        except OSError as error:
            problem = Problem(Outcome.REFUSED, str(error))
        except (WebSocketException, EOFError) as error:
            problem = Problem(Outcome.RESET, f"no WebSocket handshake: {error}")
        stage.ledger.settle(self.name, stage.next_id(), due=due, issued=due, result=problem)
        return None

    async def _talk(self, stage: Stage, socket: ClientConnection) -> None:
        """Echo until the end or until the server closes."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with socket:
            for number in count():
                due = begin + number * self.interval
                ended = await stage.stop.sleep(due - loop.time())
                due = min(due, loop.time())
                issued = loop.time()
                id = stage.next_id()
                result = await self._echo(socket, f"{number} {id}")
                stage.ledger.settle(self.name, id, due=due, issued=issued, result=result)
                # One last echo after the end: what closed since the one before must not go unseen.
                if ended or socket.close_code is not None:
                    return

    async def _echo(self, socket: ClientConnection, text: str) -> Answer | Problem:
        try:
            async with asyncio.timeout(self.timeout):
                await socket.send(text)
                echo = await socket.recv()
        except TimeoutError:
            return Problem(Outcome.TIMEOUT, "no echo")
        except ConnectionClosed as error:
            return self._closed(error)
        if echo != text:
            return Problem(Outcome.WRONG_BODY, f"sent {text!r}, got {echo[:60]!r}")
        return Answer(101, {}, b"", True)

    def _closed(self, error: ConnectionClosed) -> Answer | Problem:
        code = error.rcvd.code if error.rcvd else 1006
        self.closes[code] += 1
        if code in POLITE:
            return Answer(code, {}, b"", False)
        return Problem(Outcome.CUT_SHORT, f"closed with {code}")
