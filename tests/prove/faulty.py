"""Tiny HTTP servers that lose requests on purpose, each in one way, and the run that must notice."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

from noren.prove.ledger import Ledger
from noren.prove.load import Load
from noren.prove.outcome import Outcome
from noren.prove.request import Target
from noren.prove.run import Run

OK = b"HTTP/1.1 200 OK\r\nX-Noren-Release: shop@1\r\nContent-Length: 2\r\n\r\nok"


class Client:
    """A connection as the server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> tuple[str, bytes]:
        """The next request: its head and its body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = next((line[15:] for line in head.split("\r\n") if line.lower().startswith("content-length:")), "0")
        return head, await self.reader.readexactly(int(length))

    def send(self, data: bytes) -> None:
        """Send, without flushing."""
        self.writer.write(data)

    def reset(self) -> None:
        """Send RST instead of FIN."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.close()


Behaviour = Callable[[Client, int, str], Awaitable[bool | None]]
"""(client, number of the request over all connections, its head); True ends the connection."""


async def good(client: Client, number: int, head: str) -> None:
    """Loses nothing."""
    client.send(OK)


@contextlib.asynccontextmanager
async def serving(behaviour: Behaviour) -> AsyncIterator[Target]:
    """A server that answers as ``behaviour`` says."""
    numbers: Counter[str] = Counter()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(client: Client) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(client.writer):
            while True:
                head, _ = await client.request()
                numbers["requests"] += 1
                if await behaviour(client, numbers["requests"], head):
                    break

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(Client(reader, writer)))
        tasks.add(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=512)
    try:
        yield Target(port=server.sockets[0].getsockname()[1], app="shop")
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def run_for(seconds: float, *loads: Load) -> Ledger:
    """Run loads with a fixed seed."""
    async with Run(seed=1, duration=seconds) as run:
        for load in loads:
            run.start(load)
        return await run.wait()


def outcomes(ledger: Ledger) -> Counter[Outcome]:
    """How many of each."""
    return Counter(record.outcome for record in ledger.records)
