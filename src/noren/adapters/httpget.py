"""One GET over HTTP/1.1 to one address, whatever the other side does.

Called by `probes`. Nothing is reused and nothing followed: a probe must see what this instance does
now. The answer is read up to 64 kB and not beyond the time limit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import h11

from noren.address import reachable

BODY_LIMIT = 65536


@dataclass(slots=True)
class Reply:
    """What came back; ``problem`` is "" when a whole answer, or the first 64 kB of its body, came in time.

    ``late``: the problem is the time-out.
    """

    status: int | None = None
    location: str = ""
    body: bytearray = field(default_factory=bytearray)
    problem: str = ""
    late: bool = False


async def get(address: str, *, host: str, path: str, timeout: float) -> Reply:
    """GET ``path`` from ``127.0.0.1:PORT`` or ``unix@/path``, all within ``timeout`` seconds. Never raises OSError."""
    reply = Reply()
    try:
        async with asyncio.timeout(timeout):
            await _exchange(address, _request(host, path), reply)
    except TimeoutError:
        reply.late = True
        reply.problem = f"gave no complete answer within {timeout:g} s{_so_far(reply)}"
    except ConnectionRefusedError:
        reply.problem = f"refused the connection to {address}"
    except ConnectionError:
        reply.problem = "closed the connection before a complete answer"
    except OSError as failure:
        reply.problem = f"cannot be connected to at {address}: {failure.strerror or failure}"
    except h11.LocalProtocolError as refusal:
        reply.problem = f"cannot be asked for {path} of {host}: {refusal}"
    return reply


def _so_far(reply: Reply) -> str:
    return "" if reply.status is None else f" (status {reply.status} came, but the body did not end)"


def _request(host: str, path: str) -> h11.Request:
    headers = [("Host", host), ("User-Agent", "noren-probe"), ("Accept", "*/*"), ("Connection", "close")]
    return h11.Request(method="GET", target=path, headers=headers)


async def _exchange(address: str, request: h11.Request, reply: Reply) -> None:
    connection = h11.Connection(h11.CLIENT)
    asked = (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")
    reader, writer = await _connect(address)
    try:
        writer.write(asked)
        while not _complete(connection, reply):
            connection.receive_data(await reader.read(BODY_LIMIT))
    except h11.RemoteProtocolError as problem:
        reply.problem = _nonsense(connection, reply, problem)
    finally:
        writer.transport.abort()


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith("unix@"):
        with reachable(Path(address.removeprefix("unix@"))) as short:
            return await asyncio.open_unix_connection(short)
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port))


def _nonsense(connection: h11.Connection, reply: Reply, problem: h11.RemoteProtocolError) -> str:
    unread, ended = connection.trailing_data
    reply.body = reply.body or bytearray(unread)
    return "closed the connection before a complete answer" if ended else f"answered what is not HTTP: {problem}"


def _complete(connection: h11.Connection, reply: Reply) -> bool:
    """Take every event there is; whether enough of the answer is here."""
    while True:
        match event := connection.next_event():
            case h11.Response():
                reply.status = event.status_code
                reply.location = dict(event.headers).get(b"location", b"").decode(errors="replace")
            case h11.Data():
                reply.body += event.data[: BODY_LIMIT - len(reply.body)]
                if len(reply.body) >= BODY_LIMIT:
                    return True
            case h11.NEED_DATA:
                return False
            case h11.EndOfMessage() | h11.ConnectionClosed() | h11.PAUSED:
                return True
            case _:
                pass  # 1xx
